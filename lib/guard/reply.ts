import { InferenceGuardError } from "../errors.js";
import type { TraceNode } from "../trace.js";
import type { CertificateClaim } from "./certificate.js";

/**
 * How a generation ended.
 *
 * - `safe`: nothing had to be steered.
 * - `steered`: candidates were rejected on the way; the response is within budget.
 * - `truncated`: a committed prefix within budget, then stopped.
 * - `repaired`: the search found nothing; the response was written with a note beside the prompt, and is within budget without it.
 * - `refused`: nothing left the search.
 * - `unguarded`: the strategy does not enforce the budget; see the cost.
 */
export type Outcome = "safe" | "steered" | "truncated" | "repaired" | "refused" | "unguarded";

/** A budget and what was spent of it. */
export interface ConstraintReport {
	/** Cost of the whole response under this cost model: the discounted costs of its tokens, or what the whole text costs. */
	cost: number;
	budget: number;
	/**
	 * Safety state before the first token and after each token, the one that ended the turn included: `z[t]` = what is left of the
	 * budget (Sauté RL).
	 */
	z: number[];
	/**
	 * What a guard LLM finds unsafe about the response: the probability of each of its categories, given that it is unsafe; for
	 * ShieldGemma the probability that each policy is violated, for an encoder that the response is unsafe in this way (their sum is the
	 * cost). Only where the cost model has categories and there is a text.
	 */
	categories?: Record<string, number>;
}

/** What the critic said at the end of a block. */
export interface CriticNote {
	/** Response tokens so far. */
	position: number;
	/** Probability that the base model's continuation ends within every budget; 0 where it is over one already. */
	pSafe: number;
	/** Standard deviation of pSafe over the critic's members. */
	std: number;
	/** Expected discounted reward. */
	value: number;
}

/** The result of a generation. */
export interface Reply {
	/** The response. Its claim is: within budget under the cost models given to `load`. */
	text: string;
	/** Token ids of the response, without the end-of-generation token. */
	tokens: number[];
	/** The token that ended the turn; null where none did. */
	endToken: number | null;
	outcome: Outcome;
	/** `stop`: the model ended its turn. `length`: maxTokens or the token limit was reached. `safety`: nothing within budget was found. */
	finishReason: "stop" | "length" | "safety";
	/** Cost, budget and z of the first constraint; `constraints` has all of them. */
	safety: ConstraintReport & {
		constraints: ConstraintReport[];
		/** One entry per block; empty without a critic. */
		pSafe: CriticNote[];
		/** Samplings of candidates, retries and the attempt of a repair included. */
		rounds: number;
		/** Returns to a reserve or to the beginning. */
		backtracks: number;
	};
	/** Reward of the finished response; null where it was not finished. */
	reward: number | null;
	/** Mean log-likelihood of the response tokens, the one that ended the turn included, in nats, under the model (as it is steered, with `steering`). */
	logLikelihood: number;
	usage: {
		promptTokens: number;
		/** Tokens at the beginning of the prompt that an earlier generation of this guard had left in the KV cache. */
		cachedPromptTokens: number;
		/** Tokens of the response. */
		emittedTokens: number;
		/** Tokens sampled in the whole search, and in the attempt of a repair. */
		generatedTokens: number;
		/** KV cells, in tokens: what the cache has room for (concurrent generations share it), and the most that prompt and live tree held. */
		kvCells: { capacity: number; peak: number };
	};
	/**
	 * Milliseconds. `decode`: the model's steps, with sampling and the cost models that charge tokens, which read each row as it comes home,
	 * and with waiting for generations that share the steps; with `outputs` on the device also the critic. `cost`: cost and reward models that
	 * judge whole texts. `critic`: the critic's network where it does not run in the model's graph; the tokens that are decoded for it and its
	 * features count as `decode`.
	 */
	timings: { prefill: number; decode: number; cost: number; critic: number; total: number };
	engine: {
		/** Version of llama.cpp. */
		llamaCpp: string;
		/** Devices that ran the model. */
		backend: string;
		/** CPU threads that computed; see `threads` of `load`. */
		threads: number;
		/** Fingerprint of the model file or table; null where loading did not need it and `guard.modelHash()` was not asked for it yet. */
		modelHash: string | null;
		/** Where outputs were cut down, and where the critic runs if there is one; see `outputs` of `load`. */
		outputs: "device" | "host";
	};
	/** Repeats the generation together with the same options and build. */
	seed: number;
	/** With `certificate`: the claim that covers this reply; absent where none does. */
	certificate?: CertificateClaim;
	/** With `steering`: the strength that was applied, with the sign that the gate chose. */
	steering?: number;
	/**
	 * With `trace: true`: every candidate of the search, in the order of their making, and behind them the attempt of a repair. Where the
	 * budget is enforced, those that the token limit cut short within a block are left out.
	 */
	trace?: TraceNode[];
}

/** Thrown for a refusal with `onRefusal: "throw"`. */
export class RefusalError extends InferenceGuardError {
	static readonly code = "REFUSED";
	/** The refused generation. */
	readonly reply: Reply;

	constructor(reply: Reply) {
		const { budget } = reply.safety;
		super(
			RefusalError.code,
			`no response within budget ${budget} was found in ${reply.usage.generatedTokens} generated tokens; ` +
				"raise maxGeneratedTokens or candidates, or rephrase the prompt",
		);
		this.reply = reply;
	}
}
