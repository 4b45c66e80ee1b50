// Whatever function a caller gives us: it runs in the caller's asynchronous context, and whatever it throws has a code.
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { calibrate, type EvaluationConfig, evaluate } from "../lib/evaluation/index.js";
import { InferenceGuard, type LoadOptions, type ScoreFunction } from "../lib/index.js";
import { type AnswerOptions, collectRollouts, type RolloutOptions, sampleAnswers, trainCost, trainCritic } from "../lib/training/index.js";
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

type Call = () => unknown;

/** Calls, and charges nothing. */
const free =
	(call: Call): ScoreFunction =>
	(candidates) => {
		call();
		return candidates.map(() => 0);
	};

type Exports = typeof import("../lib/index.js") & typeof import("../lib/evaluation/index.js") & typeof import("../lib/training/index.js");
type Func = (...args: never[]) => unknown;
type Values<T> = T[keyof T];

/** Where functions stand in an argument: `name`, or the path of options that leads to them. */
type FunctionsIn<Argument, Name extends string> = Argument extends Func
	? Name
	: Argument extends AbortSignal | Date | ArrayBufferView | string | number | boolean | null | undefined
		? never
		: Argument extends readonly (infer Item)[]
			? FunctionsIn<Item, Name>
			: Values<{ [Key in keyof Argument & string]-?: FunctionsIn<Argument[Key], `${Name}.${Key}`> }>;

type FunctionsTakenBy<Called, Name extends string> = Called extends (...args: infer Arguments) => unknown
	? FunctionsIn<Arguments[number], Name>
	: never;

/** The methods of an object, such as `load` of a class. */
type FunctionsTakenByMethods<Holder, Name extends string> = Values<{
	[Key in keyof Holder & string]: FunctionsTakenBy<Holder[Key], `${Name}.${Key}`>;
}>;

/** Every place of the public interface where a caller may give a function, read from the types of the interface itself. */
type Place = Values<{
	[Name in keyof Exports & string]: Exports[Name] extends Func
		? FunctionsTakenBy<Exports[Name], Name>
		: Exports[Name] extends { prototype: infer Instance }
			? Instance extends Error
				? never
				: FunctionsTakenByMethods<Omit<Exports[Name], "prototype">, Name> | FunctionsTakenByMethods<Instance, Name>
			: never;
}>;

let runs = 0;
const fresh = (name: string) => file(`${name}-${runs++}`);

const tokenCosts = { tokenCosts: [0, 0] };

async function generateWith(load: Partial<LoadOptions>): Promise<void> {
	await using loaded = await InferenceGuard.load({ model: tabular, ...load } as LoadOptions);
	await loaded.generate({ prompt: [0], maxTokens: 4, candidates: 2 });
}

async function rolloutsWith(load: Partial<RolloutOptions>): Promise<string> {
	const out = fresh("rollouts");
	await collectRollouts({ ...guard, prompts: file("prompts.txt"), out, responses: 2, maxTokens: 4, ...load });
	return out;
}

const answersWith = (load: Partial<AnswerOptions>) =>
	sampleAnswers({ ...guard, prompts: { file: file("prompts.txt"), limit: 2 }, out: fresh("answers"), maxTokens: 4, ...load });

/** With the whole of a guard's own cost model exchanged. */
const withConstraints = (constraints: LoadOptions["constraints"]) => ({
	cost: undefined,
	budget: undefined,
	constraints,
});

const experiment = (more: Partial<EvaluationConfig>): EvaluationConfig => ({
	name: "x",
	guard,
	data: { file: file("prompts.txt"), limit: 2 },
	defaults: { maxTokens: 4 },
	methods: [{ name: "a" }],
	...more,
});

/** An experiment that calls, by every way there is to have a function in it. */
const experiments = {
	"config.guard.cost": (call: Call) => experiment({ guard: { ...guard, cost: free(call) } }),
	"config.guard.constraints.cost": (call: Call) => experiment({ guard: { ...guard, ...withConstraints([{ cost: free(call) }]) } }),
	"config.guard.reward": (call: Call) => experiment({ guard: { ...guard, reward: free(call) } }),
	"config.guard.onLoadProgress": (call: Call) => experiment({ guard: { ...guard, onLoadProgress: () => void call() } }),
	"config.judges.cost": (call: Call) => experiment({ judges: [{ name: "j", cost: free(call) }] }),
	"config.methods.guard.constraints.cost": (call: Call) =>
		experiment({ methods: [{ name: "a", guard: { constraints: [{ cost: free(call) }] } }] }),
};

const evaluating = (place: keyof typeof experiments) => (call: Call) =>
	evaluate({ config: experiments[place](call), out: fresh("evaluation") });

const calibrating = (place: keyof typeof experiments) => (call: Call) =>
	calibrate({ config: experiments[place](call), evaluation: fresh("evaluation"), out: fresh("certificate") });

/** A certificate is about models that a hash can name, so that no function may judge for it. */
const refusers = {
	"calibrate.config.guard.cost": calibrating("config.guard.cost"),
	"calibrate.config.guard.constraints.cost": calibrating("config.guard.constraints.cost"),
	"calibrate.config.guard.reward": calibrating("config.guard.reward"),
	"calibrate.config.judges.cost": calibrating("config.judges.cost"),
	"calibrate.config.methods.guard.constraints.cost": calibrating("config.methods.guard.constraints.cost"),
};

