// Single operations, with tinybench: `npm run bench:micro`. A tabular model makes the engine itself cost next to nothing.
import { Bench } from "tinybench";
import { InferenceGuard, listDevices } from "../dist/index.js";

const vocabulary = 64;
const row = (last) => Array.from({ length: vocabulary }, (_, next) => Math.sin(last * 31 + next * 17));
const model = {
	pieces: Array.from({ length: vocabulary }, (_, i) => ` w${i}`),
	logits: Array.from({ length: vocabulary }, (_, i) => row(i)),
};
const terms = Array.from({ length: 1000 }, (_, i) => `term${i}*`);

const free = await InferenceGuard.load({ model, cost: { tokenCosts: [] } });
const withLexicon = await InferenceGuard.load({ model, cost: { lexicon: terms } });
const withFunction = await InferenceGuard.load({ model, cost: (candidates) => new Float32Array(candidates.length) });

const prompt = [0];
const search = { prompt, candidates: 16, maxTokens: 128, seed: 1 };
const bench = new Bench({ time: 1000, warmupTime: 200 });
bench
	.add("one crossing into the addon (listDevices)", () => listDevices())
	.add("one token, end to end", () => free.generate({ prompt, strategy: "sample", maxTokens: 1, seed: 1 }))
	.add("guarded search of 16 × 128 tokens, token costs", () => free.generate(search))
	.add("guarded search of 16 × 128 tokens, lexicon of 1000 terms", () => withLexicon.generate(search))
	.add("guarded search of 16 × 128 tokens, cost function", () => withFunction.generate(search));
await bench.run();
console.table(bench.table());
await Promise.all([free, withLexicon, withFunction].map((guard) => guard.dispose()));
