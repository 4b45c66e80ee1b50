// What the wire formats share: how a reply's facts are named there.
import { randomBytes } from "node:crypto";
import type { Reply } from "../guard/reply.js";
import type { GenerateOptions } from "../options/types.js";
import type { RequestError } from "./errors.js";
import type { Frame } from "./sse.js";

/** What the server says about itself in every response. */
export interface ServerFacts {
	/** The model's name. */
	model: string;
	fingerprint: string;
}

/** How the replies of one request are written. `index`: of the choice. */
export interface WireFormat {
	/** All replies at once. */
	whole(replies: Reply[]): object;
	/** Frames of a stream, in order. The pieces of several choices may be mixed. */
	opening(): Frame[];
	piece(index: number, text: string): Frame[];
	ending(index: number, reply: Reply): Frame[];
	closing(replies: Reply[]): Frame[];
	failure(error: RequestError): Frame[];
}

/** A request as it is run: one generation per choice. */
export interface Job {
	generations: GenerateOptions[];
	isStream: boolean;
	format: WireFormat;
}

export const newId = (prefix: string) => `${prefix}${randomBytes(12).toString("hex")}`;

/** Seconds since 1970. */
export const secondsNow = () => Math.floor(Date.now() / 1000);

/** What a chunk and a whole response have in common. */
export function envelope(object: string, id: string, { model, fingerprint }: ServerFacts) {
	const created = secondsNow();
	return (choices: object[]) => ({ id, object, created, model, system_fingerprint: fingerprint, choices });
}

export const isRefused = ({ outcome, text }: Reply) => outcome === "refused" && text === "";

export function finishReasonOf(reply: Reply): "stop" | "length" | "content_filter" {
	if (reply.finishReason !== "safety") return reply.finishReason;
	return reply.outcome === "refused" && !isRefused(reply) ? "stop" : "content_filter";
}

/** The name of the nth constraint. */
export const constraintName = (n: number) => `cost${n}`;

/** The guard's verdict. Without a cost model nobody knows what is within budget. */
export const safetyOf = ({ outcome, safety, reward, certificate, seed }: Reply) => ({
	outcome,
	within_budget: safety.constraints.length === 0 ? null : safety.constraints.every(({ cost, budget }) => cost <= budget),
	constraints: safety.constraints.map(({ cost, budget, categories }, i) => ({
		id: constraintName(i),
		cost,
		budget,
		...(categories && { categories }),
	})),
	p_safe: safety.pSafe.at(-1)?.pSafe ?? null,
	rounds: safety.rounds,
	backtracks: safety.backtracks,
	reward,
	...(certificate && {
		certificate: { epsilon: certificate.epsilon, judge_epsilon: certificate.judgeEpsilon, delta: certificate.delta },
	}),
	seed,
});

const sumOf = <T>(items: readonly T[], value: (item: T) => number) => items.reduce((sum, item) => sum + value(item), 0);

/** Tokens of the prompts and of the responses; `n` replies share each prompt. Tokens that the search dropped count as timings. */
export function tokensOf(replies: readonly Reply[], n: number) {
	const oncePerPrompt = replies.filter((_, i) => i % n === 0);
	const prompt = sumOf(oncePerPrompt, ({ usage }) => usage.promptTokens);
	const completion = sumOf(replies, ({ usage }) => usage.emittedTokens);
	return { prompt, completion, cached: sumOf(oncePerPrompt, ({ usage }) => usage.cachedPromptTokens), total: prompt + completion };
}

function usageOf(replies: readonly Reply[], n: number) {
	const { prompt, completion, total, cached } = tokensOf(replies, n);
	return {
		prompt_tokens: prompt,
		completion_tokens: completion,
		total_tokens: total,
		prompt_tokens_details: { cached_tokens: cached },
		completion_tokens_details: { reasoning_tokens: 0 },
	};
}

/** What a request took; `n` replies share each prompt. */
export const figuresOf = (replies: readonly Reply[], n: number) => ({ usage: usageOf(replies, n), timings: timingsOf(replies) });

/** How streams of chunks end: with what the request took, if it was asked for, and [DONE], or with an error. */
export const endOfChunks = (chunk: ReturnType<typeof envelope>, { n, withUsage }: { n: number; withUsage: boolean }) => ({
	closing: (replies: Reply[]): Frame[] => [
		...(withUsage ? [{ data: { ...chunk([]), ...figuresOf(replies, n) } }] : []),
		{ data: "[DONE]" },
	],
	failure: ({ body }: RequestError): Frame[] => [{ data: body }],
});

/** Milliseconds, over all choices. */
export function timingsOf(replies: readonly Reply[]) {
	const predicted = sumOf(replies, ({ usage }) => usage.emittedTokens);
	const prompt = sumOf(replies, ({ timings }) => timings.prefill);
	const rest = sumOf(replies, ({ timings }) => timings.total) - prompt;
	return {
		prompt_ms: prompt,
		predicted_ms: rest,
		predicted_n: predicted,
		predicted_per_second: rest > 0 ? (1000 * predicted) / rest : 0,
		search: {
			generated_tokens: sumOf(replies, ({ usage }) => usage.generatedTokens),
			rounds: sumOf(replies, ({ safety }) => safety.rounds),
			cost_ms: sumOf(replies, ({ timings }) => timings.cost),
			critic_ms: sumOf(replies, ({ timings }) => timings.critic),
		},
	};
}