/** Everything that takes a function: it calls the one that it is given, and ends as it ends. The compiler asks for every place. */
const takers: Record<Exclude<Place, keyof typeof refusers>, (call: Call) => Promise<unknown>> = {
	"InferenceGuard.load.cost": (call) => generateWith({ cost: free(call) }),
	"InferenceGuard.load.constraints.cost": (call) => generateWith({ constraints: [{ cost: tokenCosts }, { cost: free(call) }] }),
	"InferenceGuard.load.reward": (call) => generateWith({ cost: tokenCosts, reward: free(call) }),
	"InferenceGuard.load.onLoadProgress": async (call) => {
		await using _ = await InferenceGuard.load({ ...guard, onLoadProgress: () => void call() });
	},
	"InferenceGuard.modelHash.onProgress": async (call) => {
		await using loaded = await InferenceGuard.load({ ...guard, model: smallModel(folder) }); // one whose hash is not known
		await loaded.modelHash({ onProgress: () => void call() });
	},
	"collectRollouts.cost": (call) => rolloutsWith({ cost: free(call) }),
	"collectRollouts.constraints.cost": (call) => rolloutsWith(withConstraints([{ cost: free(call) }])),
	"collectRollouts.reward": (call) => rolloutsWith({ reward: free(call) }),
	"collectRollouts.onLoadProgress": (call) => rolloutsWith({ onLoadProgress: () => void call() }),
	"collectRollouts.onProgress": (call) => rolloutsWith({ onProgress: () => void call() }),
	"sampleAnswers.cost": (call) => answersWith({ cost: free(call) }),
	"sampleAnswers.constraints.cost": (call) => answersWith(withConstraints([{ cost: free(call) }])),
	"sampleAnswers.reward": (call) => answersWith({ reward: free(call) }),
	"sampleAnswers.onProgress": (call) => answersWith({ onProgress: () => void call() }),
	"trainCost.onEpoch": (call) => trainCost({ data: file("labelled.jsonl"), out: fresh("cost"), threads: 1, onEpoch: () => void call() }),
	"trainCritic.onEpoch": async (call) =>
		trainCritic({
			rollouts: await rolloutsWith({}),
			out: fresh("critic"),
			width: 8,
			members: 1,
			epochs: 2,
			threads: 1,
			onEpoch: () => void call(),
		}),
	"evaluate.config.guard.cost": evaluating("config.guard.cost"),
	"evaluate.config.guard.constraints.cost": evaluating("config.guard.constraints.cost"),
	"evaluate.config.guard.reward": evaluating("config.guard.reward"),
	"evaluate.config.guard.onLoadProgress": evaluating("config.guard.onLoadProgress"),
	"evaluate.config.judges.cost": evaluating("config.judges.cost"),
	"evaluate.config.methods.guard.constraints.cost": evaluating("config.methods.guard.constraints.cost"),
	"evaluate.onProgress": (call) => evaluate({ config: experiment({}), out: fresh("evaluation"), onProgress: () => void call() }),
	"calibrate.config.guard.onLoadProgress": calibrating("config.guard.onLoadProgress"),
	"calibrate.onProgress": (call) =>
		calibrate({ config: experiment({}), evaluation: fresh("evaluation"), out: fresh("certificate"), onProgress: () => void call() }),
};

const streamed = async (call: Call) => {
	await using loaded = await InferenceGuard.load({ model: tabular, cost: free(call) });
	for await (const _ of loaded.stream({ prompt: [0], maxTokens: 4 }));
};

describe.each(Object.entries({ ...takers, "a function that judges what is streamed": streamed }))("%s", (name, take) => {
	test("a caller's function runs in the asynchronous context of its own call", async () => {
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

	test("a caller's function fails with its code when it throws something unprintable", async () => {
		const tried = name === "InferenceGuard.load.cost" ? unshowable : unshowable.slice(0, 2);
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

test.each(Object.entries(refusers))("%s is refused, and not called", async (_, take) => {
	let calls = 0;
	await expect(take(() => calls++)).rejects.toMatchObject({ code: "INVALID_OPTION" });
	expect(calls).toBe(0);
});

test("a shared guard calls its function in the context of each generation", async () => {
	const context = new AsyncLocalStorage<string>();
	const repeats = { pieces: ["a", "b"], logits: [[9, -90], [-90, 9]] }; // biome-ignore format: a table
	const seen: [unknown, string | undefined][] = [];
	const cost: ScoreFunction = (candidates) => {
		seen.push([context.getStore(), candidates[0]?.text[0]]);
		return candidates.map(() => 0);
	};
	await using shared = await context.run("load", () => InferenceGuard.load({ model: repeats, cost }));
	const options = { maxTokens: 8, blockLength: 2 };
	const streamed = context.run("b", () => shared.stream({ prompt: [1], ...options }));
	const generated = context.run("a", () => shared.generate({ prompt: [0], ...options }));
	await context.run("loop", async () => {
		for await (const _ of streamed);
	});
	await generated;
	expect(new Set(seen.map(([store]) => store))).toEqual(new Set(["a", "b"]));
	for (const [store, letter] of seen) expect(letter).toBe(store);
});

test("a function that rejects late has the same code and does not end the process", async () => {
	const late = evaluate({
		config: { name: "x", guard, data: { file: file("prompts.txt") }, defaults: { maxTokens: 4 }, methods: [{ name: "a" }] },
		out: fresh("evaluation"),
		onProgress: (async () => {
			throw Symbol("no");
		}) as () => void,
	});
	await expect(late).rejects.toMatchObject({ code: "CALLBACK_FAILED", message: expect.stringContaining("onProgress") });
});
