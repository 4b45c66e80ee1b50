// The server as its clients see it: through the official client of OpenAI where it has a call, otherwise through fetch.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddedDefault, InferenceGuard } from "../lib/index.js";
import { createHandler, type HandlerOptions } from "../lib/server/index.js";
import { chatMetadata } from "./listening-model.js";
import { answerOf, ask, clientOf, requestOf, short, type Verdict } from "./serving.js";
import { cachedModel, testWithModel } from "./shared.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

/** Random words, of which some are over budget. */
let wordy: InferenceGuard;
/** All that it says is over budget. */
let refusing: InferenceGuard;

beforeAll(async () => {
	const model = smallModel(folder, { metadata: chatMetadata });
	wordy = await InferenceGuard.load({ model, cost: { lexicon: ["w3*"] }, budget: 1, threads: 1 });
	refusing = await InferenceGuard.load({ model, cost: (candidates) => candidates.map(() => 1), budget: 0, threads: 1 });
});
afterAll(() => Promise.all([wordy.dispose(), refusing.dispose()]));

const messages = [{ role: "user" as const, content: "w301 w302" }];
const chat = (more: object = {}) => ({ model: "inferenceguard", messages, ...more });

describe("chat completions", () => {
	test("a response has the shape of OpenAI's, and the guard's verdict", async () => {
		const response = await clientOf(wordy).chat.completions.create(chat({ seed: 3 }));
		expect(response).toMatchObject({ object: "chat.completion", model: "inferenceguard", id: expect.stringMatching(/^chatcmpl-\w{24}$/) });
		expect(response.system_fingerprint).toMatch(/^b.+-ig-[0-9a-f]{8}$/);
		const [choice] = response.choices;
		expect(choice).toMatchObject({ index: 0, logprobs: null, message: { role: "assistant", refusal: null } });
		const reply = await wordy.generate({ messages, ...short.search, seed: 3 });
		expect(choice?.message.content).toBe(reply.text);
		expect(choice?.finish_reason).toBe(reply.finishReason);
		expect((choice as Verdict).safety).toMatchObject({ outcome: reply.outcome, within_budget: true, seed: 3 });
		expect((choice as Verdict).safety?.constraints).toEqual([{ id: "cost0", cost: reply.safety.cost, budget: 1 }]);
		const { promptTokens, emittedTokens } = reply.usage;
		expect(response.usage).toMatchObject({
			prompt_tokens: promptTokens,
			completion_tokens: emittedTokens,
			total_tokens: promptTokens + emittedTokens,
		});
	});

	// A stream cannot take back what it has sent, so that a search that was steered may go another way without one.
	test("the pieces of a stream are the text that the library streams, and that of a response without a stream if nothing was steered", async () => {
		let compared = 0;
		const check = async (seed: number, strategy: "guard" | "sample") => {
			const search = { ...short.search, strategy };
			const client = clientOf(wordy, { search });
			const whole = await client.chat.completions.create(chat({ seed }));
			let streamed = "";
			const reasons: string[] = [];
			for await (const { choices } of await client.chat.completions.create({ ...chat({ seed }), stream: true })) {
				expect(reasons).toEqual([]); // nothing follows the end
				streamed += choices[0]?.delta.content ?? "";
				if (choices[0]?.finish_reason) reasons.push(choices[0].finish_reason);
			}
			const { text, outcome } = await wordy.stream({ messages, ...search, seed }).reply;
			expect(streamed).toBe(text);
			if (outcome === "steered") return;
			expect([streamed, ...reasons]).toEqual([whole.choices[0]?.message.content, whole.choices[0]?.finish_reason]);
			compared++;
		};
		await fc.assert(fc.asyncProperty(fc.nat(), fc.constantFrom("guard", "sample"), check), { numRuns: 40 });
		expect(compared).toBeGreaterThan(0);
	});

	test("several choices are the generations of the following seeds, mixed in a stream", async () => {
		const client = clientOf(wordy, { search: { maxTokens: 16, strategy: "sample" } });
		const sampled = { ...chat({ seed: 5 }), n: 3 };
		const { choices } = await client.chat.completions.create(sampled);
		const streamed = ["", "", ""];
		const stream = await client.chat.completions.create({ ...sampled, stream: true });
		for await (const chunk of stream) {
			for (const { index, delta } of chunk.choices) streamed[index] += delta.content ?? "";
		}
		expect(choices.map(({ message }) => message.content)).toEqual(streamed);
		expect(choices.map((choice) => (choice as Verdict).safety?.seed)).toEqual([5, 6, 7]);
		expect(new Set(streamed).size).toBe(3);
	});

	test("a stream is a role, pieces, an end with the verdict, the usage alone if it was asked for, and [DONE]", async () => {
		const request = new Request("http://localhost/v1/chat/completions", {
			method: "POST",
			body: JSON.stringify(chat({ seed: 3, stream: true, stream_options: { include_usage: true } })),
		});
		const response = await createHandler(wordy, short)(request);
		expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
		const frames = (await response.text()).split("\n\n").slice(0, -1);
		expect(frames.at(-1)).toBe("data: [DONE]");
		const chunks = frames.slice(0, -1).map((frame) => JSON.parse(frame.replace(/^data: /, "")));
		expect(chunks[0].choices).toEqual([{ index: 0, delta: { role: "assistant", content: null }, logprobs: null, finish_reason: null }]);
		expect(chunks.at(-2).choices[0]).toMatchObject({ delta: {}, finish_reason: "length", safety: { within_budget: true } });
		expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 16 } });
		expect(new Set(chunks.map(({ id, created, model }) => JSON.stringify([id, created, model]))).size).toBe(1);
	});

	test.each([false, true])("a refusal has no content, a refusal message and the reason content_filter (stream: %s)", async (stream) => {
		const client = clientOf(refusing);
		const found = { content: "", refusal: "", reason: "", outcome: "" as string | undefined };
		if (stream) {
			for await (const { choices } of await client.chat.completions.create({ ...chat(), stream })) {
				found.content += choices[0]?.delta.content ?? "";
				found.refusal += choices[0]?.delta.refusal ?? "";
				found.reason += choices[0]?.finish_reason ?? "";
				found.outcome = (choices[0] as Verdict | undefined)?.safety?.outcome;
			}
		} else {
			const [choice] = (await client.chat.completions.create(chat())).choices;
			expect(choice?.message.content).toBeNull();
			Object.assign(found, {
				refusal: choice?.message.refusal,
				reason: choice?.finish_reason,
				outcome: (choice as Verdict).safety?.outcome,
			});
		}
		expect(found).toEqual({ content: "", refusal: "I cannot help with that.", reason: "content_filter", outcome: "refused" });
	});

	test("a server may answer a refusal with its own text, or with an error", async () => {
		const own = await clientOf(refusing, { ...short, onRefusal: { text: "No." } }).chat.completions.create(chat());
		expect(own.choices[0]).toMatchObject({
			message: { content: "No.", refusal: null },
			finish_reason: "stop",
			safety: { outcome: "refused" },
		});
		const error = clientOf(refusing, { ...short, onRefusal: "throw" }).chat.completions.create(chat());
		await expect(error).rejects.toMatchObject({ status: 400, code: "content_filter" });
	});

	test("a conversation goes on after a refusal, and parts of text are one text", async () => {
		const parts = [
			{ role: "developer" as const, content: [{ type: "text" as const, text: "w310" }] },
			{
				role: "user" as const,
				content: [
					{ type: "text" as const, text: "w301" },
					{ type: "text" as const, text: "w302" },
				],
			},
			{ role: "assistant" as const, content: null, refusal: "no" },
			{ role: "user" as const, content: "w303" },
		];
		const { choices } = await clientOf(wordy).chat.completions.create(chat({ messages: parts, seed: 1 }));
		const asked = [
			{ role: "system", content: "w310" },
			{ role: "user", content: "w301\nw302" },
			{ role: "assistant", content: "" },
			{ role: "user", content: "w303" },
		];
		expect(choices[0]?.message.content).toBe((await wordy.generate({ messages: asked, ...short.search, seed: 1 })).text);
	});

	test("the last message may be the beginning of the response, which is judged with it", async () => {
		const begun = [...messages, { role: "assistant" as const, content: "w310 w311" }];
		const fields = { messages: begun, continue_final_message: true, add_generation_prompt: false, seed: 1 };
		const { body } = await ask(wordy, "/v1/chat/completions", chat(fields));
		const reply = await wordy.generate({ messages: begun, continueFinal: true, ...short.search, seed: 1 });
		expect(body.choices[0].message.content ?? "").toBe(reply.text);
		expect(body.choices[0].safety.outcome).toBe("refused"); // two terms, and a budget of one
		const one = [...messages, { role: "assistant" as const, content: "w310" }];
		const within = await ask(wordy, "/v1/chat/completions", chat({ ...fields, messages: one }));
		expect(within.body.choices[0].safety).toMatchObject({ within_budget: true, constraints: [{ cost: 1 }] });
	});

	test("a response is as long as asked for, by default 1024 tokens, and at most the server's limit", async () => {
		const lengthOf = async (more: object, options?: HandlerOptions) =>
			(await clientOf(wordy, options).chat.completions.create(chat({ seed: 1, ...more }))).usage?.completion_tokens;
		expect(await lengthOf({ max_tokens: 5 })).toBe(5);
		expect(await lengthOf({ max_tokens: 5, max_completion_tokens: 6 })).toBe(6);
		expect(await lengthOf({ max_tokens: -1 })).toBe(16);
		expect(await lengthOf({ max_tokens: 500 }, { ...short, maxTokensLimit: 7 })).toBe(7);
		expect(await lengthOf({}, { search: { strategy: "sample" } })).toBeGreaterThan(200); // the context has 256
	});
});

