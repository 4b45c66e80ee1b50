/**
 * The settings of a search, without its strategy. Defaults come with the strategy ({@link strategies}); the table in options/settings.ts
 * has a row for each setting.
 */
export interface SearchSettings {
	/** T, the longest response in tokens, 1..1048576, within the context; default 128. */
	maxTokens?: number;
	/**
	 * Strings that end a response, 1..16 of 1..256 characters; one alone may be given as it is. A response ends before the one that is complete
	 * first (of several that end together, before the longest), wherever its tokens begin and end: what is returned, judged and rewarded is
	 * the text before it. A stream holds text back while it may be the beginning of one. Costs of tokens, the log-likelihood as a reward and
	 * probes on means also count the tokens that spell the stop string, as they count an end-of-generation token. With a discount, a
	 * lexicon's term in text that was held back costs what it costs at the first token that was. The exact critic knows no `stop`
	 * (INVALID_OPTION).
	 */
	stop?: string | readonly string[];
	/** d, tokens per block, at least 1; default 32 (best-of-N rows and `filter`: the whole response; `sample`, ARGS and RE-Control rows: 1). */
	blockLength?: number;
	/** N, the most candidates per round, 1..1024; default 16 (`args`: 20; `sample`, `filter`, `reControl`: 1). More candidates than sequences are generated in several passes. */
	candidates?: number;
	/**
	 * Candidates with which a block starts, 1..N; default 1 for `guard`, otherwise N. While too few of them satisfy, the block widens, up to
	 * N. A response whose plain path is within budget therefore costs little more than plain sampling. Retries sample N at once.
	 */
	startCandidates?: number;
	/** Factor by which a block widens, at least 2; default 2. */
	candidateGrowth?: number;
	/**
	 * With a critic: the pSafe (after `uncertaintyPenalty`) from which a candidate satisfies, 0..1. Default: the value in the critic's file,
	 * with which at most 2 % of responses that end within budget are changed ({@link CriticReport}); 0.3 for the exact critic. Without a
	 * critic a candidate satisfies if the cost models find it within budget. A block of n candidates stops widening once
	 * max(1, ⌊K·n/N⌋) of them satisfy.
	 */
	satisfiedPSafe?: number;
	/** K, beams kept per block of N candidates, 1..N; default N / 4, at least 1 (best-of-N and ARGS rows: 1). A narrower block keeps the same share. */
	beams?: number;
	/** M, extra rounds for a block whose candidates are all over budget, 0..100; default 2 for `guard`, otherwise 0. */
	retries?: number;
	/** `"sample"` (default): blocks of sampled tokens. `"token"` (ARGS rows): the most probable next tokens, blocks of one. */
	expansion?: "sample" | "token";
	/**
	 * How unfinished candidates are judged: by the cost and reward models on the partial text (`models`), by the critic (default if there
	 * is one), by `both` (the critic, and the cost models must find the partial text within budget), or by log-likelihood.
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
	/** Size of a gradient step, at least 0; default 0.5. */
	latentStepSize?: number;
	/**
	 * τ, 0 (greedy) or 0.01..100; default 1. At 0, and with `topK: 1`, the candidates of a path begin with different tokens, the most
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
	 * β: in retries a token's logit is lowered by β for each failed candidate that drew it at the same position (after a temperature above 1,
	 * before one below 1); at least 0, default 0.5.
	 */
	diversityPenalty?: number;
	/** λ of the Lagrangian objective reward − λ·cost; at least 0, default 5. */
	lambda?: number;
	/**
	 * η: with a critic, unfinished candidates with a pSafe above η continue, and all others become fallbacks. If a block has no such candidate,
	 * those with the highest pSafe continue. 0..1, default 0.3 if blocks widen, 0.5 with a fixed width, as in the paper.
	 */
	pSafeThreshold?: number;
	/** With a critic: whether its value ranks unfinished candidates (default true), or the reward of the partial text. */
	ranksByValue?: boolean;
	/** κ: pSafe counts as mean − κ·std over the critic's members; at least 0, default 0. */
	uncertaintyPenalty?: number;
	/**
	 * Most tokens sampled in all; default 4·N·T. A refusal is a statement about this limit: if backtracking is not limited, `generate`
	 * answers at least as often as sampling whole responses with half of it until one is within budget.
	 */
	maxGeneratedTokens?: number;
	/** Most returns to an earlier block or to the beginning, restarts included; default: as the token limit allows for `guard`, otherwise 0. */
	maxBacktracks?: number;
	/**
	 * Whether a refusal gets one more attempt: a response that is drawn greedily with a note in the context, and judged without it. The note
	 * names the kind of harm, if a cost model knows categories, and asks to decline or to answer safely. Default true for `guard`, otherwise
	 * false. Only with `messages`: raw prompts and token ids cannot carry a note. Never after text that was streamed. Up to T tokens of
	 * `maxGeneratedTokens` are reserved for it. The outcome is `repaired` if the attempt is within every budget, otherwise `refused`.
	 */
	repair?: boolean;
}
