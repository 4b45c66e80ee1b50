// The Responses API through the official client.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { createHandler } from "../lib/server/index.js";
import { chatMetadata } from "./listening-model.js";
import { ask, clientOf, requestOf, short } from "./serving.js";
import { smallModel, temporaryFolder } from "./temporary.js";

let wordy: InferenceGuard;
let refusing: InferenceGuard;
beforeAll(async () => {
	const model = smallModel(temporaryFolder(), { metadata: chatMetadata });
	wordy = await InferenceGuard.load({ model, cost: { lexicon: ["w3*"] }, budget: 1, threads: 1 });
	refusing = await InferenceGuard.load({ model, cost: (candidates) => candidates.map(() => 1), budget: 0, threads: 1 });
});
afterAll(() => Promise.all([wordy.dispose(), refusing.dispose()]));

const seeded = { seed: 3 } as object;
const asked = { model: "inferenceguard", input: "w301 w302", ...seeded };

describe("a response", () => {
	test("is the text of a chat with the same messages, incomplete where it was cut", async () => {
		const input = [
			{ role: "user" as const, content: "w301" },
			{ role: "assistant" as const, content: "w305" },
			{ type: "message" as const, role: "user" as const, content: [{ type: "input_text" as const, text: "w302" }] },
		];
		const response = await clientOf(wordy).responses.create({ ...asked, instructions: "w310", input, metadata: { a: "b" } });
		const messages = [
			{ role: "system", content: "w310" },
			{ role: "user", content: "w301" },
			{ role: "assistant", content: "w305" },
			{ role: "user", content: "w302" },
		];
		const reply = await wordy.generate({ messages, ...short.search, seed: 3 });
		expect(response.output_text).toBe(reply.text);
		expect(response).toMatchObject({
			object: "response",
			store: false,
			metadata: { a: "b" },
			usage: { output_tokens: reply.tokens.length },
		});
		expect(response.status).toBe(reply.finishReason === "length" ? "incomplete" : "completed");
		expect(response.output[0]).toMatchObject({ type: "message", role: "assistant", safety: { outcome: reply.outcome, seed: 3 } });
	});

	test("that is cut says why", async () => {
		const response = await clientOf(wordy, { search: { strategy: "sample" } }).responses.create({ ...asked, max_output_tokens: 2 });
		expect(response).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
	});

	test("that is refused is complete and has a refusal", async () => {
		const response = await clientOf(refusing).responses.create(asked);
		expect(response).toMatchObject({ status: "completed", output_text: "", output: [{ content: [{ type: "refusal" }] }] });
	});
});

describe("a stream of events", () => {
	test.each([() => wordy, () => refusing])("builds the response that it ends with, in order", async (guard) => {
		const stream = await clientOf(guard()).responses.create({ ...asked, stream: true });
		const events = [];
		for await (const event of stream) events.push(event);
		expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
		const types = events.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
		const kind = guard() === wordy ? "output_text" : "refusal";
		expect(types).toEqual([
			"response.created",
			"response.in_progress",
			"response.output_item.added",
			"response.content_part.added",
			`response.${kind}.delta`,
			`response.${kind}.done`,
			"response.content_part.done",
			"response.output_item.done",
			expect.stringMatching(/^response\.(completed|incomplete)$/),
		]);
		const deltas = events.map((event) => ("delta" in event && typeof event.delta === "string" ? event.delta : "")).join("");
		const last = events.at(-1) as { response: { output: { content: { text?: string; refusal?: string }[] }[] } };
		const [part] = last.response.output[0]?.content ?? [];
		expect(deltas).toBe(part?.text ?? part?.refusal);
	});

	test("has named events and no [DONE]", async () => {
		const response = await createHandler(wordy, short)(requestOf("/v1/responses", { ...asked, stream: true }));
		const frames = (await response.text()).trim().split("\n\n");
		for (const frame of frames) expect(frame).toMatch(/^event: (response\.[\w.]+)\ndata: \{"type":"\1"/);
	});
});

test.each([
	[{ input: [] }, "invalid_request", "input"],
	[{ input: [{ type: "message", role: "user", content: 3 }] }, "invalid_request", "input[0].content"],
	[{ input: [{ type: "function_call_output", call_id: "x", output: "y" }] }, "unsupported_content", "input[0]"],
	[{ stop: "x" }, "unsupported_parameter", "stop"],
	[{ reasoning: { effort: "high" } }, "unsupported_parameter", "reasoning"],
	[{ previous_response_id: "resp_1" }, "unsupported_parameter", "previous_response_id"],
	[{ background: true }, "unsupported_parameter", "background"],
	[{ tools: [{ type: "web_search" }] }, "unsupported_parameter", "tools"],
	[{ text: { format: { type: "json_schema" } } }, "unsupported_parameter", "text"],
	[{ truncation: "auto" }, "unsupported_parameter", "truncation"],
])("a request that is refused says why: %j", async (field, code, param) => {
	expect(await ask(wordy, "/v1/responses", { ...asked, ...field })).toMatchObject({ status: 400, body: { error: { code, param } } });
});