describe("a request that is refused says why", () => {
	test.each<[string, unknown, { status: number; code: string; param: string | null }]>([
		["no JSON", "{", { status: 400, code: "invalid_request", param: null }],
		["no object", [], { status: 400, code: "invalid_request", param: null }],
		["deep JSON", `{"messages":${"[".repeat(5000)}${"]".repeat(5000)}}`, { status: 400, code: "invalid_request", param: null }],
		["no messages", { model: "inferenceguard" }, { status: 400, code: "invalid_request", param: "messages" }],
		[
			"a content that is a number",
			chat({ messages: [...messages, { role: "user", content: 3 }] }),
			{ status: 400, code: "invalid_request", param: "messages[1].content" },
		],
		[
			"a picture",
			chat({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }),
			{ status: 400, code: "unsupported_content", param: "messages[0].content[0]" },
		],
		[
			"a role of tools",
			chat({ messages: [{ role: "tool", content: "x" }] }),
			{ status: 400, code: "invalid_request", param: "messages[0].role" },
		],
		["another model", chat({ model: "gpt" }), { status: 404, code: "model_not_found", param: "model" }],
		["a hot temperature", chat({ temperature: 1e9 }), { status: 400, code: "invalid_request", param: "temperature" }],
		[
			"a beginning of the response and one of the turn",
			chat({ continue_final_message: true }),
			{ status: 400, code: "invalid_request", param: "add_generation_prompt" },
		],
		["no turn", chat({ add_generation_prompt: false }), { status: 400, code: "invalid_request", param: "add_generation_prompt" }],
		[
			"a response that the user begins",
			chat({ continue_final_message: true, add_generation_prompt: false }),
			{ status: 400, code: "invalid_request", param: "messages[0].role" },
		],
		["many choices", chat({ n: 9 }), { status: 400, code: "invalid_request", param: "n" }],
		["an empty message", chat({ messages: [{ role: "user", content: "" }] }), { status: 400, code: "invalid_prompt", param: null }],
		[
			"a long prompt, also as a stream",
			chat({ stream: true, messages: [{ role: "user", content: "w301 ".repeat(400) }] }),
			{ status: 400, code: "context_length_exceeded", param: null },
		],
		[
			"options of the guard",
			chat({ guard: { candidates: 1 } }),
			{ status: 400, code: "guard_option_forbidden", param: "guard.candidates" },
		],
		...[
			{ logprobs: true },
			{ top_logprobs: 3 },
			{ logit_bias: { 5: 1 } },
			{ frequency_penalty: 0.5 },
			{ response_format: { type: "json_object" } },
			{ tools: [{ type: "function", function: { name: "f" } }] },
			{ modalities: { toString: 0 } },
		].map((field): [string, unknown, { status: number; code: string; param: string }] => [
			`${Object.keys(field)} that the engine does not have`,
			chat(field),
			{ status: 400, code: "unsupported_parameter", param: Object.keys(field)[0] as string },
		]),
	])("%s", async (_, body, { status, code, param }) => {
		const answer = await ask(wordy, "/v1/chat/completions", body);
		expect(answer.body).toEqual({ error: { message: expect.any(String), type: expect.any(String), code, param } });
		expect(answer.status).toBe(status);
	});

	test("an unknown route, and a model without a chat template", async () => {
		expect(await ask(wordy, "/v1/embeddings", {})).toMatchObject({ status: 404, body: { error: { code: "unknown_url" } } });
		await using story = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
		expect(await ask(story, "/v1/chat/completions", chat())).toMatchObject({ status: 400, body: { error: { code: "chat_template" } } });
	});

	test("fields that ask for nothing are accepted", async () => {
		const idle = {
			stop: null,
			logit_bias: {},
			presence_penalty: 0,
			response_format: { type: "text" },
			tools: [],
			user: "u",
			modalities: ["text"],
			reasoning_effort: "none",
			reasoning: { effort: null },
			top_p: 0,
			top_k: -1,
			add_generation_prompt: true,
			continue_final_message: false,
			unheard_of: 1,
		};
		expect((await ask(wordy, "/v1/chat/completions", chat({ ...idle, temperature: null, seed: -1 }))).status).toBe(200);
	});
});

