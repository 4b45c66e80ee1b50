import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { costHash } from "../lib/costs/index.js";
import { randomNumbers } from "../lib/data/random.js";
import { checkConfig } from "../lib/evaluation/config.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { scorerSpec } from "../lib/guard/load-spec.js";
import { type CostModel, type EncoderCost, embeddedDefault, InferenceGuard } from "../lib/index.js";
import { callAddon } from "../lib/native/addon.js";
import { checkScorerOptions } from "../lib/options/load.js";
import { temporaryFolder } from "./temporary.js";

interface Case {
	prompt: string;
	response: string;
	/** Where words of the response end. */
	ends: number[];
	/** What each member says at each of them. */
	members: number[][];
	/** Of the whole response. */
	categories: number[];
}

const path = (name: string) => fileURLToPath(new URL(`reference/${name}`, import.meta.url));
const judge = path("judge.gguf");
const reference = JSON.parse(readFileSync(path("judge.json"), "utf8")) as {
	settings: { categories: string[]; threshold: number; uncertaintyPenalty: number };
	words: string[];
	cases: Case[];
};
const { settings, words, cases } = reference;
const folder = temporaryFolder();
const threads = 1; // tests run beside one another

const scorer = (cost: Partial<EncoderCost> = {}) =>
	CostScorer.load({ constraints: [{ cost: { encoder: judge, selfTest: false, ...cost } }], threads });

const logOdds = (probability: number) => Math.log(probability / (1 - probability));

/** In log-odds. */
async function scores(from: CostScorer, prompt: string, texts: string[]): Promise<number[]> {
	return (await from.score(prompt, texts)).map(([one]) => logOdds(one?.cost as number));
}

/** An upper confidence bound over what members say. */
function bound(members: number[], penalty: number): number {
	const mean = members.reduce((sum, x) => sum + x, 0) / members.length;
	const variance = members.reduce((sum, x) => sum + (x - mean) ** 2, 0) / members.length;
	return mean + penalty * Math.sqrt(variance);
}

function expectClose(got: readonly number[], wanted: readonly number[], within: number) {
	expect(got).toHaveLength(wanted.length);
	for (const [i, x] of got.entries()) expect(Math.abs(x - (wanted[i] as number))).toBeLessThan(within);
}

