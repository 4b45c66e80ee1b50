// Random small Markov decision processes, and how far a critic that was trained on rollouts of one is from the exact critic.
import { join } from "node:path";
import { randomNumbers } from "../../dist/data/random.js";
import { InferenceGuard } from "../../dist/index.js";
import { collectRollouts, trainCritic } from "../../dist/training/index.js";

export const maxTokens = 4;

/** A model whose next token depends on the last one, with costs of tokens and a budget. */
export function randomCase(seed) {
	const random = randomNumbers(seed);
	const size = 3 + (seed % 2);
	const row = () => Array.from({ length: size }, () => random() * 4 - 2);
	const model = {
		pieces: [..."abcd"].slice(0, size),
		logits: Array.from({ length: size }, row),
		ends: seed % 3 === 0 ? [size - 1] : [],
	};
	const tokenCosts = [0, 0.5, 1, 2].slice(0, size).map((cost) => (random() < 0.1 ? 0 : cost));
	return { guard: { model, cost: { tokenCosts }, budget: 1 + (seed % 3) }, size };
}

/**
 * A critic of a case in `FOLDER/NAME.gguf`, and the report of its training.
 * @param {ReturnType<typeof randomCase>} one
 * @param {string} folder
 * @param {string} name
 * @param {Partial<import("../../dist/training/index.js").TrainCriticOptions> & { responses?: number }} options
 */
export async function trainedOn({ guard, size }, folder, name, { responses = 20, ...options } = {}) {
	// different prompts, of which the model reads the last token
	const digits = (i) => Array.from({ length: 6 }, (_, d) => Math.floor(i / size ** d) % size);
	const prompts = Array.from({ length: 200 }, (_, i) => digits(i).reverse());
	const rollouts = join(folder, `${name}-rollouts`);
	await collectRollouts({ ...guard, prompts, responses, maxTokens, stride: 1, out: rollouts, batch: 256 });
	const critic = join(folder, `${name}.gguf`);
	const network = { layers: 2, width: 32, members: 2, threads: 1, learningRate: 0.003, epochs: 15 };
	return { critic, report: await trainCritic({ rollouts, out: critic, ...network, ...options }) };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean errors of pSafe and value in the states that 60 responses pass and that are still feasible, and the share of searches that do as well. */
export async function compareWithExact(seed, folder, searches = 20) {
	const one = randomCase(seed);
	const { critic } = await trainedOn(one, folder, `exact-${seed}`, { responses: 100, width: 64, epochs: 16 });
	const learned = await InferenceGuard.load({ ...one.guard, critic });
	const exact = await InferenceGuard.load({ ...one.guard, model: { ...one.guard.model, oracle: true } });
	const both = (options) => Promise.all([learned, exact].map((guard) => guard.generate({ maxTokens, blockLength: 1, ...options })));

	const states = [];
	let wronglyHopeful = 0; // states of which the budget is spent, but pSafe is not 0
	for (let i = 0; i < 60; i++) {
		const [mine, reference] = await both({ prompt: [i % one.size], strategy: "sample", estimator: "critic", seed: i });
		for (const [at, { position, pSafe, value }] of mine.safety.pSafe.entries()) {
			const truth = reference.safety.pSafe[at];
			if (mine.safety.z[position] >= 0) states.push({ pSafe: Math.abs(pSafe - truth.pSafe), value: Math.abs(value - truth.value) });
			else if (pSafe !== 0) wronglyHopeful++;
		}
	}
	let asGood = 0;
	for (let i = 0; i < searches; i++) {
		const [mine, reference] = await both({ prompt: [i % one.size], candidates: 6, startCandidates: 6, beams: 2, seed: i });
		if (reference.outcome === "refused" || (mine.outcome !== "refused" && mine.reward >= reference.reward - 1e-6)) asGood++;
	}
	await Promise.all([learned, exact].map((guard) => guard.dispose()));
	return {
		states: states.length,
		wronglyHopeful,
		pSafeError: mean(states.map(({ pSafe }) => pSafe)),
		valueError: mean(states.map(({ value }) => value)),
		asGood: asGood / searches,
	};
}
