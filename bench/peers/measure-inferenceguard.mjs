// One generation of this package, in a process of its own: `node measure-inferenceguard.mjs JOB` prints its figures as JSON.
import { InferenceGuard } from "../../dist/index.js";
import { lexicon } from "../subject.mjs";

const { model, critic, prompt, candidates, tokens, threads, seed, options } = JSON.parse(process.argv[2]);
const guard = await InferenceGuard.load({ model, critic, threads, device: "cpu", cost: { lexicon }, budget: 0 });
const request = { prompt, candidates, maxTokens: tokens, seed, ...options };
// makes the context and touches the weights; another prompt, so that nothing of it is at hand afterwards
await guard.generate({ ...request, prompt: [...prompt].reverse(), maxGeneratedTokens: candidates });

const start = performance.now();
const { usage, timings, outcome } = await guard.generate(request);
const seconds = (performance.now() - start) / 1000;
if (outcome === "refused") throw new Error("no response is within budget");
const { maxRSS } = process.resourceUsage();
await guard.dispose();
console.log(
	JSON.stringify({
		seconds,
		promptSeconds: timings.prefill / 1000,
		generatedTokens: usage.generatedTokens,
		maxRssBytes: maxRSS * 1024,
		networkShare: timings.critic / timings.total,
	}),
);