describe("what an encoder says", () => {
	const prefixes = ({ response, ends }: Case) => ends.map((end) => response.slice(0, end));
	const expected = ({ members }: Case, penalty: number) => members.map((one) => bound(one, penalty));

	test.each([
		["f32", judge, 1e-3],
		["q8_0", path("judge-q8_0.gguf"), 0.15],
	])("an encoder gives PyTorch's values for short and for long responses (%s)", async (_, encoder, within) => {
		for (const one of cases) {
			await using together = await scorer({ encoder });
			expectClose(await scores(together, one.prompt, prefixes(one)), expected(one, settings.uncertaintyPenalty), within);
			await using growing = await scorer({ encoder });
			for (const [i, text] of prefixes(one).entries()) {
				expectClose(await scores(growing, one.prompt, [text]), [bound(one.members[i] as number[], settings.uncertaintyPenalty)], within);
			}
		}
	});

	test("an encoder is as certain as its uncertainty penalty allows", async () => {
		const [short, ...others] = cases.filter(({ ends }) => ends.length < 20);
		for (const uncertaintyPenalty of [0, 2.5]) {
			await using one = await scorer({ uncertaintyPenalty });
			for (const each of [short as Case, ...others]) {
				expectClose(await scores(one, each.prompt, prefixes(each)), expected(each, uncertaintyPenalty), 1e-3 * (1 + uncertaintyPenalty));
			}
		}
	});

	test("an encoder gives no cost to an empty response, nor to white space", async () => {
		await using one = await scorer();
		expect((await one.score("the tea", ["", " \n", "milk"])).map(([costs]) => (costs?.cost as number) > 0)).toEqual([false, false, true]);
	});

	test("an encoder's verdict outlives its cache, and its memory stays bounded", async () => {
		await using one = await scorer();
		const { prompt, response } = cases[5] as Case;
		const [before] = await scores(one, prompt, [response]);
		const judgeMuch = async (seed: number) => {
			const random = randomNumbers(seed);
			const some = () => Array.from({ length: 1800 }, () => words[Math.floor(random() * words.length)]).join(" ");
			await one.score("", Array.from({ length: 64 }, some));
			return process.memoryUsage().rss;
		};
		const full = await judgeMuch(1);
		expect((await judgeMuch(2)) - full).toBeLessThan(64 << 20);
		expectClose(await scores(one, prompt, [response]), [before as number], 1e-4);
	});

	test("an encoder's verdict does not depend on how a text grew, nor on earlier texts", async () => {
		const word = fc.tuple(fc.constantFrom(...words), fc.constantFrom("", "", "s", "ing", "zz")).map((parts) => parts.join(""));
		const prompts = ["", "the tea", "they drink some more milk when the water boils , don ' t they"];
		/** A text that begins with a share of an earlier one and goes on. */
		const growth = fc.record({ from: fc.nat(), kept: fc.double({ min: 0, max: 1, noNaN: true }), more: fc.array(word, { maxLength: 25 }) });
		const call = fc.record({ prompt: fc.constantFrom(...prompts), growths: fc.array(growth, { minLength: 1, maxLength: 6 }) });
		const check = async (calls: { prompt: string; growths: { from: number; kept: number; more: string[] }[] }[]) => {
			await using grown = await scorer();
			const texts = [""];
			for (const { prompt, growths } of calls) {
				const asked = growths.map(({ from, kept, more }) => {
					const begun = texts[from % texts.length] as string;
					return begun.slice(0, Math.round(kept * begun.length)) + more.join(" ");
				});
				texts.push(...asked);
				const said = await grown.score(prompt, asked);
				for (const [i, text] of asked.entries()) {
					await using fresh = await scorer();
					const [[alone] = []] = await fresh.score(prompt, [text]);
					expect(Math.abs((said[i]?.[0]?.cost as number) - (alone?.cost as number))).toBeLessThan(1e-4);
				}
			}
		};
		await fc.assert(fc.asyncProperty(fc.array(call, { minLength: 2, maxLength: 8 }), check), { numRuns: 12 });
	});
});

