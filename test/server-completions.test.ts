// Completions of raw prompts by the embedded story model.
import { afterAll, beforeAll, expect, test } from "vitest";
import { embeddedDefault, InferenceGuard } from "../lib/index.js";
import { ask, clientOf, short, type Verdict } from "./serving.js";

let guard: InferenceGuard;
beforeAll(async () => {
	guard = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
});
afterAll(() => guard.dispose());

const prompt = "The old man opened the door and";
const completion = (more: object = {}) => ({ model: "inferenceguard", prompt, seed: 1, ...more });

test("a completion continues the prompt within both budgets, whole and as a stream", async () => {
	const client = clientOf(guard);
	const whole = await client.completions.create(completion());
	const reply = await guard.generate({ prompt, ...short.search, seed: 1 });
	expect(whole).toMatchObject({ object: "text_completion", id: expect.stringMatching(/^cmpl-\w{24}$/) });
	expect(whole.choices[0]).toMatchObject({ text: reply.text, index: 0, logprobs: null, finish_reason: reply.finishReason });
	expect((whole.choices[0] as Verdict).safety?.constraints.map(({ budget }) => budget)).toEqual([0.5, 2]);
	let streamed = "";
	let last: unknown;
	for await (const chunk of await client.completions.create({ ...completion(), stream: true, stream_options: { include_usage: true } })) {
		streamed += chunk.choices[0]?.text ?? "";
		last = chunk;
	}
	expect(streamed).toBe((await guard.stream({ prompt, ...short.search, seed: 1 }).reply).text);
	expect(last).toMatchObject({ choices: [], usage: { completion_tokens: 16 } });
});

test("each of several prompts has its choices in a row, and counts once", async () => {
	const alone = await clientOf(guard).completions.create(completion({ n: 2 }));
	const { choices, usage } = await clientOf(guard).completions.create(completion({ prompt: [prompt, "Once upon a time"], n: 2 }));
	expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
	expect(choices.slice(0, 2).map(({ text }) => text)).toEqual(alone.choices.map(({ text }) => text));
	const other = await clientOf(guard).completions.create(completion({ prompt: "Once upon a time" }));
	expect(usage?.prompt_tokens).toBe((alone.usage?.prompt_tokens ?? 0) + (other.usage?.prompt_tokens ?? 0));
});

test("a stop text ends a completion before it, whole and as a stream", async () => {
	const ended = (stop: unknown) => ask(guard, "/v1/completions", completion({ stop }));
	const { text } = (await ended(null)).body.choices[0];
	const [, word = ""] = text.trim().split(" ");
	for (const stop of [word, ["never said", word]]) {
		const [choice] = (await ended(stop)).body.choices;
		expect(choice).toMatchObject({ finish_reason: "stop", safety: { within_budget: true } });
		expect(choice.text).not.toContain(word);
	}
	for (const nothing of [[], ""]) expect((await ended(nothing)).body.choices[0].text).toBe(text);
	let streamed = "";
	for await (const { choices } of await clientOf(guard).completions.create({ ...completion({ stop: word }), stream: true })) {
		streamed += choices[0]?.text ?? "";
	}
	expect(streamed).toBe((await guard.stream({ prompt, ...short.search, seed: 1, stop: word }).reply).text);
	expect(await ended(Array.from({ length: 17 }, () => "x"))).toMatchObject({ status: 400, body: { error: { param: "stop" } } });
});

test("token ids are a prompt, alone or several", async () => {
	const ids = [1, 300, 301];
	const one = await clientOf(guard).completions.create(completion({ prompt: ids }));
	const two = await clientOf(guard).completions.create(completion({ prompt: [ids, ids] }));
	expect(one.usage?.prompt_tokens).toBe(3);
	expect(two.choices.map(({ text }) => text)).toEqual([one.choices[0]?.text, one.choices[0]?.text]);
});

test.each([
	[{ echo: true }, "unsupported_parameter", "echo"],
	[{ suffix: "x" }, "unsupported_parameter", "suffix"],
	[{ best_of: 3 }, "unsupported_parameter", "best_of"],
	[{ logprobs: 0 }, "unsupported_parameter", "logprobs"],
	[{ prompt: [] }, "invalid_request", "prompt"],
	[{ prompt: 3 }, "invalid_request", "prompt"],
	[{ prompt: "" }, "invalid_prompt", null],
	[{ prompt: [[1e9]] }, "invalid_prompt", null],
	[{ prompt: Array.from({ length: 9 }, () => "x") }, "invalid_request", "prompt"],
	[{ prompt: Array.from({ length: 65 }, () => "x") }, "invalid_request", "prompt"],
	[{ n: 9, prompt: ["x", "y"] }, "invalid_request", "n"],
])("a completion that is refused says why: %j", async (field, code, param) => {
	expect(await ask(guard, "/v1/completions", completion(field))).toMatchObject({ status: 400, body: { error: { code, param } } });
});
