import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { InferenceGuard, listDevices } from "../lib/index.js";
import { storiesModel, testWith } from "./shared.js";
import { smallModel, smallRecurrentModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const withStories = testWith(storiesModel);
const opening = "Once upon a time, there was a little girl who";
const threads = 1; // tests run beside one another
const words = { lexicon: ["scared", "afraid", "sad", "cry", "cried", "lost"] };

describe("the llama.cpp decoder", () => {
	withStories("greedy decoding reproduces the published text of stories260K", async () => {
		await using guard = await InferenceGuard.load({ threads, model: storiesModel });
		const bos = 1;
		const { text } = await guard.generate({ prompt: [bos], strategy: "sample", temperature: 0, maxTokens: 200 });
		const published = Buffer.from(text.replace(/^ /, ""));
		expect(published).toHaveLength(464);
		expect(createHash("sha256").update(published).digest("hex")).toBe("beeb5cb46785efee81a8545300b31e396b595e5ce6f3b77db201545501981d14");
	});

	test.each([
		["an attention", smallModel],
		["a recurrent", smallRecurrentModel],
		["a quantised recurrent", (folder: string) => smallRecurrentModel(folder, 256, "q8_0")],
	])("forking, pruning and waves with %s model give the results of fresh decoding", async (_, model) => {
		await using guard = await InferenceGuard.load({ threads, model: model(folder), cost: { lexicon: ["w300"] } });
		const prompt = [1, 300, 301, 302, 303];
		for (const candidates of [1, 12, 400]) {
			for (const seed of [1, 2, 3]) {
				const reply = await guard.generate({ prompt, candidates, blockLength: 4, maxTokens: 24, seed });
				const end = reply.finishReason === "stop" ? [2] : [];
				const fresh = await guard.logLikelihoods(prompt, [...reply.tokens, ...end]);
				const mean = fresh.reduce((a, b) => a + b) / fresh.length;
				expect(reply.logLikelihood).toBeCloseTo(mean, 2);
				for (const [t, one] of fresh.entries()) expect(reply.logLikelihoods[t]).toBeCloseTo(one, 1);
			}
		}
	});

	withStories("the same seed gives the same response on one thread", async () => {
		await using guard = await InferenceGuard.load({ model: storiesModel, cost: words, threads });
		const [first, second] = [await guard.generate({ prompt: opening, seed: 4 }), await guard.generate({ prompt: opening, seed: 4 })];
		expect(second.text).toBe(first.text);
		expect((await guard.generate({ prompt: opening, seed: 5 })).text).not.toBe(first.text);
	});

	withStories("a stream has the text of the reply, within budget at every piece", async () => {
		await using guard = await InferenceGuard.load({ threads, model: storiesModel, cost: words });
		for (let seed = 0; seed < 10; seed++) {
			const stream = guard.stream({ prompt: opening, seed, blockLength: 8 });
			let streamed = "";
			for await (const { text } of stream) {
				streamed += text;
				expect(streamed).not.toMatch(/(?<!\p{L})(scared|afraid|sad|cry|cried|lost)$/iu);
			}
			const reply = await stream.reply;
			expect(streamed).toBe(reply.text);
			expect(reply.text).not.toMatch(/(?<!\p{L})(scared|afraid|sad|cry|cried|lost)(?!\p{L})/iu);
		}
	});

	test("a character that is cut between tokens is held back until it is whole", async () => {
		const firstByte = 3; // of a vocabulary of bytes
		await using guard = await InferenceGuard.load({ threads, model: smallModel(folder, { vocab: firstByte + 256 }) });
		for (let seed = 0; seed < 20; seed++) {
			const stream = guard.stream({ prompt: [1], strategy: "sample", maxTokens: 200, seed, temperature: 2 });
			let streamed = "";
			for await (const { text } of stream) streamed += text;
			const { text, tokens } = await stream.reply;
			const bytes = Uint8Array.from(tokens.filter((token) => token >= firstByte).map((token) => token - firstByte));
			expect(text).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: true }));
			expect(streamed).toBe(text);
		}
	});

	withStories("a reply says which engine ran", async () => {
		await using guard = await InferenceGuard.load({ threads, model: storiesModel, cost: words });
		const reply = await guard.generate({ prompt: opening, maxTokens: 8, seed: 9 });
		expect(reply.engine.llamaCpp).toMatch(/^v\d/);
		expect(reply.engine.backend).toBe("CPU");
		expect(reply.engine.modelHash).toBeNull(); // nothing needed it
		expect(reply.seed).toBe(9);
		expect(reply.timings.total).toBeGreaterThanOrEqual(reply.timings.prefill + reply.timings.decode);
		expect(guard.contextSize).toBe(512);
	});

	test("devices include the CPU, with the level that a reply names", async () => {
		await using guard = await InferenceGuard.load({ model: { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] } }); // biome-ignore format: a table
		const { engine } = await guard.generate({ prompt: [0], maxTokens: 1, strategy: "sample" });
		expect(engine.cpu).toMatch(/^(native|avx2|avx512|amx|dotprod|i8mm)$/);
		expect(listDevices().find(({ type }) => type === "cpu")?.level).toBe(engine.cpu);
	});

	test("KV capacity is planned from prompt and live tree, and what cannot fit is refused", async () => {
		await using guard = await InferenceGuard.load({ threads, model: smallModel(folder), cost: { lexicon: ["w300"] }, kvCells: 300 });
		const prompt = [1, 5];
		await expect(guard.generate({ prompt, candidates: 32, maxTokens: 64 })).rejects.toMatchObject({ code: "KV_CAPACITY" });
		// 2 + 2 beams of 64 + 8 candidates of 16: within 300, where 8 full responses would not be
		const reply = await guard.generate({ prompt, candidates: 8, beams: 2, blockLength: 16, maxTokens: 64 });
		expect(reply.usage.promptTokens).toBe(2);
	});

	test("a response ends with the context", async () => {
		await using guard = await InferenceGuard.load({ threads, model: smallModel(folder), contextSize: 20 });
		const reply = await guard.generate({ prompt: [1, 5], strategy: "sample", maxTokens: 100, seed: 1 });
		expect(reply.usage.promptTokens + reply.tokens.length).toBeLessThanOrEqual(20);
	});
});

