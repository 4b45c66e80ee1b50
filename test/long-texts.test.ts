// Text of many megabytes as a prompt: it is refused by its length, or its reading is cancelled.
import { describe, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const megabytes = (count: number) => "w310 w311 ".repeat(count * 100_000);

describe("text that no context could hold", () => {
	test.each([1, 8, 64])("of %d MB is refused as a prompt and as a message", async (count) => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder), cost: { lexicon: ["w9"] }, threads: 1 });
		const long = guard.generate({ prompt: megabytes(count) });
		await expect(long).rejects.toMatchObject({ code: "PROMPT_TOO_LONG", message: expect.stringContaining("bytes of text") });
		expect((await guard.generate({ prompt: "w310 w311", maxTokens: 2 })).text).not.toBe("");
	});
});

describe("text that a context may hold by its length, but whose reading takes long", () => {
	test("is cancelled while it is read, and the guard lives on", async () => {
		const model = smallModel(folder, { context: 2 ** 20 });
		const guard = await InferenceGuard.load({ model, cost: { lexicon: ["w9"] }, threads: 1, kvCells: 4096 });
		const text = "w310 w311 ".repeat(20_000);
		for (const wait of [0, 1, 30]) {
			const stop = new AbortController();
			const end = guard.generate({ prompt: text, signal: stop.signal }).catch((error) => error);
			setTimeout(() => stop.abort(), wait);
			expect((await end).code).toBe("ABORTED");
		}
		expect((await guard.generate({ prompt: "w310 w311", maxTokens: 2 })).text).not.toBe("");
		const last = guard.generate({ prompt: text }).catch((error) => error);
		await guard.dispose();
		expect((await last).code).toBe("DISPOSED");
	});

	test("has the tokens that it has in short", async () => {
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
