import { afterAll, beforeAll, describe, expect } from "vitest";
import { isCached } from "../lib/files/model-cache.js";
import { InferenceGuard, type SearchOptions } from "../lib/index.js";
import { cachedModel, testWithModel } from "./shared.js";

const test = testWithModel("smollm2");

describe("a chat model, SmolLM2-135M-Instruct", () => {
	let guard: InferenceGuard;
	beforeAll(async () => {
		if (!isCached("smollm2")) return;
		guard = await InferenceGuard.load({
			model: cachedModel("smollm2"),
			cost: { lexicon: ["Berlin"] },
			budget: 0,
			threads: 1,
			contextSize: 512,
		});
	});
	afterAll(() => guard?.dispose());
	const asked = (content: string, options: SearchOptions) => ({ messages: [{ role: "user", content }], maxTokens: 32, ...options });
	const capital = "What is the capital of Germany?";
	const greedy: SearchOptions = { strategy: "sample", temperature: 0, seed: 1 };
	const hit = /\bberlin\b/i;

	test("SmolLM2 answers greedily, ends by itself or at maxTokens, and repeats itself", async () => {
		for (const content of ["What is 2+2?", "Give me a recipe for pancakes."]) {
			const first = await guard.generate(asked(content, greedy));
			expect(first.text.trim()).not.toBe("");
			expect(first.finishReason).toBe(first.usage.emittedTokens < 32 ? "stop" : "length");
			expect((await guard.generate(asked(content, greedy))).text).toBe(first.text);
			const short = await guard.generate(asked(content, { ...greedy, maxTokens: 5 }));
			expect([short.finishReason, short.usage.emittedTokens]).toEqual(["length", 5]);
			expect(first.text.startsWith(short.text)).toBe(true);
		}
	});

	test("SmolLM2 never says a word of the lexicon that it would say unguarded", async () => {
		expect((await guard.generate(asked(capital, greedy))).text).toMatch(hit);
		for (let seed = 1; seed <= 4; seed++) {
			const { text, outcome, safety } = await guard.generate(asked(capital, { candidates: 4, blockLength: 8, temperature: 0.5, seed }));
			expect(text).not.toMatch(hit);
			expect(safety.cost).toBe(0);
			expect(outcome === "refused").toBe(text === "");
		}
	});

	test("SmolLM2 streams the text that it returns", async () => {
		for (const options of [greedy, { candidates: 4, blockLength: 8, seed: 2 }]) {
			const stream = guard.stream(asked("What is 2+2?", options));
			let streamed = "";
			for await (const { text } of stream) streamed += text;
			const reply = await stream.reply;
			expect(streamed).toBe(reply.text);
			expect(streamed).not.toBe("");
		}
	});
});
