/** A candidate that a cost or reward function judges. */
export interface Candidate {
	/** The response so far, with its prefill: complete characters only. */
	readonly text: string;
	/**
	 * Its token ids, without those of a prefill, and without those whose whole text a stop string cuts off. With `stop` the last of a
	 * finished response may spell more than the end of `text`, and the last of a growing one what is held back.
	 */
	readonly tokens: Int32Array;
	/** Whether the response is complete; otherwise the value is an estimate that guides the search. */
	readonly finished: boolean;
}

/**
 * Judges all candidates of a block in one call. It returns one finite number per candidate, in order; values of other types are not
 * converted. The array and its candidates are copies. The search waits for the function, so the function cannot wait for a generation of
 * the same guard: such a call rejects with INVALID_OPTION.
 */
export type ScoreFunction = (candidates: readonly Candidate[]) => ArrayLike<number> | Promise<ArrayLike<number>>;
