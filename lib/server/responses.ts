// The Responses API, without state: requests to a generation, its reply to the wire.
import { z } from "zod";
import { expected } from "../base/check.js";
import type { Reply } from "../guard/reply.js";
import type { ChatMessage } from "../prompt/chat.js";
import { messageFields, messageOf } from "./chat.js";
import { RequestError } from "./errors.js";
import type { ServerOptions } from "./options.js";
import { generationFields, generationOptions, length, maybe, readPart, readRequest } from "./schema.js";
import type { Frame } from "./sse.js";
import {
	finishReasonOf,
	isRefused,
	type Job,
	newId,
	type ServerFacts,
	safetyOf,
	secondsNow,
	timingsOf,
	tokensOf,
	type WireFormat,
} from "./wire.js";

const item = z.looseObject({ ...messageFields, type: z.string().optional() });

const responseSchema = z.object({
	...generationFields,
	input: z.union([z.string(), z.array(z.looseObject({ type: z.string().optional() })).min(1)], expected("text, or an array of messages")),
	instructions: maybe(z.string(expected("text"))),
	max_output_tokens: length,
	metadata: maybe(z.record(z.string(), z.unknown())),
});

type ResponseRequest = z.output<typeof responseSchema>;

function messagesOf({ input, instructions }: ResponseRequest): ChatMessage[] {
	const system = instructions === undefined ? [] : [{ role: "system", content: instructions }];
	if (typeof input === "string") return [...system, { role: "user", content: input }];
	const messages = input.map((given, i) => {
		const param = `input[${i}]`;
		if ((given.type ?? "message") !== "message") {
			throw new RequestError("unsupported_content", `${param}.type: expected message, got ${JSON.stringify(given.type)}`, { param });
		}
		return messageOf(readPart(item, given, ["input", i]), param);
	});
	return [...system, ...messages];
}

const statusOf = { stop: "completed", length: "incomplete", content_filter: "incomplete" } as const;
const incompleteReasons = { length: "max_output_tokens", content_filter: "content_filter" } as const;

/** How a reply ended: a refusal is complete. */
function endOf(reply: Reply) {
	const reason = isRefused(reply) ? "stop" : finishReasonOf(reply);
	return { status: statusOf[reason], incomplete_details: reason === "stop" ? null : { reason: incompleteReasons[reason] } };
}

function usageOf(reply: Reply) {
	const { prompt, cached, completion, total } = tokensOf([reply], 1);
	return {
		input_tokens: prompt,
		input_tokens_details: { cached_tokens: cached },
		output_tokens: completion,
		output_tokens_details: { reasoning_tokens: 0 },
		total_tokens: total,
	};
}

const textPart = (text: string) => ({ type: "output_text", text, annotations: [], logprobs: [] });
const refusalPart = (refusal: string) => ({ type: "refusal", refusal });

function responseFormat(facts: ServerFacts, request: ResponseRequest): WireFormat {
	const [id, itemId] = [newId("resp_"), newId("msg_")];
	const created = secondsNow();
	const place = { item_id: itemId, output_index: 0, content_index: 0 };
	const response = (more: object) => ({
		id,
		object: "response",
		created_at: created,
		model: facts.model,
		error: null,
		incomplete_details: null,
		instructions: request.instructions ?? null,
		max_output_tokens: request.max_output_tokens ?? null,
		metadata: request.metadata ?? {},
		output: [],
		parallel_tool_calls: false,
		previous_response_id: null,
		store: false,
		temperature: request.temperature ?? null,
		text: { format: { type: "text" } },
		tool_choice: "none",
		tools: [],
		top_p: request.top_p ?? null,
		truncation: "disabled",
		usage: null,
		...more,
	});
	const partOf = (reply: Reply) => (isRefused(reply) ? refusalPart(facts.refusal) : textPart(reply.text));
	const message = (status: string, content: object[], more: object = {}) => ({
		type: "message",
		id: itemId,
		role: "assistant",
		status,
		content,
		...more,
	});
	const messageWith = (reply: Reply) => message(endOf(reply).status, [partOf(reply)], { safety: safetyOf(reply) });
	const ended = (reply: Reply) =>
		response({ ...endOf(reply), output: [messageWith(reply)], usage: usageOf(reply), timings: timingsOf([reply]) });

	let sequence = 0;
	let isBegun = false;
	const event = (type: string, more: object): Frame => ({ event: type, data: { type, sequence_number: sequence++, ...more } });
	const begin = (part: object): Frame[] => {
		if (isBegun) return [];
		isBegun = true;
		return [
			event("response.output_item.added", { output_index: 0, item: message("in_progress", []) }),
			event("response.content_part.added", { ...place, part }),
		];
	};
	const said = (reply: Reply): Frame[] =>
		isRefused(reply)
			? [
					...begin(refusalPart("")),
					event("response.refusal.delta", { ...place, delta: facts.refusal }),
					event("response.refusal.done", { ...place, refusal: facts.refusal }),
				]
			: [...begin(textPart("")), event("response.output_text.done", { ...place, text: reply.text, logprobs: [] })];
	return {
		whole: ([reply]) => ended(reply as Reply),
		opening: () =>
			["response.created", "response.in_progress"].map((type) => event(type, { response: response({ status: "in_progress" }) })),
		piece: (_, text) => [...begin(textPart("")), event("response.output_text.delta", { ...place, delta: text, logprobs: [] })],
		ending: (_, reply) => [
			...said(reply),
			event("response.content_part.done", { ...place, part: partOf(reply) }),
			event("response.output_item.done", { output_index: 0, item: messageWith(reply) }),
		],
		closing: ([reply]) => {
			const last = ended(reply as Reply);
			return [event(`response.${endOf(reply as Reply).status}`, { response: last })];
		},
		failure: ({ code, message }) => [event("response.failed", { response: response({ status: "failed", error: { code, message } }) })],
	};
}

/** Errors: RequestError. */
export function responseJob(body: unknown, options: ServerOptions, facts: ServerFacts): Job {
	const request = readRequest(responseSchema, body);
	const generation = { messages: messagesOf(request), ...generationOptions(request, request.max_output_tokens, options, 0) };
	return { generations: [generation], isStream: request.stream === true, format: responseFormat(facts, request) };
}