describe("the guard of a request", () => {
	const wide: HandlerOptions = { search: { ...short.search, maxGeneratedTokens: 40 }, clientOptions: "search", maxCandidates: 2 };

	test("a client may search less, not more than the server lets it, and never choose what is enforced", async () => {
		const answered = async (guard: object) => (await ask(refusing, "/v1/chat/completions", chat({ seed: 1, guard }), wide)).body;
		expect((await answered({ maxGeneratedTokens: 20 })).timings.search.generated_tokens).toBe(20);
		expect((await answered({ maxGeneratedTokens: 100_000 })).timings.search.generated_tokens).toBe(40);
		expect((await answered({ candidates: 2 })).timings.search.generated_tokens).toBe(40);
		expect((await answered({ candidates: 50, beams: 3 })).error.message).toContain("at most as many beams as candidates (2)");
		for (const name of ["strategy", "objective", "estimator", "trace", "onRefusal"]) {
			const { status, body } = await ask(refusing, "/v1/chat/completions", chat({ guard: { [name]: "sample" } }), wide);
			expect([status, body.error.code, body.error.param]).toEqual([400, "guard_option_forbidden", `guard.${name}`]);
		}
	});
});

test("a client does not make a search longer than the server's own, given or by default", async () => {
	const lengths = async (search: HandlerOptions["search"]) => {
		const asked = async (guard?: object) => {
			const options: HandlerOptions = { search, clientOptions: "search" };
			return (await ask(refusing, "/v1/chat/completions", chat({ seed: 1, guard }), options)).body.timings.search.generated_tokens;
		};
		return [await asked(), await asked({ retries: 100, maxGeneratedTokens: 1_000_000 }), await asked({ candidates: 64 })];
	};
	for (const search of [short.search, { ...short.search, retries: 0, strategy: "beamAugmented" as const }]) {
		const [own = 0, retried, wider] = await lengths(search);
		expect(retried).toBe(own);
		expect(wider).toBeLessThanOrEqual(4 * 4 * 16);
	}
});