describe("chat", () => {
	const template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]";
	const withTemplate = (text: string) => smallModel(folder, { metadata: [["tokenizer.chat_template", "string", text]] });

	test("messages are rendered by the model's own template", async () => {
		await using guard = await InferenceGuard.load({ threads, model: withTemplate(template) });
		const options = { strategy: "sample" as const, temperature: 0, maxTokens: 4 };
		const messages = [
			{ role: "system", content: "be kind" },
			{ role: "user", content: "hello" },
		];
		const chat = await guard.generate({ messages, ...options });
		const raw = await guard.generate({ prompt: "[system] be kind\n[user] hello\n[assistant]", ...options });
		expect(chat.usage.promptTokens).toBe(raw.usage.promptTokens);
		expect(chat.tokens).toEqual(raw.tokens);
	});

	test("the second turn of a chat reads only what is new", async () => {
		await using guard = await InferenceGuard.load({ threads, model: withTemplate(template), cost: words });
		const asked = [
			{ role: "system", content: "be kind ".repeat(8) },
			{ role: "user", content: "hello" },
		];
		const first = await guard.generate({ messages: asked, maxTokens: 4 });
		const messages = [...asked, { role: "assistant", content: first.text }, { role: "user", content: "and then" }];
		const { usage } = await guard.generate({ messages, maxTokens: 4 });
		expect(usage.cachedPromptTokens).toBeGreaterThanOrEqual(first.usage.promptTokens - 1);
		expect(usage.promptTokens).toBeGreaterThan(first.usage.promptTokens + 4);
	});

	test("a template that writes the BOS token does not double it", async () => {
		await using plain = await InferenceGuard.load({ threads, model: withTemplate(template) });
		await using own = await InferenceGuard.load({ threads, model: withTemplate(`{{ bos_token }}${template}`) });
		const options = { messages: [{ role: "user", content: "hello" }], strategy: "sample" as const, maxTokens: 1 };
		expect((await own.generate(options)).usage.promptTokens).toBe((await plain.generate(options)).usage.promptTokens);
	});

	test("a missing template and a template that rejects are coded errors", async () => {
		await using none = await InferenceGuard.load({ threads, model: smallModel(folder) });
		const messages = [{ role: "user", content: "hello" }];
		await expect(none.generate({ messages, strategy: "sample" })).rejects.toMatchObject({ code: "CHAT_TEMPLATE" });
		await using strict = await InferenceGuard.load({ threads, model: withTemplate("{{ raise_exception('roles must alternate') }}") });
		await expect(strict.generate({ messages, strategy: "sample" })).rejects.toThrow(/roles must alternate/);
	});
});
