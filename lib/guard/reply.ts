import { InferenceGuardError } from "../errors.js";
import type { TraceNode } from "../trace.js";
import type { CertificateClaim } from "./certificate.js";

/**
 * How a generation ended.
 *
 * - `safe`: no candidate was rejected.
 * - `steered`: candidates were rejected; the response is within budget.
 * - `truncated`: a streamed prefix within budget, after which the search stopped.
 * - `repaired`: the search found nothing; the response was written with a note in the prompt, and is within budget when judged without it.
 * - `refused`: nothing within budget was found.
 * - `unguarded`: the strategy does not enforce the budget; see the cost.
 */
export type Outcome = "safe" | "steered" | "truncated" | "repaired" | "refused" | "unguarded";

/** A budget and its use. */
export interface ConstraintReport {
	/** Cost of the whole response under this cost model: the discounted costs of its tokens, or the cost of the whole text. */
	cost: number;
	budget: number;
	/**
	 * Safety state before the first token and after each sampled token, including the one that ended the turn and those that a stop string
	 * cuts off: `z[t]` is the remaining budget (Sauté RL). `z[0]` is the budget, less the cost of a `prefill`.
	 */
	z: number[];
	/**
	 * Categories of unsafe responses. For a guard LLM, the probability of each category given that the response is unsafe; for ShieldGemma,
	 * the probability that each policy is violated; for an encoder, the probability that the response is unsafe in this way (they sum to the
	 * cost). Only if the cost model has categories, there is a text, and the question about them fits into the judge.
	 */
	categories?: Record<string, number>;
}

/** The critic's estimate at the end of a block. */
export interface CriticNote {
	/** Response tokens so far. */
	position: number;
	/** Probability that the base model's continuation ends within every budget; 0 if it is over one already. */
	pSafe: number;
	/** Standard deviation of pSafe over the critic's members. */
	std: number;
	/** Expected discounted reward. */
	value: number;
}

/** The result of a generation. */
export interface Reply {
	/** The response, without a `prefill`. Its claim, with the prefill, is: within budget under the cost models given to `load`. */
	text: string;
	/**
	 * Token ids of the response, without the end-of-generation token, and without those whose whole text a stop string cuts off. With
	 * `stop` the last token may spell more than the end of `text`.
	 */
	tokens: number[];
	/** The token that ended the turn; null if none did. */
	endToken: number | null;
	outcome: Outcome;
	/** `stop`: the model ended its turn, or a stop string was complete. `length`: maxTokens or the token limit was reached. `safety`: nothing within budget was found. */
	finishReason: "stop" | "length" | "safety";
	/** Cost, budget and z of the first constraint; `constraints` has all of them. */
	safety: ConstraintReport & {
		constraints: ConstraintReport[];
		/** One entry per block; empty without a critic. */
		pSafe: CriticNote[];
		/** Samplings of candidates, retries and the attempt of a repair included. */
		rounds: number;
		/** Returns to a fallback or to the beginning. */
		backtracks: number;
	};
	/** Reward of the finished response; null if it is not finished. */
	reward: number | null;
	/** Mean log-likelihood of the response tokens, the one that ended the turn included, in nats, under the model (the steered model, with `steering`). */
	logLikelihood: number;
	/** The same of each token: those of `tokens`, then `endToken` if there is one. */
	logLikelihoods: number[];
	usage: {
		promptTokens: number;
		/** Tokens at the beginning of the prompt that an earlier generation of this guard had left in the KV cache. */
		cachedPromptTokens: number;
		/** Tokens of the response. */
		emittedTokens: number;
		/** Tokens sampled in the whole search, and in the attempt of a repair. */
		generatedTokens: number;
		/** KV cells, in tokens: the size of the cache (concurrent generations share it), and the most that prompt and live tree used. */
		kvCells: { capacity: number; peak: number };
	};
	/**
	 * Milliseconds. `decode`: the model's steps, including sampling, cost models of tokens, and waiting for generations that share the steps;
	 * with `outputs` on the device also the critic. `cost`: cost and reward models of whole texts. `critic`: the critic's network if it does
	 * not run in the model's graph; the tokens that are decoded for it and its features count as `decode`.
	 */
	timings: { prefill: number; decode: number; cost: number; critic: number; total: number };
	engine: {
		/** Version of llama.cpp. */
		llamaCpp: string;
		/** Devices that ran the model. */
		backend: string;
		/**
		 * CPU level that the binary was built for: on x86-64 `"avx2"`, `"avx512"` or `"amx"`, on arm64 `"dotprod"` or `"i8mm"`; `"native"` for a
		 * source build, which is for the machine that built it. `INFERENCEGUARD_CPU` chooses another one.
		 */
		cpu: string;
		/** CPU threads that computed; see `threads` of `load`. */
		threads: number;
		/** Fingerprint of the model file or table; null if loading did not need it and `guard.modelHash()` was not called yet. */
		modelHash: string | null;
		/** Where logits were reduced, and where the critic runs if there is one; see `outputs` of `load`. */
		outputs: "device" | "host";
	};
	/** Repeats the generation together with the same options and build. */
	seed: number;
	/** With `certificate`: the claim that covers this reply; absent if none does. */
	certificate?: CertificateClaim;
	/** With `steering`: the strength that was applied, with the sign that the gate chose. */
	steering?: number;
	/**
	 * With `trace: true`: every candidate of the search in order of creation, and after them the attempt of a repair. If the budget is
	 * enforced, candidates that the token limit cut within a block are left out.
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
