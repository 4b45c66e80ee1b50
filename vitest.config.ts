import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { modelFolder } from "./lib/files/cache-folder.js";

/** Tests that take more than a few seconds: they try many cases, start processes and browsers, or read real models. */
const slow = [
	"answers",
	"certificate",
	"chat-model",
	"check-binaries",
	"concurrency",
	"cpu-level",
	"critic",
	"demo",
	"embedded",
	"encoder-judge",
	"evaluation",
	"evaluation-datasets",
	"evaluation-report",
	"examples",
	"fuzz",
	"guard",
	"harm",
	"hostile-files",
	"hostile-prompts",
	"identity",
	"kernels",
	"label-page",
	"locks",
	"long-texts",
	"mapped-files",
	"methods",
	"out-of-memory",
	"outputs",
	"prefill",
	"probe-means",
	"repair",
	"rollouts",
	"score-models",
	"search-behaviour",
	"search-retrying",
	"server",
	"server-admission",
	"server-completions",
	"server-facts",
	"server-listen",
	"server-responses",
	"stop",
	"terminal",
	"train-cost",
].map((name) => `test/${name}.test.ts`);

/** Tests that compile C++, which takes minutes. */
const compiling = ["test/extending.test.ts"];

const all = "test/**/*.test.ts";

export default defineConfig({
	test: {
		projects: [
			{ extends: true, test: { name: "fast", include: [all], exclude: [...slow, ...compiling] } },
			{ extends: true, test: { name: "slow", include: slow } },
			{ extends: true, test: { name: "compiling", include: compiling } },
		],
		testTimeout: 120_000,
		hookTimeout: 120_000,
		pool: "forks",
		maxWorkers: availableParallelism(),
		execArgv: ["--expose-gc"],
		// Hashes of the tests' own models stay out of the user's cache.
		env: { XDG_CACHE_HOME: join(tmpdir(), "inferenceguard-test-cache"), INFERENCEGUARD_MODELS: modelFolder("") },
	},
});
