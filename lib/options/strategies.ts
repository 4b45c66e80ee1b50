import { z } from "zod";
import { choice } from "../base/check.js";
import { kebabCase } from "../base/kebab-case.js";
import type { SearchSettings } from "../search-settings.js";
import { type DefaultedSetting, defaultSettings } from "./settings.js";

/** A strategy: the settings that make one row of the comparison out of the one search loop. */
export type StrategySettings = Required<Omit<Pick<SearchSettings, DefaultedSetting>, "blockLength">> &
	Pick<SearchSettings, "estimator" | "startCandidates" | "rewardWeight"> & {
		/** `response` makes one block of the whole response. */
		blockLength: number | "response";
		/** Beams per candidate. */
		beamShare: number;
	};

const searching: StrategySettings = { ...defaultSettings, beamShare: 1 / 4 };

const base: StrategySettings = { ...searching, estimator: "models" };
const guard: StrategySettings = {
	...searching,
	objective: "augmented",
	startCandidates: 1,
	retries: 2,
	maxBacktracks: Number.MAX_SAFE_INTEGER,
	repair: true,
};
const bestOfN: StrategySettings = { ...base, blockLength: "response", beamShare: 0 };
const args: StrategySettings = { ...base, expansion: "token", blockLength: 1, candidates: 20, beamShare: 0, rewardWeight: 2.5 };
const sample: StrategySettings = { ...base, candidates: 1, blockLength: 1 };
const reControl: StrategySettings = { ...sample, latentSteps: 30 };

/**
 * The named strategies: rows of settings of the one search loop. Those with the augmented objective enforce the budget: they return a
 * response within it, or none. The others are for comparison and report the outcome `unguarded`. In `guard` the critic judges unfinished
 * text if there is one; in the others the cost and reward models do.
 *
 * - `guard`: InferenceGuard (Ji et al. 2025, arXiv 2502.01208, section 5): beams of blocks, augmented objective, retries with a
 *   diversity penalty. Differences: a block starts with one candidate and widens only if that does not satisfy; η is an order, not a
 *   wall; backtracking goes back further with every dead end; restarts make it never worse than retrying; the whole text is re-checked; a
 *   search that finds nothing makes one attempt at repair, and then refuses. `startCandidates: N` is the paper's fixed width.
 * - `sample`: plain sampling from the base model.
 * - `filter`: one plainly sampled response, returned if the cost model finds it within budget, otherwise refused, as by a guardrail on the
 *   output of a model. With a guard model as the cost it is the output half of "SLM as Guardian" (Kwon et al. 2024, arXiv 2405.19795).
 *   Difference: the refusal is not a text of the guard model.
 * - `bestOfN`: N whole responses, the best by reward (Stiennon et al. 2020, arXiv 2009.01325).
 * - `bestOfNLagrangian`: the best by reward − λ·cost, as in the comparison of arXiv 2502.01208.
 * - `bestOfNAugmented`: the best by reward among those within budget. Difference from that comparison: if none is within budget it refuses,
 *   and does not return an arbitrary response.
 * - `softBestOfN`: one of N drawn with weights ReLU((clip(r) − ν)/b), which bounds how far the reward can be over-optimised
 *   (InferenceTimePessimism, Huang et al. 2025, arXiv 2503.21878). Difference: drawn from the weights directly instead of by
 *   rejection, with ν such that they have mean 1 over the N.
 * - `beam`, `beamLagrangian`, `beamAugmented`: beams of blocks (Snell et al. 2024, arXiv 2408.03314, section 5) under the three
 *   objectives; the cost and reward models themselves judge unfinished text, not a process reward model. If no beam of `beamAugmented`
 *   may be continued, the best finished candidate that was not selected is the answer.
 * - `softBeam`: beams drawn as in `softBestOfN`, after every block and at the end.
 * - `args`: ARGS (Khanov et al. 2024, arXiv 2402.01694), greedy: each next token is the one of the 20 most probable with the
 *   largest log-probability + ω·reward of the text with it. `argsLagrangian`: ω·(reward − λ·cost); `argsCost`: −ω·cost.
 * - `reControl`: RE-Control (Kong et al. 2024, arXiv 2406.05954): before every token 30 gradient steps on the last hidden state,
 *   uphill on the critic's value, then the output head. Differences: the critic is this package's (it also reads logits, z and
 *   position, held fixed, and normalises the hidden state); the hidden state that later tokens attend to is not edited.
 *   `reControlLagrangian`: uphill on value − λ·(1 − pSafe).
 */
export const strategies = {
	guard,
	sample,
	filter: { ...bestOfN, candidates: 1, objective: "augmented" },
	bestOfN,
	bestOfNLagrangian: { ...bestOfN, objective: "lagrangian" },
	bestOfNAugmented: { ...bestOfN, objective: "augmented" },
	softBestOfN: { ...bestOfN, selection: "soft" },
	beam: base,
	beamLagrangian: { ...base, objective: "lagrangian" },
	beamAugmented: { ...base, objective: "augmented" },
	softBeam: { ...base, selection: "soft" },
	args,
	argsLagrangian: { ...args, objective: "lagrangian" },
	argsCost: { ...args, objective: "cost" },
	reControl,
	reControlLagrangian: { ...reControl, objective: "lagrangian" },
} as const satisfies Record<string, StrategySettings>;

/** Name of a strategy. */
export type StrategyName = keyof typeof strategies;

export const strategyNames = Object.keys(strategies) as [StrategyName, ...StrategyName[]];

type KebabCase<S extends string> = S extends `${infer First}${infer Rest}`
	? `${First extends Lowercase<First> ? First : `-${Lowercase<First>}`}${KebabCase<Rest>}`
	: S;

/** A strategy as it may be spelled: `bestOfN` or `best-of-n`. */
export type StrategySpelling = StrategyName | KebabCase<StrategyName>;

/** The strategy with this spelling; undefined if there is none. */
export const strategyNamed = (spelled: string): StrategyName | undefined =>
	strategyNames.find((name) => name === spelled || kebabCase(name) === spelled);

export const strategyName = z.preprocess(
	(given) => (typeof given === "string" ? (strategyNamed(given) ?? given) : given),
	choice(strategyNames),
);
