// A signal that lives as long as the process is given to every call: it must neither warn nor keep anything of them.
import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { type GenerateOptions, InferenceGuard } from "../lib/index.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = {
	pieces: ["a", "b"],
	logits: [
		[0, 0],
		[0, 0],
	],
};
const options: GenerateOptions = { prompt: [0], maxTokens: 4, candidates: 2 };

async function warningsDuring(work: () => Promise<unknown>): Promise<string[]> {
	const found: string[] = [];
	const collect = ({ name, message }: Error) => found.push(`${name}: ${message}`);
	process.on("warning", collect);
	await work();
	await new Promise((resolve) => setTimeout(resolve, 20));
	process.off("warning", collect);
	return found;
}

const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

test("a signal of many generations and streams warns of nothing and keeps no listener", async () => {
	const { signal } = new AbortController();
	await using guard = await InferenceGuard.load({ model, cost: { tokenCosts: [0, 0] }, signal });
	const warnings = await warningsDuring(async () => {
		const streams = Array.from({ length: 30 }, () => guard.stream({ ...options, signal }));
		const replies = Array.from({ length: 30 }, () => guard.generate({ ...options, signal }));
		expect(listeners(signal)).toBe(1);
		await Promise.all([...replies, ...streams.map(({ reply }) => reply)]);
	});
	expect(warnings).toEqual([]);
	expect(listeners(signal)).toBe(0);
});

test("a signal keeps no listener of failed generations, failed loads and left loops", async () => {
	const { signal } = new AbortController();
	const guard = await InferenceGuard.load({
		model,
		cost: () => {
			throw new Error("no");
		},
	});
	await expect(guard.generate({ ...options, signal })).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
	await expect(InferenceGuard.load({ model: "absent.gguf", cost: { lexicon: ["x"] }, signal })).rejects.toMatchObject({
		code: "MODEL_NOT_FOUND",
	});
	const small = smallModel(folder);
	const fails = InferenceGuard.load({
		model: small,
		cost: { lexicon: ["x"] },
		signal,
		onLoadProgress: () => {
			throw new Error("no");
		},
	});
	await expect(fails).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
	await using real = await InferenceGuard.load({ model: small, cost: { lexicon: ["x"] }, threads: 1, signal });
	const stream = real.stream({ prompt: "w7", maxTokens: 40, signal });
	for await (const _ of stream) break;
	await stream.reply.catch(() => {});
	await guard.dispose();
	expect(listeners(signal)).toBe(0);
});

test("a signal aborts all that wait for it, also after others have ended", async () => {
	const stop = new AbortController();
	await using guard = await InferenceGuard.load({ model, cost: () => new Promise<number[]>(() => {}) });
	await using quick = await InferenceGuard.load({ model, cost: { tokenCosts: [0, 0] } });
	const held = Array.from({ length: 12 }, () => guard.generate({ ...options, signal: stop.signal }));
	await quick.generate({ ...options, signal: stop.signal });
	const why = new Error("closing time");
	stop.abort(why);
	const ends = await Promise.allSettled(held);
	expect(ends).toMatchObject(held.map(() => ({ status: "rejected", reason: { code: "ABORTED", cause: why } })));
	await expect(quick.generate({ ...options, signal: stop.signal })).rejects.toMatchObject({ code: "ABORTED", cause: why });
	expect(listeners(stop.signal)).toBe(0);
});
