// Chat completions: requests to generations, replies to the wire.
import { z } from "zod";
import { choice, expected, flag } from "../base/check.js";
import type { Reply } from "../guard/reply.js";
import type { GenerateOptions } from "../options/types.js";
import { type ChatMessage, usualRefusal } from "../prompt/chat.js";
import { RequestError } from "./errors.js";
import type { ServerOptions } from "./options.js";
import { count, countWithin, generationFields, generationOptions, length, maybe, readRequest, stopTexts, streamOptions } from "./schema.js";
import type { Frame } from "./sse.js";
import {
	endOfChunks,
	envelope,
	figuresOf,
	finishReasonOf,
	isRefused,
	type Job,
	newId,
	type ServerFacts,
	safetyOf,
	type WireFormat,
} from "./wire.js";

export const textPart = z.looseObject({ type: z.string(expected("the type of a part")), text: z.string(expected("text")).optional() });

/** Messages, and parts of one. */
export const mostMessages = 2048;

/** Text, or parts of it. */
const contentSchema = z.union(
	[z.string(), z.array(textPart).min(1).max(mostMessages)],
	expected(`text, or an array of 1 to ${mostMessages} parts with text`),
);

/** Messages as clients write them. An answer that was refused has no content. */
export const messageFields = {
	role: choice(["system", "developer", "user", "assistant"]),
	content: contentSchema.nullish(),
	tool_calls: z.array(z.unknown()).nullish(),
};

const chatSchema = z.object({
	...generationFields,
	messages: z
		.array(z.looseObject(messageFields), expected("an array of messages"))
		.min(1, expected("at least one message"))
		.max(mostMessages, { error: `expected at most ${mostMessages} messages` }),
	max_completion_tokens: length,
	max_tokens: length,
	stop: stopTexts,
	continue_final_message: maybe(flag),
	add_generation_prompt: maybe(flag),
	n: count,
	stream_options: streamOptions,
});

/** Whether the last message begins the response, as vLLM and llama-server spell it. Errors: RequestError. */
function continuesFinal({ messages, continue_final_message, add_generation_prompt }: z.output<typeof chatSchema>): boolean {
	const wrong = (param: string, expectation: string) => new RequestError("invalid_request", `${param}: ${expectation}`, { param });
	if ((continue_final_message ?? false) === (add_generation_prompt ?? true)) {
		throw wrong("add_generation_prompt", "expected false with continue_final_message: true, and only there");
	}
	if (!continue_final_message) return false;
	const last = messages.length - 1;
	if (messages[last]?.role === "assistant") return true;
	throw wrong(`messages[${last}].role`, "expected assistant in the message that continue_final_message begins the response with");
}

const textTypes = ["text", "input_text", "output_text", "refusal"];

/** The text of a part. Errors: unsupported_content. */
export function textIn({ type, text = "" }: z.output<typeof textPart>, param: string): string {
	if (textTypes.includes(type)) return text;
	throw new RequestError("unsupported_content", `${param}.type: expected text, got ${JSON.stringify(type)}`, { param });
}

function textOf(content: z.output<typeof contentSchema> | null | undefined, param: string): string {
	if (typeof content === "string") return content;
	return (content ?? []).map((part, i) => textIn(part, `${param}[${i}]`)).join("\n");
}

/** The library's message. Errors: unsupported_content. */
export function messageOf({ role, content, tool_calls }: z.output<z.ZodObject<typeof messageFields>>, param: string): ChatMessage {
	if (tool_calls?.length) {
		const place = `${param}.tool_calls`;
		throw new RequestError("unsupported_content", `${place}: expected none, since this server has no tools`, { param: place });
	}
	return { role: role === "developer" ? "system" : role, content: textOf(content, `${param}.content`) };
}

function chatFormat(facts: ServerFacts, asked: { n: number; withUsage: boolean }): WireFormat {
	const id = newId("chatcmpl-");
	const response = envelope("chat.completion", id, facts);
	const chunk = envelope("chat.completion.chunk", id, facts);
	const delta = (index: number, delta: object, finish_reason: string | null = null, more: object = {}): Frame => ({
		data: chunk([{ index, delta, logprobs: null, finish_reason, ...more }]),
	});
	const content = (reply: Reply) => (isRefused(reply) ? { content: null, refusal: usualRefusal } : { content: reply.text, refusal: null });
	return {
		...endOfChunks(chunk, asked),
		whole: (replies) => ({
			...response(
				replies.map((reply, index) => ({
					index,
					message: { role: "assistant", ...content(reply) },
					logprobs: null,
					finish_reason: finishReasonOf(reply),
					safety: safetyOf(reply),
				})),
			),
			...figuresOf(replies, asked.n),
		}),
		opening: () => Array.from({ length: asked.n }, (_, index) => delta(index, { role: "assistant", content: null })),
		piece: (index, text) => [delta(index, { content: text })],
		ending: (index, reply) => [
			...(isRefused(reply) ? [delta(index, { refusal: usualRefusal })] : []),
			delta(index, {}, finishReasonOf(reply), { safety: safetyOf(reply) }),
		],
	};
}

/** Errors: RequestError. */
export function chatJob(body: unknown, options: ServerOptions, facts: ServerFacts): Job {
	const asked = readRequest(chatSchema, body);
	const { messages, max_completion_tokens, max_tokens, stream = false, stream_options, ...request } = asked;
	const continueFinal = continuesFinal(asked);
	const n = countWithin(request.n, options);
	const conversation = messages.map((message, i) => messageOf(message, `messages[${i}]`));
	const maxTokens = max_completion_tokens ?? max_tokens;
	const generations = Array.from(
		{ length: n },
		(_, nth): GenerateOptions => ({
			messages: conversation,
			continueFinal,
			...generationOptions(request, maxTokens, options, nth),
		}),
	);
	return { generations, isStream: stream, format: chatFormat(facts, { n, withUsage: stream_options?.include_usage === true }) };
}