describe("a guard with an encoder", () => {
	const tabular = { pieces: words.map((word) => ` ${word}`), logits: words.map(() => words.map(() => 0)) };
	const cost: EncoderCost = { encoder: judge, selfTest: false };
	const prompt = [3, 1, 4];
	const promptText = prompt.map((token) => tabular.pieces[token]).join("");

	test("a guard with an encoder uses the file's threshold and names categories", async () => {
		await using guard = await InferenceGuard.load({ model: tabular, cost });
		await using alone = await scorer();
		for (let seed = 0; seed < 5; seed++) {
			const { text, outcome, safety } = await guard.generate({ prompt, seed, maxTokens: 12, blockLength: 4 });
			expect(["safe", "steered"]).toContain(outcome);
			expect(safety.budget).toBe(settings.threshold);
			expect(safety.cost).toBeLessThanOrEqual(settings.threshold);
			expectClose([logOdds(safety.cost)], await scores(alone, promptText, [text]), 1e-4);
			const [{ categories = {} } = {}] = safety.constraints;
			expect(Object.keys(categories)).toEqual(settings.categories);
			expectClose([Object.values(categories).reduce((sum, share) => sum + share, 0)], [safety.cost], 1e-6);
		}
	});

	test("an encoder gives categories the probabilities that PyTorch gives them", async () => {
		for (const { prompt, response, categories } of cases) {
			const pieces = [prompt, response]; // one response is possible
			const logits = [[-50, 50], [-50, -50]]; // biome-ignore format: a table
			await using guard = await InferenceGuard.load({ model: { pieces: [...pieces, "end"].slice(0, 2), logits }, cost, budget: 1 });
			const reply = await guard.generate({ prompt: [0], maxTokens: 1, seed: 1 });
			expect(reply.text).toBe(response);
			expectClose(Object.values(reply.safety.constraints[0]?.categories ?? {}), categories, 1e-3);
		}
	});

	test("a guard with an encoder decides the same alone and beside other generations", async () => {
		const options = (i: number) => ({
			prompt: `Once upon a time there was ${words[i % words.length]}`,
			seed: i,
			maxTokens: 24,
			blockLength: 8,
		});
		const { model } = embeddedDefault;
		const load = () => InferenceGuard.load({ model, cost, budget: 0.3, threads });
		await using alone = await load();
		await using shared = await load();
		const one = [];
		for (let i = 0; i < 8; i++) one.push(await alone.generate({ ...options(i), candidates: 4 }));
		const together = await Promise.all(one.map((_, i) => shared.generate({ ...options(i), candidates: 4 })));
		expect(together.map(({ text, outcome }) => ({ text, outcome }))).toEqual(one.map(({ text, outcome }) => ({ text, outcome })));
		expectClose(
			together.map(({ safety }) => safety.cost),
			one.map(({ safety }) => safety.cost),
			1e-4,
		);
	});

	test("a guard with an encoder continues while a function takes its time", async () => {
		const slow = (candidates: readonly unknown[]) => new Promise<number[]>((done) => setTimeout(() => done(candidates.map(() => 0)), 5));
		const constraints = [{ cost, budget: 0.6 }, { cost: slow }];
		await using guard = await InferenceGuard.load({ model: embeddedDefault.model, constraints, threads: 2 });
		const options = { prompt: "They drink tea", maxTokens: 8, blockLength: 4, candidates: 2 };
		const asked = Array.from({ length: 4 }, (_, seed) => guard.generate({ ...options, seed }));
		for (const { safety } of await Promise.all(asked)) expect(safety.constraints[0]?.cost).toBeLessThanOrEqual(0.6);
	});

	test("an encoder is tested on pairs when it is loaded", async () => {
		await using one = await scorer();
		const texts = ["the tea is warm", "they drink milk", "some water boils", "the cup of tea"];
		const order = (await scores(one, "more", texts)).map((score, i) => ({ score, text: texts[i] as string }));
		order.sort((a, b) => a.score - b.score);
		const [lowest, highest] = [order[0]?.text as string, order.at(-1)?.text as string];
		await using _ = await scorer({ selfTest: [{ prompt: "more", safe: lowest, unsafe: highest }] });
		await expect(scorer({ selfTest: [{ prompt: "more", safe: highest, unsafe: lowest }] })).rejects.toMatchObject({
			code: "COST_MODEL_FLIPPED",
		});
	});

	test("the fingerprint of an encoder covers its uncertainty penalty", async () => {
		const constraints = [cost, { ...cost, uncertaintyPenalty: 2 }, { ...cost, encoder: path("judge-q8_0.gguf") }].map((one) => ({
			cost: one,
		}));
		const { constraints: native } = await scorerSpec(checkScorerOptions({ constraints }));
		expect(new Set(await Promise.all(native.map(costHash))).size).toBe(3);
	});
});

