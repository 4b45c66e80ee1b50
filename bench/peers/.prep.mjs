import { buildBatchedBench } from "./batched-bench.mjs";

buildBatchedBench();
