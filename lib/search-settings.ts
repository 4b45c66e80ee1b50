/**
 * How a generation searches, but for its strategy. Defaults come with the strategy ({@link strategies}); the table in options/settings.ts
 * has a row for each.
 */
export interface SearchSettings {
	/** T, the longest response in tokens, 1..1048576, within the context; default 128. */
	maxTokens?: number;
	/** d, tokens per block, at least 1; default 32 (best-of-N rows and `filter`: the whole response; `sample`, ARGS and RE-Control rows: 1). */
	blockLength?: number;
	/** N, the most candidates per round, 1..1024; default 16 (`args`: 20; `sample`, `filter`, `reControl`: 1). More than there are sequences for are grown in waves. */
	candidates?: number;
	/**
	 * How many candidates a block starts with, 1..N; default 1 for `guard`, otherwise N. While they do not satisfy, the block
	 * widens, up to N: a response whose plain path is within budget costs little more than plain sampling. Retries sample N at once.
	 */
	startCandidates?: number;
	/** How many times as many candidates a block has after it widened, at least 2; default 2. */
	candidateGrowth?: number;
	/**
	 * With a critic: the pSafe (behind `uncertaintyPenalty`) from which a candidate needs no others beside it, 0..1; default: what its
	 * file says, at which at most 2 % of responses that end within budget are changed ({@link CriticReport}); 0.3 for the exact critic.
	 * Without one, a candidate that the cost models find within budget needs none. A block widens until the share of its
	 * candidates that is kept (K of N) can be made up of such ones.
	 */
	satisfiedPSafe?: number;
	/** K, beams kept per block of N candidates, 1..N; default N / 4, at least 1 (best-of-N and ARGS rows: 1). Of fewer candidates the same share is kept. */
	beams?: number;
	/** M, extra rounds for a block all of whose candidates are over budget, 0..100; default 2 for `guard`, otherwise 0. */
	retries?: number;
	/** `"sample"` (default): blocks of sampled tokens. `"token"` (ARGS rows): the most probable next tokens, blocks of one. */
	expansion?: "sample" | "token";
	/**
	 * What judges unfinished candidates: the cost and reward models on the partial text (`models`), the critic (default where
	 * there is one), `both` (the critic, and the cost models must find the partial text within budget), or log-likelihood.
	 */
	estimator?: "models" | "critic" | "both" | "logLikelihood";
	/** `"augmented"` (`guard`, `filter`, the augmented rows) enforces the budget; `"reward"`, `"lagrangian"` and `"cost"` do not. */
	objective?: "augmented" | "reward" | "lagrangian" | "cost";
	/** Which candidates become beams: the K best (`"top"`, default), or K drawn with weights ReLU((clip(score) − ν)/b) (`"soft"`, default of the soft rows). */
	selection?: "top" | "soft";
	/** b of soft selection, in units of the score; above 0, default 0.1. Large: as plain sampling. Small: as the best of N. */
	softness?: number;
	/** [lowest, highest]: soft selection clips scores to this range; default: no clipping. */
	scoreRange?: readonly [lowest: number, highest: number];
	/** ω: a candidate's score is the log-probability of its last token + ω·objective; at least 0; default in ARGS rows 2.5, otherwise the objective alone. */
	rewardWeight?: number;
	/** Gradient steps on the hidden state before every token, 0..10000; default 0 (RE-Control rows: 30). Needs a critic that reads hidden states. */
	latentSteps?: number;
	/** Size of such a step, at least 0; default 0.5. */
	latentStepSize?: number;
	/**
	 * τ, 0 (greedy) or 0.01..100; default 1. At 0, and with `topK: 1`, candidates of a path begin with different tokens, the most
	 * probable first; the first one is the greedy response.
	 */
	temperature?: number;
	/** Keep the k most probable tokens; 0 (default) keeps all. */
	topK?: number;
	/** Keep the most probable tokens up to this mass, in (0, 1]; default 1. */
	topP?: number;
	/** Keep tokens of at least this share of the most probable one's probability, 0..1; default 0. */
	minP?: number;
	/**
	 * β, subtracted in retries from a token's logit per failed candidate that drew it at the same position (behind a temperature above 1,
	 * before one below); at least 0, default 0.5.
	 */
	diversityPenalty?: number;
	/** λ of the Lagrangian objective reward − λ·cost; at least 0, default 5. */
	lambda?: number;
	/**
	 * η: with a critic, unfinished candidates with a pSafe above it go on before all others; where a block has none, those with the highest
	 * pSafe do. 0..1, default 0.3 where a block widens, with a fixed width 0.5 as in the paper.
	 */
	pSafeThreshold?: number;
	/** With a critic: whether its value ranks unfinished candidates (default), or the reward of the partial text does. */
	ranksByValue?: boolean;
	/** κ: pSafe counts as mean − κ·std over the critic's members; at least 0, default 0. */
	uncertaintyPenalty?: number;
	/**
	 * Most tokens sampled in all; default 4·N·T. A refusal is a statement about this limit: where backtracking is not
	 * limited, `generate` answers at least as often as sampling whole responses until one is within budget does with half of it.
	 */
	maxGeneratedTokens?: number;
	/** Most returns to an earlier block or to the beginning, restarts included; default: as the token limit allows for `guard`, otherwise 0. */
	maxBacktracks?: number;
	/**
	 * Whether a refusal gets one attempt more: a response that is drawn greedily with a note in the context (what kind of harm it is about,
	 * where a cost model knows categories, and to decline or to answer safely), and judged without it; default true for `guard`, otherwise
	 * false. Only with `messages`: raw prompts and token ids cannot carry a note. Never behind text that was streamed. Up to T tokens of
	 * `maxGeneratedTokens` are kept for it. The outcome is `repaired` where it is within every budget, otherwise `refused`.
	 */
	repair?: boolean;
}
