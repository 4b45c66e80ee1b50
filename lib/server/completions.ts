// Completions of raw prompts: requests to generations, replies to the wire.
import { z } from "zod";
import { expected } from "../base/check.js";
import type { Reply } from "../guard/reply.js";
import type { GenerateOptions } from "../options/types.js";
import { mostChoices, type ServerOptions } from "./options.js";
import { count, countWithin, generationFields, generationOptions, length, readRequest, stopTexts, streamOptions } from "./schema.js";
import { endOfChunks, envelope, figuresOf, finishReasonOf, type Job, newId, type ServerFacts, safetyOf, type WireFormat } from "./wire.js";

const tokens = z.array(z.number());
const promptSchema = z.union(
	[z.string(), tokens.min(1), z.array(z.string()).min(1).max(mostChoices), z.array(tokens).min(1).max(mostChoices)],
	expected(`text, token ids, or an array of 1 to ${mostChoices} of either`),
);

const completionSchema = z.object({
	...generationFields,
	prompt: promptSchema,
	max_tokens: length,
	stop: stopTexts,
	n: count,
	stream_options: streamOptions,
});

type Single = string | number[];

function promptsOf(prompt: z.output<typeof promptSchema>): Single[] {
	const isOne = typeof prompt === "string" || typeof prompt[0] === "number";
	return isOne ? [prompt as Single] : (prompt as Single[]);
}

function completionFormat(facts: ServerFacts, asked: { n: number; withUsage: boolean }): WireFormat {
	const response = envelope("text_completion", newId("cmpl-"), facts);
	const choice = (index: number, text: string, reply?: Reply) => ({
		index,
		text,
		logprobs: null,
		finish_reason: reply === undefined ? null : finishReasonOf(reply),
		...(reply && { safety: safetyOf(reply) }),
	});
	return {
		...endOfChunks(response, asked),
		whole: (replies) => ({
			...response(replies.map((reply, index) => choice(index, reply.text, reply))),
			...figuresOf(replies, asked.n),
		}),
		opening: () => [],
		piece: (index, text) => [{ data: response([choice(index, text)]) }],
		ending: (index, reply) => [{ data: response([choice(index, "", reply)]) }],
	};
}

/** One choice for each prompt and each of `n`, those of a prompt in a row. Errors: RequestError. */
export function completionJob(body: unknown, options: ServerOptions, facts: ServerFacts): Job {
	const { prompt, max_tokens, stream = false, stream_options, ...request } = readRequest(completionSchema, body);
	const prompts = promptsOf(prompt);
	const n = countWithin(request.n, options, prompts.length);
	const generations = prompts.flatMap((one) =>
		Array.from({ length: n }, (_, nth): GenerateOptions => ({ prompt: one, ...generationOptions(request, max_tokens, options, nth) })),
	);
	return { generations, isStream: stream, format: completionFormat(facts, { n, withUsage: stream_options?.include_usage === true }) };
}
