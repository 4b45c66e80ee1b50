import type { SearchSettings } from "./native.js";

/** A strategy: the settings that make one row of the comparison out of the one search loop. */
export type StrategySettings = Omit<SearchSettings, "maxTokens" | "seed" | "maxGeneratedTokens" | "estimator" | "beams" | "blockLength"> & {
	/** `response` makes one block of the whole response. */
	blockLength: number | "response";
	/** Beams per candidate. */
	beamShare: number;
};

const base: StrategySettings = {
	expansion: "sample",
	objective: "reward",
	temperature: 1,
	topK: 0,
	topP: 1,
	minP: 0,
	blockLength: 32,
	candidates: 16,
	beamShare: 1 / 4,
	retries: 0,
	diversityPenalty: 0.5,
	lambda: 5,
	pSafeThreshold: 0.5,
	uncertaintyPenalty: 0,
	ranksByValue: true,
};

/**
 * The named strategies. Only those with the augmented objective enforce the budget; the others exist to be compared with
 * and report the outcome `unguarded`.
 *
 * - `guard`: InferenceGuard (arXiv 2502.01208, section 5): beams of blocks, retries with a diversity penalty.
 * - `beam`: beams of blocks by reward.
 * - `bestOfN`: N whole responses, the best by reward.
 * - `sample`: plain sampling.
 */
export const strategies = {
	guard: { ...base, objective: "augmented", retries: 2 },
	beam: base,
	bestOfN: { ...base, blockLength: "response", beamShare: 0 },
	sample: { ...base, candidates: 1, blockLength: 1 },
} as const satisfies Record<string, StrategySettings>;

/** Name of a strategy. */
export type StrategyName = keyof typeof strategies;

export const strategyNames = Object.keys(strategies) as [StrategyName, ...StrategyName[]];
