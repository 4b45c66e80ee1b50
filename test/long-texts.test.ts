// Text of many megabytes as a prompt: it is refused by its length, or its reading is cancelled.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { inChild } from "./child.js";
import { putTogether, takeApart, types } from "./fuzz/gguf.mjs";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

/** With a tokenizer that splits text by the regular expressions of this name. */
function modelOfBytePairs(splitting: string): string {
	const { entries, ...rest } = takeApart(readFileSync(smallModel(folder, { context: 2 ** 20 })));
	const kept = entries.filter(({ key }) => key !== "tokenizer.ggml.model");
	const own = [
		{ key: "tokenizer.ggml.model", type: types.string, value: "gpt2" },
		{ key: "tokenizer.ggml.pre", type: types.string, value: splitting },
		{ key: "tokenizer.ggml.merges", type: types.array, of: types.string, value: ["a b"] },
	];
	const path = join(folder, `${splitting}-${Math.random().toString(36).slice(2)}.gguf`);
	writeFileSync(path, putTogether({ ...rest, entries: [...kept, ...own] }));
	return path;
}

const megabytes = (count: number) => "w310 w311 ".repeat(count * 100_000);

describe("text that no context could hold", () => {
	test.each([1, 8, 64])("a text of %d MB is refused as a prompt and as a message", async (count) => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder), cost: { lexicon: ["w9"] }, threads: 1 });
		const long = guard.generate({ prompt: megabytes(count) });
		const tooLong = { code: "PROMPT_TOO_LONG", message: expect.stringContaining("bytes of text") };
		await expect(long).rejects.toMatchObject(tooLong);
		const began = performance.now();
		await expect(guard.generate({ prompt: megabytes(count), prefill: [310] })).rejects.toMatchObject(tooLong);
		expect(performance.now() - began).toBeLessThan(10 * count + 1000); // it is not read
		expect((await guard.generate({ prompt: "w310 w311", maxTokens: 2 })).text).not.toBe("");
	});
});

describe("text that a context may hold by its length, but whose reading takes long", () => {
	test("a long text is cancelled while it is read, and the guard stays usable", async () => {
		const model = smallModel(folder, { context: 2 ** 20 });
		const guard = await InferenceGuard.load({ model, cost: { lexicon: ["w9"] }, threads: 1, kvCells: 4096 });
		const text = "w310 w311 ".repeat(20_000);
		for (const wait of [0, 1, 30]) {
			const stop = new AbortController();
			const end = guard.generate({ prompt: text, signal: stop.signal }).catch((error) => error);
			setTimeout(() => stop.abort(), wait);
			expect((await end).code).toBe("ABORTED");
		}
		expect((await guard.generate({ prompt: "w310 w311", maxTokens: 2, seed: 1 })).text).not.toBe("");
		const last = guard.generate({ prompt: text }).catch((error) => error);
		await guard.dispose();
		expect((await last).code).toBe("DISPOSED");
	});

	test.each(["w310 w311 ", "日本語"])("a long text lets other generations continue: %s", async (words) => {
		const model = smallModel(folder, { context: 2 ** 19 });
		await using guard = await InferenceGuard.load({ model, cost: { lexicon: ["w9"] }, threads: 1, kvCells: 4096 });
		const ended: string[] = [];
		const long = guard.generate({ prompt: words.repeat(300_000) }).catch(({ code }) => ended.push(code));
		for (let seed = 0; seed < 3; seed++) {
			ended.push((await guard.generate({ prompt: [1, 310], maxTokens: 4, seed })).outcome);
		}
		await long;
		expect(ended).toEqual(["safe", "safe", "safe", "PROMPT_TOO_LONG"]);
	});

	const endings = {
		"process.exit()": "process.exit(5)",
		"process.reallyExit()": "process.reallyExit(5)",
		"process.exit() in an exit listener that comes first": "process.prependListener('exit', () => process.exit(5)); process.exit(1)",
		"an exit listener that comes first and throws": "process.prependListener('exit', () => { throw 5; }); process.exit(5)",
	};
	const moments = [
		{ ms: 3, aborted: false },
		{ ms: 40, aborted: true },
	];

	test.each(Object.entries(endings).flatMap(([how, ending]) => moments.map((moment) => ({ how, ending, ...moment }))))(
		"a long text does not outlive the process: $how, after $ms ms, aborted: $aborted",
		async ({ ending, ms, aborted }) => {
			const models = [smallModel(folder, { context: 2 ** 20 }), ...["gpt-2", "tekken"].map(modelOfBytePairs)];
			const { status, signal } = await inChild(`
			const load = (model) => InferenceGuard.load({ model, cost: { lexicon: ["w9"] }, threads: 1, kvCells: 4096 });
			const stop = new AbortController();
			for (const guard of await Promise.all(${JSON.stringify([...models, ...models])}.map(load))) {
				for (const words of ["w310 w311 ", "日本 語"]) guard.generate({ prompt: words.repeat(100_000), signal: stop.signal }).catch(() => {});
			}
			setTimeout(async () => {
				${aborted ? "stop.abort(); await new Promise((resolve) => setTimeout(resolve, 20));" : ""}
				${ending};
			}, ${ms});`);
			expect({ status, signal }).toEqual({ status: 5, signal: null });
		},
	);

	test("a long text is tokenized as its parts are", async () => {
		await using guard = await InferenceGuard.load({
			model: smallModel(folder, { context: 2 ** 14 }),
			cost: { lexicon: ["w9"] },
			threads: 1,
		});
		const words = (count: number) => "w310 w311 ".repeat(count).trimEnd();
		const tokens = async (count: number) => (await guard.generate({ prompt: words(count), maxTokens: 1 })).usage.promptTokens;
		const [some, twice] = [await tokens(10), await tokens(20)];
		const all = some + (twice - some) * 999;
		await expect(guard.generate({ prompt: words(10_000) })).rejects.toMatchObject({
			code: "PROMPT_TOO_LONG",
			message: expect.stringContaining(`got ${all} tokens`),
		});
	});
});
