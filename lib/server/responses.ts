// The Responses API, without state: requests to a generation, its reply to the wire.
import { z } from "zod";
import { expected } from "../base/check.js";
import type { Reply } from "../guard/reply.js";
import { type ChatMessage, usualRefusal } from "../prompt/chat.js";
import { messageFields, messageOf, mostMessages } from "./chat.js";
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
	input: z.union(
		[
			z.string(),
			z
				.array(z.looseObject({ type: z.string().optional() }))
				.min(1)
				.max(mostMessages),
		],
		expected(`text, or an array of 1 to ${mostMessages} messages`),
	),
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

/** Writes one response; its events are numbered. */
class ResponseFormat implements WireFormat {
	readonly #facts: ServerFacts;
	readonly #request: ResponseRequest;
	readonly #id = newId("resp_");
	readonly #messageId = newId("msg_");
	readonly #created = secondsNow();
	#events = 0;
	#isBegun = false;

	constructor(facts: ServerFacts, request: ResponseRequest) {
		this.#facts = facts;
		this.#request = request;
	}

	whole([reply]: Reply[]) {
		return this.#ended(reply as Reply);
	}

	opening(): Frame[] {
		const response = this.#response({ status: "in_progress" });
		return ["response.created", "response.in_progress"].map((type) => this.#event(type, { response }));
	}

	piece(_: number, text: string): Frame[] {
		return [...this.#begin(textPart("")), this.#ofPart("response.output_text.delta", { delta: text, logprobs: [] })];
	}

	ending(_: number, reply: Reply): Frame[] {
		return [
			...(isRefused(reply) ? this.#refusal() : this.#text(reply)),
			this.#ofPart("response.content_part.done", { part: this.#partOf(reply) }),
			this.#event("response.output_item.done", { output_index: 0, item: this.#messageWith(reply) }),
		];
	}

	closing([reply]: Reply[]): Frame[] {
		return [this.#event(`response.${endOf(reply as Reply).status}`, { response: this.#ended(reply as Reply) })];
	}

	failure({ code, message }: RequestError): Frame[] {
		return [this.#event("response.failed", { response: this.#response({ status: "failed", error: { code, message } }) })];
	}

	#event(type: string, more: object): Frame {
		return { event: type, data: { type, sequence_number: this.#events++, ...more } };
	}

	#ofPart(type: string, more: object): Frame {
		return this.#event(type, { item_id: this.#messageId, output_index: 0, content_index: 0, ...more });
	}

	/** The message and its only part, before the first of its contents. */
	#begin(part: object): Frame[] {
		if (this.#isBegun) return [];
		this.#isBegun = true;
		return [
			this.#event("response.output_item.added", { output_index: 0, item: this.#message("in_progress", []) }),
			this.#ofPart("response.content_part.added", { part }),
		];
	}

	#text({ text }: Reply): Frame[] {
		return [...this.#begin(textPart("")), this.#ofPart("response.output_text.done", { text, logprobs: [] })];
	}

	#refusal(): Frame[] {
		return [
			...this.#begin(refusalPart("")),
			this.#ofPart("response.refusal.delta", { delta: usualRefusal }),
			this.#ofPart("response.refusal.done", { refusal: usualRefusal }),
		];
	}

	#partOf(reply: Reply) {
		return isRefused(reply) ? refusalPart(usualRefusal) : textPart(reply.text);
	}

	#message(status: string, content: object[], more: object = {}) {
		return { type: "message", id: this.#messageId, role: "assistant", status, content, ...more };
	}

	#messageWith(reply: Reply) {
		return this.#message(endOf(reply).status, [this.#partOf(reply)], { safety: safetyOf(reply) });
	}

	#ended(reply: Reply) {
		const output = [this.#messageWith(reply)];
		return this.#response({ ...endOf(reply), output, usage: usageOf(reply), timings: timingsOf([reply]) });
	}

	#response(more: object) {
		const { instructions = null, max_output_tokens = null, metadata = {}, temperature = null, top_p = null } = this.#request;
		return {
			id: this.#id,
			object: "response",
			created_at: this.#created,
			model: this.#facts.model,
			error: null,
			incomplete_details: null,
			instructions,
			max_output_tokens,
			metadata,
			output: [],
			parallel_tool_calls: false,
			previous_response_id: null,
			store: false,
			temperature,
			text: { format: { type: "text" } },
			tool_choice: "none",
			tools: [],
			top_p,
			truncation: "disabled",
			usage: null,
			...more,
		};
	}
}

/** Errors: RequestError. */
export function responseJob(body: unknown, options: ServerOptions, facts: ServerFacts): Job {
	const request = readRequest(responseSchema, body);
	const generation = { messages: messagesOf(request), ...generationOptions(request, request.max_output_tokens, options, 0) };
	return { generations: [generation], isStream: request.stream === true, format: new ResponseFormat(facts, request) };
}
