// Whatever function a caller gives us: it runs in the caller's asynchronous context, and whatever it throws has a code.
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
	collectRollouts,
	evaluate,
	InferenceGuard,
	type LoadOptions,
	type ScoreFunction,
	sampleAnswers,
	trainCost,
	trainCritic,
} from "../lib/index.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const model = smallModel(folder);
const tabular = {
	pieces: ["a", "b"],
	logits: [
		[0, 0],
		[0, 0],
	],
};
writeFileSync(file("prompts.txt"), Array.from({ length: 20 }, (_, i) => `w${300 + i} w301\n`).join(""));
writeFileSync(
	file("labelled.jsonl"),
	Array.from({ length: 60 }, (_, i) => JSON.stringify({ text: `w${i} ${i % 2 ? "bad" : "good"} w${i * 3}`, label: i % 2 })).join("\n"),
);
const guard = { model, cost: { lexicon: ["w31*"] }, budget: 1, threads: 1 };

/** Calls, and charges nothing. */
const free =
	(call: () => unknown): ScoreFunction =>
	(candidates) => {
		call();
		return candidates.map(() => 0);
	};

let runs = 0;
const fresh = (name: string) => file(`${name}-${runs++}`);

async function generateWith(load: Partial<LoadOptions>): Promise<void> {
	await using loaded = await InferenceGuard.load({ model: tabular, ...load } as LoadOptions);
	await loaded.generate({ prompt: [0], maxTokens: 4, candidates: 2 });
}

async function rolloutsFor(callback?: () => void): Promise<string> {
	const out = fresh("rollouts");
	await collectRollouts({ ...guard, prompts: file("prompts.txt"), out, responses: 2, maxTokens: 4, onProgress: callback });
	return out;
}

/** Everything that takes a function: it calls the one that it is given, and ends as it ends. */
const takers: Record<string, (call: () => unknown) => Promise<unknown>> = {
	"the cost function of generate": (call) => generateWith({ cost: free(call) }),
	"the reward function of generate": (call) => generateWith({ cost: { tokenCosts: [0, 0] }, reward: free(call) }),
	"the cost function of stream": async (call) => {
		await using loaded = await InferenceGuard.load({ model: tabular, cost: free(call) });
		for await (const _ of loaded.stream({ prompt: [0], maxTokens: 4 }));
	},
	"onLoadProgress of load": async (call) => {
		await using _ = await InferenceGuard.load({ ...guard, onLoadProgress: () => call() as undefined });
	},
	"onProgress of collectRollouts": (call) => rolloutsFor(() => call() as undefined),
	"the cost function of collectRollouts": (call) =>
		collectRollouts({
			...guard,
			cost: free(call),
			prompts: file("prompts.txt"),
			out: fresh("rollouts"),
			responses: 2,
			maxTokens: 4,
		}),
	"onEpoch of trainCost": (call) =>
		trainCost({ data: file("labelled.jsonl"), out: fresh("cost"), threads: 1, onEpoch: () => call() as undefined }),
	"onEpoch of trainCritic": async (call) =>
		trainCritic({
			rollouts: await rolloutsFor(),
			out: fresh("critic"),
			width: 8,
			members: 1,
			epochs: 2,
			threads: 1,
			onEpoch: () => call() as undefined,
		}),
	"onProgress of evaluate": (call) =>
		evaluate({
			config: { name: "x", guard, data: { file: file("prompts.txt"), limit: 2 }, defaults: { maxTokens: 4 }, methods: [{ name: "a" }] },
			out: fresh("evaluation"),
			onProgress: () => call() as undefined,
		}),
	"onProgress of sampleAnswers": (call) =>
		sampleAnswers({ ...guard, prompts: file("prompts.txt"), out: fresh("answers"), maxTokens: 4, onProgress: () => call() as undefined }),
};

describe.each(Object.entries(takers))("%s", (name, take) => {
	test("runs in the asynchronous context of the call that it belongs to", async () => {
		const context = new AsyncLocalStorage<string>();
		const seen = (): [Set<unknown>, () => void] => {
			const values = new Set<unknown>();
			return [values, () => void values.add(context.getStore())];
		};
		const [[first, callFirst], [second, callSecond]] = [seen(), seen()];
		await Promise.all([context.run("first", () => take(callFirst)), context.run("second", () => take(callSecond))]);
		expect([[...first], [...second]]).toEqual([["first"], ["second"]]);
	});

	const unshowable: [string, () => unknown][] = [
		["an object without a prototype", () => Object.create(null)],
		["a symbol", () => Symbol("no")],
		["an object that throws when it is made a text", () => ({ [Symbol.toPrimitive]: () => { throw new Error("no"); } })],
		["an object that throws when it is looked at", () => ({ get [Symbol.toStringTag](): string { throw new Error("no"); } })],
		["an error whose message throws", () => Object.defineProperty(new Error(), "message", { get: () => { throw new Error("no"); } })],
		["an error whose message is no text", () => Object.assign(new Error(), { message: Symbol("no") })],
		["a proxy that allows nothing", () => new Proxy({}, { getPrototypeOf: () => { throw new Error("no"); }, get: () => { throw new Error("no"); } })],
		["a proxy that was revoked", () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; }],
		["undefined", () => undefined],
	]; // biome-ignore format: a table

	test("keeps its code where it throws what cannot be made a text", async () => {
		const tried = name.includes("generate") ? unshowable : unshowable.slice(0, 2);
		for (const [, make] of tried) {
			const thrown = make();
			const end = await take(() => {
				throw thrown;
			}).then(
				() => "nothing was thrown",
				(error) => error,
			);
			expect(end.code).toBe("CALLBACK_FAILED");
			expect(end.cause === thrown).toBe(true);
			expect(typeof end.message).toBe("string");
		}
	});
});

test("a function that rejects later, instead of throwing, has the same code and does not end the process", async () => {
	const late = evaluate({
		config: { name: "x", guard, data: { file: file("prompts.txt") }, defaults: { maxTokens: 4 }, methods: [{ name: "a" }] },
		out: fresh("evaluation"),
		onProgress: (async () => {
			throw Symbol("no");
		}) as () => void,
	});
	await expect(late).rejects.toMatchObject({ code: "CALLBACK_FAILED", message: expect.stringContaining("onProgress") });
});
