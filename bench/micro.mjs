// Single operations, with tinybench: `npm run bench:micro`. Those of the core come from an addon of their own (micro.cpp), which repeats
// them inside; of the others a tabular model makes the engine itself cost next to nothing.
import { createRequire } from "node:module";
import { Bench } from "tinybench";
import { embeddedDefault, InferenceGuard, listDevices } from "../dist/index.js";
import { build } from "../scripts/build.mjs";
import { randomModel } from "./subject.mjs";

build({ target: "inferenceguard_micro" });
const { operation } = createRequire(import.meta.url)("../build/Release/inferenceguard_micro.node");

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
const search = { prompt, candidates: 16, startCandidates: 16, maxTokens: 128, seed: 1 };
const bench = new Bench({ time: 1000, warmupTime: 200 });

/** An operation of the core on `size` things; one sample is the mean of a run of some milliseconds. */
function addOperation(title, name, size, file = "") {
	const run = operation(name, size, file);
	const count = Math.max(1, Math.round(0.005 / run(1)));
	bench.add(title, () => {
		const milliseconds = 1000 * run(count);
		return { overriddenDuration: milliseconds / count, overriddenIterationCost: milliseconds };
	});
}

addOperation("top 20 of 128256 logits", "topK", 128256);
addOperation("log-sum-exp of 128256 logits", "logSumExp", 128256);
addOperation("lexicon of 1000 terms on 64 words", "lexicon", 64);
addOperation("loose lexicon of 1000 terms on 64 words", "looseLexicon", 64);
addOperation("critic on 1 candidate, 32000 logits", "critic", 1, embeddedDefault.critic);
addOperation("critic on 16 candidates, 32000 logits", "critic", 16, embeddedDefault.critic);
addOperation("fork and drop 16 sequences behind 256 tokens", "tree", 16, randomModel("random-44m-q8_0.gguf"));
bench
	.add("one crossing into the addon (listDevices)", () => listDevices())
	.add("one token, end to end", () => free.generate({ prompt, strategy: "sample", maxTokens: 1, seed: 1 }))
	.add("guarded search of 16 × 128 tokens, token costs", () => free.generate(search))
	.add("guarded search of 16 × 128 tokens, lexicon of 1000 terms", () => withLexicon.generate(search))
	.add("guarded search of 16 × 128 tokens, cost function", () => withFunction.generate(search));
await bench.run();
console.table(bench.table());
await Promise.all([free, withLexicon, withFunction].map((guard) => guard.dispose()));
