/** Why a candidate was not continued; null if it was. */
export type PruneReason =
	/** Over a budget, or over it in the judgement of a cost model. */
	| "cost"
	/** The critic's pSafe was not above η, but that of others was; kept as a fallback. */
	| "pSafe"
	/** Others scored better, or were drawn by soft selection; kept as a fallback. */
	| "notSelected"
	/** Its text, judged once more at the end, was not within budget. */
	| "recheck"
	/** The token limit was reached before it was finished. */
	| "limit";

/** One candidate of a search. */
export interface TraceNode {
	/** Index of the candidate that it continues; -1: the prompt, or the committed text after a restart of a stream (see `position`). */
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
	/** Reward of the text, or its estimate; null if nothing asked for it. */
	reward: number | null;
	/** The critic's estimate; null without a critic. */
	pSafe: number | null;
	value: number | null;
	/** The score that selection used; null if the candidate was not eligible. */
	score: number | null;
	finished: boolean;
	/** Why it was not continued; null if it was. */
	pruned: PruneReason | null;
	/** It is the end of the response that was returned. */
	answer: boolean;
}