describe("bad files and options", () => {
	const bytes = readFileSync(judge);
	let made = 0;
	const variant = (change: (copy: Buffer) => Buffer) => {
		const file = join(folder, `${made++}.gguf`);
		writeFileSync(file, change(Buffer.from(bytes)));
		return file;
	};

	const attempt = async (encoder: unknown, more: object = {}) => {
		await using one = await CostScorer.load({ constraints: [{ cost: { encoder, selfTest: false, ...more } as CostModel }], threads });
		return await scores(one, "the tea", ["they drink some milk", "the cup"]);
	};
	const invalid = { code: "INVALID_COST_MODEL" };

	test("a file of another kind is refused as an encoder", async () => {
		const { model, constraints } = embeddedDefault;
		for (const file of [join(folder, "absent.gguf"), folder, model, constraints[0].cost.classifier, path("judge.json")]) {
			await expect(attempt(file)).rejects.toMatchObject(invalid);
		}
	});

	test("a senseless option of an encoder is refused", async () => {
		for (const [encoder, more] of [
			[judge, { uncertaintyPenalty: -1 }],
			[judge, { link: "excess" }],
			[3, {}],
			["", {}],
		] as const) {
			await expect(attempt(encoder, more)).rejects.toMatchObject({ code: "INVALID_OPTION" });
		}
	});

	const withNumber = (key: string, value: number) =>
		variant((copy) => {
			const name = Buffer.from(`inferenceguard.${key}`);
			copy.writeDoubleLE(value, copy.indexOf(name) + name.length + 4); // behind the type
			return copy;
		});

	test.each<[string, number]>([
		["format_version", 2],
		["heads", 3],
		["heads", 1e300],
		["shared_layers", 0.5],
		["shared_layers", 2],
		["member_layers", 2],
		["member_layers", -1],
		["members", 3],
		["members", 1e9],
		["members", 0],
		["epsilon", -1],
		["epsilon", Number.NaN],
		["prompt_tokens", 40],
		["prompt_tokens", -1],
		["window", 1],
		["window", 1000],
		["window", Number.POSITIVE_INFINITY],
		["scale", Number.NaN],
		["scale", 1e308],
		["uncertainty_penalty", -1],
		["threshold", 7],
		["threshold", 1],
	])("an encoder with %s of %d is refused", async (key, value) => {
		await expect(attempt(withNumber(key, value))).rejects.toMatchObject(invalid);
	});

	test("an encoder with numbers that are not finite is refused, in weights and results", async () => {
		const { dataOffset } = callAddon((native) => native.inspect(judge));
		const withFirstWeight = (value: number) =>
			variant((copy) => {
				copy.writeFloatLE(value, dataOffset);
				return copy;
			});
		for (const value of [Number.NaN, Number.POSITIVE_INFINITY])
			await expect(attempt(withFirstWeight(value))).rejects.toMatchObject(invalid);
		const overflowing = variant((copy) => {
			for (let at = dataOffset; at + 4 <= copy.length; at += 4) copy.writeFloatLE(3e38, at);
			return copy;
		});
		await expect(attempt(overflowing)).rejects.toMatchObject(invalid);
	});

	test("an encoder's file that was cut off anywhere is refused", async () => {
		// what fills the last tensor up to 32 bytes is not missed
		const check = async (share: number) => {
			const cut = variant((copy) => copy.subarray(0, Math.floor(share * (copy.length - 32))));
			await expect(attempt(cut)).rejects.toMatchObject(invalid);
		};
		await fc.assert(fc.asyncProperty(fc.double({ min: 0, max: 1, noNaN: true }), check), { numRuns: 40 });
	});

	test("an encoder's file with wrong bytes fails or works, but never ends the process", async () => {
		const header = callAddon((native) => native.inspect(judge)).dataOffset;
		const flip = fc.record({ at: fc.nat({ max: header - 1 }), to: fc.nat({ max: 255 }) });
		const check = async (flips: { at: number; to: number }[]) => {
			const damaged = variant((copy) => {
				for (const { at, to } of flips) copy[at] = to;
				return copy;
			});
			try {
				for (const score of await attempt(damaged)) expect(score).not.toBeNaN();
			} catch (error) {
				expect(error).toMatchObject(invalid);
			}
		};
		await fc.assert(fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 4 }), check), { numRuns: 300 });
	});
});

test("a path of an encoder in an experiment's file is relative to that file", async () => {
	writeFileSync(join(folder, "judge.gguf"), readFileSync(judge));
	const experiment = {
		name: "tea",
		guard: { model: embeddedDefault.model, cost: { encoder: "judge.gguf", selfTest: false }, threads },
		data: { file: "prompts.txt" },
		methods: [{ name: "guard", maxTokens: 4 }],
	};
	const file = join(folder, "experiment.json");
	writeFileSync(file, JSON.stringify(experiment));
	const { guard } = await checkConfig(file);
	expect(guard.cost).toEqual({ encoder: join(folder, "judge.gguf"), selfTest: false });
});
