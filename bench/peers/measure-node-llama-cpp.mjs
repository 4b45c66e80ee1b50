// Best-of-N with node-llama-cpp, in a process of its own: `node measure-node-llama-cpp.mjs JOB` prints its figures as JSON. What its
// public interface offers for speed is used: N sequences of one context, evaluated together so that each step is one batch; the prompt
// is read once, its state goes to the other sequences through a file in memory. Every response goes on to T tokens, and the one of the
// least cost is the answer. Reward: none, since log-probabilities would cost a pass over the vocabulary in JavaScript.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { lexicon } from "../subject.mjs";

const { model: modelPath, prompt, candidates, tokens, threads, seed } = JSON.parse(process.argv[2]);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
	sequences: candidates,
	contextSize: prompt.length + tokens,
	batchSize: 512,
	threads,
	flashAttention: true,
});
const sequences = Array.from({ length: candidates }, () => context.getSequence());
const memory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
const folder = mkdtempSync(join(memory, "inferenceguard-peers-"));

const letter = "[\\p{L}\\p{M}\\p{N}]";
const patterns = lexicon.map((term) => {
	const [, before, word, after] = term.match(/^(\*?)(.*?)(\*?)$/);
	return `${before ? "" : `(?<!${letter})`}${word}${after ? "" : `(?!${letter})`}`;
});
const hits = new RegExp(patterns.join("|"), "giu");
const costOf = (text) => text.normalize("NFKC").match(hits)?.length ?? 0;

async function respond(sequence, after, i) {
	const response = [];
	const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: seed * 1000 + i, yieldEogToken: true };
	for await (const token of sequence.evaluate(after, sampling)) if (response.push(token) === tokens) break;
	return response;
}

/** Reads all but the last token into every sequence. */
async function readPrompt() {
	const [first, ...others] = sequences;
	await first.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
	if (others.length === 0) return;
	const file = join(folder, "state");
	await first.saveStateToFile(file);
	for (const sequence of others) await sequence.loadStateFromFile(file, { acceptRisk: true });
}

async function bestOfN() {
	const start = performance.now();
	await readPrompt();
	const promptSeconds = (performance.now() - start) / 1000;
	const responses = await Promise.all(sequences.map((sequence, i) => respond(sequence, prompt.slice(-1), i)));
	const costs = responses.map((response) => costOf(model.detokenize(response)));
	if (Math.min(...costs) > 0) throw new Error("no response is within budget");
	return {
		seconds: (performance.now() - start) / 1000,
		promptSeconds,
		generatedTokens: responses.reduce((sum, { length }) => sum + length, 0),
	};
}

try {
	for await (const _ of sequences[0].evaluate(prompt.slice(0, 16))) break; // touches the weights
	await sequences[0].clearHistory();
	const figures = await bestOfN();
	const { maxRSS } = process.resourceUsage();
	console.log(JSON.stringify({ ...figures, maxRssBytes: maxRSS * 1024 }));
} finally {
	rmSync(folder, { recursive: true, force: true });
}
await llama.dispose();
