import { describe, expect, test } from "vitest";
import { type GenerateOptions, InferenceGuard } from "../lib/index.js";

const model = {
	pieces: ["a", "b"],
	logits: [
		[0, 0],
		[0, 0],
	],
};
const options: GenerateOptions = { prompt: [0], maxTokens: 12, blockLength: 2, candidates: 2, seed: 1 };

const load = () => InferenceGuard.load({ model, cost: { tokenCosts: [0, 0] } });

/** A guard whose searches stand still until they are let go. */
async function heldBack() {
	let letGo = () => {};
	const open = new Promise<void>((resolve) => {
		letGo = resolve;
	});
	const guard = await InferenceGuard.load({ model, cost: (candidates) => open.then(() => candidates.map(() => 0)) });
	return { guard, letGo };
}

describe("two loops over one stream", () => {
	test("a second loop over a stream is refused, and takes nothing from the first", async () => {
		await using guard = await load();
		const stream = guard.stream(options);
		let [first, second] = ["", ""];
		const one = (async () => {
			for await (const { text } of stream) first += text;
		})();
		const two = (async () => {
			for await (const { text } of stream) second += text;
		})();
		await expect(two).rejects.toMatchObject({ code: "STREAM_USED" });
		await one;
		expect([first, second]).toEqual([(await stream.reply).text, ""]);
	});

	test("a second loop is refused after the first has ended or was left", async () => {
		await using guard = await load();
		const ended = guard.stream(options);
		for await (const _ of ended);
		const left = guard.stream(options);
		for await (const _ of left) break;
		for (const stream of [ended, left]) {
			await expect(
				(async () => {
					for await (const _ of stream);
				})(),
			).rejects.toMatchObject({ code: "STREAM_USED" });
		}
	});

	test("a second loop that is left does not end the first", async () => {
		const { guard, letGo } = await heldBack();
		const stream = guard.stream(options);
		const pieces = stream[Symbol.asyncIterator]();
		const next = pieces.next();
		await stream[Symbol.asyncIterator]().return?.();
		letGo();
		expect((await next).done).toBe(false);
		await pieces.return?.();
		await guard.dispose();
	});
});

describe("leaving a stream while a piece is awaited", () => {
	test("leaving a stream settles waiting calls and aborts the generation", async () => {
		const { guard } = await heldBack();
		const stream = guard.stream(options);
		const pieces = stream[Symbol.asyncIterator]();
		const waiting = [pieces.next(), pieces.next(), pieces.next()];
		expect(await pieces.return?.()).toEqual({ value: undefined, done: true });
		expect(await Promise.all(waiting)).toEqual(waiting.map(() => ({ value: undefined, done: true })));
		await expect(stream.reply).rejects.toMatchObject({ code: "ABORTED" });
		expect((await pieces.next()).done).toBe(true);
		await guard.dispose();
	});

	test("leaving a stream by an error aborts it too, and throws that error", async () => {
		const { guard } = await heldBack();
		const stream = guard.stream(options);
		const pieces = stream[Symbol.asyncIterator]();
		const waiting = pieces.next();
		const why = new Error("enough");
		await expect(pieces.throw?.(why)).rejects.toBe(why);
		expect((await waiting).done).toBe(true);
		await expect(stream.reply).rejects.toMatchObject({ code: "ABORTED" });
		await guard.dispose();
	});
});

test("concurrent calls of next get the pieces in order", async () => {
	await using guard = await load();
	const stream = guard.stream(options);
	const pieces = stream[Symbol.asyncIterator]();
	const results = await Promise.all(Array.from({ length: 20 }, () => pieces.next()));
	expect(results.map(({ value }) => value?.text ?? "").join("")).toBe((await stream.reply).text);
	expect(results.at(-1)?.done).toBe(true);
});

test("an error ends the loop once, whoever waits for it", async () => {
	const guard = await InferenceGuard.load({
		model,
		cost: () => {
			throw new Error("out of order");
		},
	});
	const stream = guard.stream(options);
	const pieces = stream[Symbol.asyncIterator]();
	const [first, second] = await Promise.allSettled([pieces.next(), pieces.next()]);
	expect(first).toMatchObject({ status: "rejected", reason: { code: "CALLBACK_FAILED" } });
	expect(second).toMatchObject({ status: "fulfilled", value: { done: true } });
	await expect(stream.reply).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
	await guard.dispose();
});
