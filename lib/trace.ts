/** Why a candidate was not continued; null where it was. */
export type PruneReason =
	/** Over a budget, or judged by a cost model to be. */
	| "cost"
	/** The critic's pSafe was not above η, and that of others was; kept as a reserve. */
	| "pSafe"
	/** Others scored better, or were drawn by soft selection; kept as a reserve. */
	| "notSelected"
	/** Its text, judged once more at the end, was not within budget. */
	| "recheck"
	/** The token limit was reached before it was finished. */
	| "limit";

/** One candidate of a search. */
export interface TraceNode {
	/** Index of the candidate that it continues; -1: the prompt, or in a stream that began again what was committed (see `position`). */
	parent: number;
	/** 0 for the first sampling of its block, 1… for retries. */
	round: number;
	/** Response tokens before the block. */
	position: number;
	/** Tokens of the block. */
	tokens: number;
	/** Text of the block. */
	text: string;
	/** Safety state at its end, one per constraint. */
	z: number[];
	/** Cost so far with the estimate for an unfinished text, over all constraints. */
	cost: number;
	/** Reward of the text, or its estimate; null where it was not asked for. */
	reward: number | null;
	/** What the critic said; null without one. */
	pSafe: number | null;
	value: number | null;
	/** What the selection went by; null: out of the question. */
	score: number | null;
	finished: boolean;
	/** Why it was not continued; null where it was. */
	pruned: PruneReason | null;
	/** It is the end of the response that was returned. */
	answer: boolean;
}