test("a client cannot switch the cache of prompts on that the server switched off", async () => {
	const cached = async (cachePrompt: boolean | undefined) => {
		const handler = createHandler(wordy, { search: { ...short.search, cachePrompt }, clientOptions: "search" });
		const asked = () => answerOf(handler(requestOf("/v1/chat/completions", chat({ seed: 1, guard: { cachePrompt: true } }))));
		await asked();
		return (await asked()).body.usage.prompt_tokens_details.cached_tokens;
	};
	expect(await cached(undefined)).toBeGreaterThan(0);
	expect(await cached(false)).toBe(0);
});

test("models are listed by their names, and found by them", async () => {
	const options = { ...short, alias: ["small", "org/small"] };
	const page = await clientOf(wordy, options).models.list();
	expect(page.data.map(({ id }) => id)).toEqual(["small", "org/small"]);
	expect((await ask(wordy, "/v1/models/org/small", undefined, options)).body).toMatchObject({ object: "model", meta: { n_ctx: 256 } });
	expect((await ask(wordy, "/v1/models/large", undefined, options)).status).toBe(404);
	expect((await ask(wordy, "/v1/chat/completions", chat({ model: "org/small" }), options)).body.model).toBe("small");
	expect((await ask(wordy, "/v1/chat/completions", chat({ model: "gpt" }), { ...short, anyModel: true })).status).toBe(200);
});

test.each(["/health", "/v1/health", "/livez"])("%s says that the server is up", async (path) => {
	expect(await ask(wordy, path)).toMatchObject({ status: 200, body: { status: "ok" } });
});

testWithModel("smollm2")("a chat model answers, and never says what is over budget", async () => {
	await using guard = await InferenceGuard.load({
		model: cachedModel("smollm2"),
		cost: { lexicon: ["Berlin"] },
		threads: 1,
		contextSize: 512,
	});
	const client = clientOf(guard, { search: { maxTokens: 24, candidates: 4, blockLength: 8 } });
	const asked = { model: "inferenceguard", messages: [{ role: "user" as const, content: "What is the capital of Germany?" }], seed: 1 };
	const { choices } = await client.chat.completions.create(asked);
	let streamed = "";
	for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
		streamed += chunk.choices[0]?.delta.content ?? "";
	expect(streamed).toBe(choices[0]?.message.content ?? "");
	expect(streamed).not.toMatch(/berlin/i);
});

test("wrong options of a handler are refused", () => {
	expect(() => createHandler(wordy, { maxN: 0 })).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
	expect(() => createHandler(wordy, { search: { strategy: "magic" as "guard" } })).toThrow(/search\.strategy/);
});
