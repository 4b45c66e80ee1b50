import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { calibrate, type EvaluationConfig, type EvaluationSummary, evaluate, type ResponseRecord } from "../lib/evaluation/index.js";
import { InferenceGuard, type LoadOptions } from "../lib/index.js";
import { steerVector } from "../lib/training/index.js";
import { cli } from "./child.js";
import { chatMetadata } from "./listening-model.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = smallModel(folder);
const file = (name: string) => join(folder, name);
const pieces = Array.from({ length: 24 }, (_, i) => `w${300 + i} w${280 + i}`);
writeFileSync(
	file("prompts.jsonl"),
	pieces.map((prompt, i) => JSON.stringify({ prompt, kind: i % 2 === 0 ? "fine" : "bad", topic: `topic ${i % 3}` })).join("\n"),
);
writeFileSync(file("words.txt"), "w3*\nw45*\n");
writeFileSync(file("others.txt"), "w29*\n");

const config = (more: Partial<EvaluationConfig> = {}): EvaluationConfig => ({
	name: "small",
	guard: { model, cost: { lexicon: file("words.txt") }, budget: 0, threads: 1 },
	data: { file: file("prompts.jsonl"), labelField: "kind", benign: ["fine"], categoryField: "topic" },
	judges: [{ name: "others", cost: { lexicon: file("others.txt") }, budget: 0 }],
	defaults: { maxTokens: 12, blockLength: 4 },
	methods: [
		{ name: "base", strategy: "sample" },
		{ name: "guard", candidates: 4 },
		{ name: "filter", strategy: "filter" },
	],
	seeds: [3, 5],
	traces: 2,
	...more,
});

const read = (out: string, name: string) => readFileSync(join(out, name), "utf8");
const lines = (out: string) =>
	read(out, "journal.jsonl")
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line));
const responsesOf = (out: string): ResponseRecord[] => lines(out).filter(({ kind }) => kind === "response");

/** Without what differs from run to run. */
const lasting = ({ seconds, ...rest }: ResponseRecord) => rest;

describe("an evaluation", () => {
	test("an evaluation answers every prompt with every method and seed, as the guard does", async () => {
		const out = file("whole");
		const summary = await evaluate({ config: config(), out });
		const responses = responsesOf(out);
		expect(responses).toHaveLength(24 * 3 * 2);
		expect(new Set(responses.map(({ method, prompt, seed }) => `${method}/${prompt}/${seed}`)).size).toBe(responses.length);
		expect(JSON.parse(read(out, "summary.json"))).toEqual(summary);
		expect(read(out, "report.html")).toContain("<!doctype html>");
		expect(summary.methods.map(({ name }) => name)).toEqual(["base", "guard", "filter"]);

		// one of them again, by hand
		const one = responses.find(({ method, seed }) => method === "guard" && seed === 5) as ResponseRecord;
		await using guard = await InferenceGuard.load(config().guard);
		const index = Number(one.prompt) - 1;
		const reply = await guard.generate({
			prompt: pieces[index] as string,
			candidates: 4,
			maxTokens: 12,
			blockLength: 4,
			seed: 5 * 2 ** 20 + index,
		});
		expect(one).toMatchObject({
			text: reply.text,
			outcome: reply.outcome,
			costs: [{ cost: reply.safety.cost, budget: 0 }],
			reward: reply.reward,
			generatedTokens: reply.usage.generatedTokens,
			judges: { others: { withinBudget: !/\bw29\d/.test(reply.text) } },
		});
	});

	test("an evaluation summarises its journal", async () => {
		const out = file("whole");
		const { methods, prompts, seeds, judges } = await evaluate({ config: config(), out });
		expect({ prompts, seeds, judges }).toEqual({ prompts: 24, seeds: [3, 5], judges: ["others"] });
		for (const row of methods) {
			const own = responsesOf(out).filter(({ method }) => method === row.name);
			const answered = own.filter(({ outcome }) => outcome !== "refused");
			const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
			expect(row).toMatchObject({ responses: 48, answered: answered.length, refused: 48 - answered.length });
			expect(row.overBudget).toBe(answered.filter(({ costs }) => (costs[0]?.cost ?? 0) > 0).length);
			expect(row.safetyRate).toBeCloseTo(1 - row.overBudget / answered.length, 12);
			expect(row.judgeSafetyRate).toBeCloseTo(mean(answered.map((one) => Number(one.judges.others?.withinBudget))), 12);
			expect(row.rewardMean).toBeCloseTo(mean(answered.map(({ reward }) => reward as number)), 9);
			expect(row.secondsMean).toBeCloseTo(mean(own.map(({ seconds }) => seconds)), 9);
			const [generated, emitted] = [own, own].map((rows, i) =>
				rows.reduce((sum, one) => sum + (i === 0 ? one.generatedTokens : one.emittedTokens), 0),
			);
			expect(row.tokensPerEmitted).toBeCloseTo((generated as number) / (emitted as number), 9);
			const benign = own.filter(({ prompt }) => Number(prompt) % 2 === 1);
			expect(row.estimates.overRefusalRate.value).toBeCloseTo(mean(benign.map(({ refusal }) => Number(refusal))), 12);
			const [logLikelihood, tokens] = [answered, answered].map((rows, i) =>
				rows.reduce((sum, one) => sum + one.emittedTokens * (i === 0 ? one.logLikelihood : 1), 0),
			);
			expect(row.estimates.perplexity.value).toBeCloseTo(Math.exp(-(logLikelihood as number) / (tokens as number)), 6);
			expect(row.estimates.costs.map(({ value }) => value)).toEqual([expect.closeTo(mean(answered.map(({ costs }) => costs[0]!.cost)), 9)]);
			expect(Object.keys(row.categories)).toEqual(["topic 0", "topic 1", "topic 2"]);
			for (const [t, category] of Object.values(row.categories).entries()) {
				const ofTopic = own.filter(({ prompt }) => (Number(prompt) - 1) % 3 === t);
				const safe = ofTopic.filter(({ outcome }) => outcome !== "refused").map(({ withinBudget }) => Number(withinBudget));
				expect(category.responses).toBe(16);
				if (safe.length > 0) expect(category.safetyRate.value).toBeCloseTo(mean(safe), 12);
				else expect(category.safetyRate.value).toBeNull();
				expect(category.refusalRate.value).toBeCloseTo(mean(ofTopic.map(({ refusal }) => Number(refusal))), 12);
			}
			const [low, high] = row.estimates.safetyRate.interval ?? [Number.NaN, Number.NaN];
			expect(low).toBeLessThanOrEqual(row.safetyRate as number);
			expect(high).toBeGreaterThanOrEqual(row.safetyRate as number);
		}
		const [base, guard, filter] = methods as [EvaluationSummary["methods"][number], ...EvaluationSummary["methods"]];
		expect(base?.overBudget).toBeGreaterThan(0); // there was something to be safe from
		expect(guard?.overBudget).toBe(0);
		expect(filter?.overBudget).toBe(0);
		expect(filter?.refused).toBeGreaterThan(0);
	});

	test("an evaluation of harmful prompts leaves the figures of benign ones empty", async () => {
		const harmful = pieces.slice(0, 3).map((prompt, i) => ({ prompt, kind: "bad", topic: `topic ${i}` }));
		writeFileSync(file("harmful.jsonl"), harmful.map((row) => JSON.stringify(row)).join("\n"));
		const xstest = harmful.map(({ prompt, topic }, i) => `${i + 1},${prompt},${topic},unsafe`);
		writeFileSync(file("harmful.csv"), ["id,prompt,type,label", ...xstest].join("\n"));
		const sources: EvaluationConfig["data"][] = [
			{ file: file("harmful.jsonl"), labelField: "kind", benign: ["fine"], categoryField: "topic" },
			{ file: file("harmful.csv"), preset: "xstest" },
		];
		for (const [i, data] of sources.entries()) {
			const out = file(`harmful-${i}`);
			const summary = await evaluate({ config: config({ data, seeds: [1], traces: 0 }), out });
			for (const { responses, estimates, categories } of summary.methods) {
				expect([responses, Object.keys(categories).length]).toEqual([3, 3]);
				expect(estimates.overRefusalRate).toEqual({ value: null, interval: null });
			}
			const table = /<table id="methods".*?<\/table>/s.exec(read(out, "report.html"))?.[0] ?? "";
			expect(table).not.toMatch(/NaN|undefined|Infinity|null/);
			const cells = (row: string) => [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell?.replace(/<[^>]+>/g, ""));
			const [head, ...rows] = [...table.matchAll(/<tr.*?<\/tr>/gs)].map(([row]) => cells(row));
			expect(rows.map((row) => row[head?.indexOf("Over-refusal") ?? -1])).toEqual(["–", "–", "–"]);
		}
	});

	test("an evaluation keeps the trees of as many prompts as configured", async () => {
		const traced = responsesOf(file("whole")).filter(({ trace }) => trace !== undefined);
		expect(traced.map(({ prompt, seed, method }) => `${prompt}/${seed}/${method}`).sort()).toEqual(
			["1", "2"].flatMap((prompt) => ["base", "filter", "guard"].map((method) => `${prompt}/3/${method}`)),
		);
	});

	test("an evaluation that was killed resumes with the same responses", async () => {
		const out = file("killed");
		const yaml = file("small.json");
		writeFileSync(yaml, JSON.stringify(config()));
		const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
		const journal = join(out, "journal.jsonl");
		const written = () => (existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length : 0);
		for (const enough of [5, 20, 21, 50, 90]) {
			const child = spawn(process.execPath, [main, "eval", "--config", yaml, "--out", out], { stdio: "ignore" });
			const closed = new Promise((resolve) => child.on("close", resolve));
			while (written() < enough) await new Promise((resolve) => setTimeout(resolve, 5));
			child.kill("SIGKILL");
			await closed;
		}
		expect(written()).toBeLessThan(24 * 3 * 2);
		writeFileSync(join(out, "journal.jsonl"), `${read(out, "journal.jsonl")}{"kind":"response","method":"ba`);
		const done = await cli("eval", "--config", yaml, "--out", out, "--json");
		expect(done.status).toBe(0);
		expect(JSON.parse(done.stdout)).toEqual(JSON.parse(read(out, "summary.json")));
		const order = (rows: ResponseRecord[]) => rows.map(lasting).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
		expect(order(responsesOf(out))).toEqual(order(responsesOf(file("whole"))));
	});

	test("an evaluation does not resume the journal of another one, nor a damaged one", async () => {
		const out = file("whole");
		for (const other of [
			config({ seeds: [3, 6] }),
			config({ guard: { ...config().guard, budget: 1 } }),
			config({ defaults: { maxTokens: 11 } }),
		]) {
			await expect(evaluate({ config: other, out })).rejects.toMatchObject({ code: "INVALID_JOURNAL" });
		}
		const damaged = file("damaged");
		await evaluate({ config: config({ seeds: [1], methods: [{ name: "base", strategy: "sample" }] }), out: damaged });
		const text = read(damaged, "journal.jsonl").split("\n");
		text[3] = (text[3] as string).slice(5);
		writeFileSync(join(damaged, "journal.jsonl"), text.join("\n"));
		const again = evaluate({ config: config({ seeds: [1], methods: [{ name: "base", strategy: "sample" }] }), out: damaged });
		await expect(again).rejects.toMatchObject({ code: "INVALID_JOURNAL", message: expect.stringContaining("line 4") });
	});

	test("an evaluation is refused in a folder where another one runs", async () => {
		const out = file("shared");
		const stop = new AbortController();
		const others: Promise<unknown>[] = [];
		const onProgress = ({ responses }: { responses: number }) => {
			if (responses > 1 || others.length > 0) return;
			const other = evaluate({ config: config(), out }).catch((error) => error);
			others.push(other.finally(() => stop.abort()));
		};
		await expect(evaluate({ config: config(), out, onProgress, signal: stop.signal })).rejects.toMatchObject({ code: "ABORTED" });
		expect(await others[0]).toMatchObject({ code: "INVALID_JOURNAL", message: expect.stringContaining("process") });
		expect(existsSync(join(out, "journal.jsonl.lock"))).toBe(false);
	});

	test("an evaluation gives the same answers at any concurrency, also when resumed", async () => {
		const out = file("at-once");
		await evaluate({ config: config({ concurrency: 6 }), out });
		const byKey = (responses: ResponseRecord[]) =>
			new Map(responses.map((one) => [`${one.method}/${one.prompt}/${one.seed}`, [one.text, one.outcome, one.generatedTokens]]));
		expect(byKey(responsesOf(out))).toEqual(byKey(responsesOf(file("whole"))));
		const journal = read(out, "journal.jsonl");
		await evaluate({ config: config({ concurrency: 1 }), out });
		expect(read(out, "journal.jsonl")).toBe(journal);
		await expect(evaluate({ config: config({ concurrency: 0 }), out })).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("an evaluation whose journal is a folder is refused before a model is loaded", async () => {
		mkdirSync(join(file("taken"), "journal.jsonl"), { recursive: true });
		const guard = { ...config().guard, model: file("absent.gguf") };
		await expect(evaluate({ config: config({ guard }), out: file("taken") })).rejects.toMatchObject({ code: "WRITE_FAILED" });
	});

	test("an evaluation leaves out prompts that the model cannot take, and names them", async () => {
		writeFileSync(
			file("odd.txt"),
			["w300 w301", Array(300).fill("w304").join(" "), "a </s> w302", Array(400).fill("w303").join(" ")].join("\n"),
		);
		const summary = await evaluate({ config: config({ data: { file: file("odd.txt") }, seeds: [1] }), out: file("odd") });
		expect(summary.skipped).toEqual([
			{ prompt: "2", code: "PROMPT_TOO_LONG" },
			{ prompt: "4", code: "PROMPT_TOO_LONG" },
		]);
		expect(summary.prompts).toBe(2);
		expect(summary.methods.every(({ responses }) => responses === 2)).toBe(true);

		// at once with other seeds of the same prompt, each still once
		const atOnce = config({ data: { file: file("odd.txt") }, seeds: [1, 2, 3], concurrency: 12 });
		const again = await evaluate({ config: atOnce, out: file("odd-at-once") });
		expect(again.skipped.map(({ prompt }) => prompt).sort()).toEqual(["2", "4"]);
	});

	test("an evaluation drops a prompt that one method cannot answer from every row", async () => {
		writeFileSync(file("long.txt"), ["w300 w301", Array(20).fill("w303").join(" ")].join("\n"));
		const methods = [
			{ name: "base", strategy: "sample" as const },
			{ name: "wide", strategy: "bestOfN" as const, candidates: 16 },
		];
		const guard = { ...config().guard, kvCells: 300 };
		const wide = config({ guard, methods, defaults: { maxTokens: 12 }, data: { file: file("long.txt") }, seeds: [1] });
		const summary = await evaluate({ config: wide, out: file("wide") });
		expect(summary.skipped).toEqual([{ prompt: "2", code: "KV_CAPACITY" }]);
		expect(responsesOf(file("wide")).filter(({ prompt }) => prompt === "2")).toHaveLength(1); // what base said
		expect(summary.methods.map(({ responses }) => responses)).toEqual([1, 1]);
		const ladder = { config: wide, evaluation: file("claimed-wide"), out: file("wide.json"), epsilon: 0.5 };
		await expect(calibrate(ladder)).rejects.toMatchObject({ code: "NOT_CERTIFIED", message: expect.stringContaining("prompt 2") });
	});

	test("an evaluation loads methods with different cost functions one by one", async () => {
		const asked: string[] = [];
		const cost = (name: string) => (texts: readonly unknown[]) => {
			asked.push(name);
			return texts.map(() => 0);
		};
		const own = (name: string) => ({ name, strategy: "filter" as const, guard: { constraints: [{ cost: cost(name), budget: 0 }] } });
		await evaluate({ config: config({ methods: [own("a"), own("b")], seeds: [1] }), out: file("functions") });
		expect(new Set(asked)).toEqual(new Set(["a", "b"]));
	});

	test("an evaluation measures steered methods by the unsteered model's likelihood", async () => {
		const prompts = (last: number) => Array.from({ length: 6 }, (_, i) => [1, 300 + i, last]);
		await steerVector({ model, positive: prompts(260), negative: prompts(270), out: file("vector.gguf"), threads: 1 });
		const steering = { vector: file("vector.gguf"), strength: 5 };
		const methods = [
			{ name: "base", strategy: "sample" as const },
			{ name: "steered", strategy: "sample" as const, guard: { steering } },
		];
		const out = file("steered");
		await evaluate({ config: config({ methods, seeds: [1], data: { file: file("prompts.jsonl"), limit: 4 } }), out });
		await using guard = await InferenceGuard.load({ model, threads: 1 });
		await using steered = await InferenceGuard.load({ model, threads: 1, steering });
		const one = responsesOf(out).find(({ method }) => method === "steered") as ResponseRecord;
		const options = { prompt: pieces[Number(one.prompt) - 1] as string, strategy: "sample" as const, maxTokens: 12, blockLength: 4 };
		const reply = await steered.generate({ ...options, seed: 2 ** 20 + Number(one.prompt) - 1 });
		expect(one.text).toBe(reply.text);
		expect(one.logLikelihood).toBeCloseTo(await guard.meanLogLikelihood({ prompt: options.prompt }, reply), 6);
		expect(Math.abs(one.logLikelihood - reply.logLikelihood)).toBeGreaterThan(0.01);
		expect(one.reward).toBe(one.logLikelihood); // that is the reward here, comparable with the rows beside it
	});

	test("an evaluation reads responses to raw prompts on from the prompt's end", async () => {
		const judge = { cost: { lexicon: pieces.map((prompt) => `${prompt} w*`) }, budget: 0 };
		const guard = { model, ...judge, threads: 1 };
		const methods = [
			{ name: "base", strategy: "sample" as const },
			{ name: "own", strategy: "sample" as const, guard: { constraints: [{ cost: { lexicon: ["w1"] }, budget: 0 }] } },
		];
		const out = file("borders");
		await evaluate({ config: config({ guard, methods, judges: [{ name: "same", ...judge }], seeds: [1] }), out });
		const responses = responsesOf(out);
		for (const { text, costs, judges } of responses) {
			if (text.startsWith(" w")) expect(costs[0]?.cost).toBe(1);
			expect(judges.same?.cost).toBe(costs[0]?.cost);
		}
		expect(new Set(responses.map(({ costs }) => costs[0]?.cost))).toEqual(new Set([0, 1]));
	});

	test("an evaluation measures a method with its own cost models under the common ones", async () => {
		const own = { constraints: [{ cost: { lexicon: file("others.txt") }, budget: 0 }] };
		const methods = [
			{ name: "common", candidates: 4 },
			{ name: "own", candidates: 4, guard: own },
		];
		const out = file("own");
		const summary = await evaluate({ config: config({ methods, seeds: [1] }), out });
		await using guard = await InferenceGuard.load({ model, threads: 1, ...own });
		let over = 0;
		for (const one of responsesOf(out).filter(({ method }) => method === "own")) {
			const index = Number(one.prompt) - 1;
			const options = { candidates: 4, maxTokens: 12, blockLength: 4, seed: 2 ** 20 + index };
			expect(one.text).toBe((await guard.generate({ prompt: pieces[index] as string, ...options })).text);
			const hits = one.text.match(/(?<![\p{L}\p{M}\p{N}])w(3|45)/gu)?.length ?? 0;
			expect(one.costs).toEqual([{ cost: hits, budget: 0 }]);
			expect(one.judges.others?.withinBudget).toBe(true); // what it searched under
			if (hits > 0) over++;
		}
		expect(over).toBeGreaterThan(0);
		expect(summary.methods.map(({ overBudget }) => overBudget)).toEqual([0, over]);
	});

	test("an evaluation measures the same likelihood wherever steering is configured", async () => {
		const steering = { vector: file("vector.gguf"), strength: 5 };
		const data = { file: file("prompts.jsonl"), limit: 4 };
		const plain = [{ name: "steered", strategy: "sample" as const }];
		await evaluate({
			config: config({ guard: { ...config().guard, steering }, methods: plain, seeds: [1], data }),
			out: file("base-steered"),
		});
		const likelihoods = (out: string) =>
			responsesOf(out)
				.filter(({ method }) => method === "steered")
				.map((one) => one.logLikelihood);
		const [inBase, inMethod] = [likelihoods(file("base-steered")), likelihoods(file("steered"))];
		expect(inBase).toHaveLength(4);
		for (const [i, one] of inBase.entries()) expect(one).toBeCloseTo(inMethod[i] as number, 5);
	});

	test("an evaluation counts an excess before the end, where every token must comply", async () => {
		const tokenCosts = Array.from({ length: 512 }, (_, i) => (i % 2 === 0 ? 1 : -1));
		const guard: LoadOptions = { model, cost: { tokenCosts }, budget: 1, costFloor: null, threads: 1 };
		const methods = [{ name: "base", strategy: "sample" as const }];
		const out = file("signed");
		const { methods: rows } = await evaluate({ config: config({ guard, methods, seeds: [1] }), out });
		await using loaded = await InferenceGuard.load(guard);
		let [anytime, end] = [0, 0];
		for (const [index, prompt] of pieces.entries()) {
			const { safety } = await loaded.generate({ prompt, strategy: "sample", maxTokens: 12, blockLength: 4, seed: 2 ** 20 + index });
			if (safety.z.some((left) => left < 0)) anytime++;
			if (safety.cost > safety.budget) end++;
		}
		expect(anytime).toBeGreaterThan(end);
		expect(rows[0]?.overBudget).toBe(anytime);
	});

	test("repeated seeds of a greedy method do not narrow the interval of an evaluation", async () => {
		const methods = [{ name: "greedy", strategy: "sample" as const, temperature: 0 as const }];
		const interval = async (seeds: number[]) => {
			const { methods: rows } = await evaluate({ config: config({ methods, seeds }), out: file(`greedy-${seeds.length}`) });
			return rows[0]?.estimates.safetyRate.interval?.map((bound) => Math.round(bound * 1e9));
		};
		expect(await interval([1, 2, 3, 4])).toEqual(await interval([1]));
	});

	test("an evaluation without a usable prompt fails", async () => {
		const run = evaluate({ config: config({ chat: true }), out: file("chatless") });
		await expect(run).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining("CHAT_TEMPLATE") });
	});

	test("an evaluation gives a method's system message to that method's model alone", async () => {
		const system = "w400 w401";
		const out = file("instructed");
		const guard = { ...config().guard, model: smallModel(folder, { metadata: chatMetadata }) };
		const methods = [
			{ name: "plain", strategy: "sample" as const },
			{ name: "instructed", strategy: "sample" as const, system },
		];
		const asked = config({ guard, chat: true, methods, seeds: [1], traces: 0 });
		const { methods: rows } = await evaluate({ config: asked, out });
		expect(rows.map(({ settings }) => settings)).toEqual([
			expect.not.stringContaining("system"),
			expect.stringMatching(/^sample, .*, system message$/),
		]);
		const responses = responsesOf(out);
		const textsOf = (name: string) => responses.filter(({ method }) => method === name).map(({ text }) => text);
		await using loaded = await InferenceGuard.load(guard);
		const answers = async (before: { role: string; content: string }[]) => {
			const texts: string[] = [];
			for (const [index, content] of pieces.entries()) {
				const messages = [...before, { role: "user", content }];
				texts.push((await loaded.generate({ messages, strategy: "sample", ...config().defaults, seed: 2 ** 20 + index })).text);
			}
			return texts;
		};
		expect(textsOf("plain")).toEqual(await answers([]));
		expect(textsOf("instructed")).toEqual(await answers([{ role: "system", content: system }]));
		expect(textsOf("instructed")).not.toEqual(textsOf("plain"));

		const others = { ...asked, methods: [methods[0]!, { ...methods[1]!, system: "w402" }] };
		await expect(evaluate({ config: others, out })).rejects.toMatchObject({ code: "INVALID_JOURNAL" });
	});

	test("an evaluation stops on request, and keeps the finished responses", async () => {
		const out = file("stopped");
		const stop = new AbortController();
		const run = evaluate({ config: config(), out, signal: stop.signal, onProgress: ({ responses }) => responses === 10 && stop.abort() });
		await expect(run).rejects.toMatchObject({ code: "ABORTED" });
		expect(responsesOf(out)).toHaveLength(10);
		expect(existsSync(join(out, "summary.json"))).toBe(false);
	});
});

describe("a configuration", () => {
	test.each([
		["an unknown key", { methodes: [] }, "methodes"],
		["no method", { methods: [] }, "at least one method"],
		["a name twice", { methods: [{ name: "a" }, { name: "a" }] }, "a twice"],
		["an unknown strategy", { methods: [{ name: "a", strategy: "magic" }] }, "strategy"],
		["an unknown search option", { defaults: { beans: 3 } }, "beans"],
		["what becomes of refusals", { defaults: { onRefusal: { text: "Sorry" } } }, "onRefusal"],
		["a strategy for all methods", { defaults: { strategy: "beam" } }, "strategy"],
		[
			"own cost models beside discounted ones",
			{
				guard: { ...config().guard, discount: 0.9 },
				methods: [{ name: "own", guard: { constraints: [{ cost: { lexicon: ["x"] }, budget: 0 }] } }],
			},
			"own",
		],
		["a budget that differs by method", { methods: [{ name: "a", guard: { budget: 3 } }] }, "budget"],
		["a seed in a method", { methods: [{ name: "a", seed: 3 }] }, "seeds"],
		["a system message without a chat", { methods: [{ name: "a", system: "Be kind." }] }, "system"],
		["a judge with a discount", { judges: [{ name: "j", cost: { lexicon: ["x"] }, discount: 0.5 }] }, "discount"],
		["a judge without cost", { judges: [{ name: "j" }] }, "cost"],
		["a seed twice", { seeds: [1, 1] }, "every seed once"],
		["a file of prompts that there is not", { data: { file: "none.txt" } }, "none.txt"],
	])("a configuration with %s is refused before anything runs", async (_, wrong, message) => {
		const out = file("never");
		const run = evaluate({ config: { ...config(), ...wrong } as EvaluationConfig, out });
		await expect(run).rejects.toMatchObject({ message: expect.stringContaining(message) });
		expect(existsSync(join(out, "journal.jsonl"))).toBe(false);
	});

	test("a configuration with several problems is refused with all of them, each located", async () => {
		const methods = [
			{ name: "a", strategy: "magic", beams: 0 },
			{ name: "a", candidates: 2, beams: 3 },
			{ name: "b", beans: 1, guard: { steering: { vector: "" } } },
			{ name: "c", estimator: "critic", system: "Be kind." },
		];
		const wrong = {
			...config(),
			methods,
			guard: { ...config().guard, budget: -1, treads: 2 },
			judges: [{ name: "j", cost: { lexicon: ["x"] }, budget: -2 }],
			defaults: { maxTokens: 0 },
			seeds: [1, 1],
			notes: 3,
			extra: true,
		};
		writeFileSync(file("wrong.json"), JSON.stringify(wrong));
		const places = [
			"extra: there is no",
			"notes: ",
			"seeds: expected every seed once",
			"methods: expected every name once, got a twice",
			"guard.budget: ",
			"guard.treads: there is no",
			"methods.0.strategy: ",
			"methods.0.beams: ",
			"methods.2.beans: there is no",
			"methods.2.guard.steering.strength: ",
			"methods.3.system: ",
			"defaults.maxTokens: ",
			"judges.0.budget: ",
		];
		for (const given of [file("wrong.json"), wrong as unknown as EvaluationConfig]) {
			const error = await evaluate({ config: given, out: file("never") }).catch((error) => error);
			expect(error.code).toBe("INVALID_OPTION");
			for (const place of places) expect(`\n${error.message}`).toContain(`\n${place}`);
			expect(new Set(error.message.split("\n")).size).toBe(error.message.split("\n").length);
		}
		const search = {
			...config(),
			methods: [
				{ name: "a", candidates: 2, beams: 3 },
				{ name: "c", estimator: "critic" },
			],
		};
		const error = await evaluate({ config: search as EvaluationConfig, out: file("never") }).catch((error) => error);
		expect(error.message).toMatch(/^methods.0.beams: expected at most as many beams[^\n]*\nmethods.1.estimator: /);
	});

	test("a configuration may spell a strategy in two ways, for the same experiment", async () => {
		const spelled = (strategy: "best-of-n" | "bestOfN") =>
			config({ methods: [{ name: "best", strategy, candidates: 2 }], seeds: [1], data: { file: file("prompts.jsonl"), limit: 3 } });
		const first = await evaluate({ config: spelled("best-of-n"), out: file("spelled") });
		const second = await evaluate({ config: spelled("bestOfN"), out: file("spelled") });
		expect(second).toEqual(first);
		expect(first.methods[0]?.settings).toContain("bestOfN, N = 2");
	});

	test("a configuration in a file has paths relative to its folder, in YAML and JSON", async () => {
		const yaml = [
			"name: from a file",
			`guard: { model: ${model.slice(folder.length + 1)}, cost: { lexicon: words.txt }, budget: 0, threads: 1 }`,
			"data: { file: [prompts.jsonl], limit: 2 }",
			"judges: [{ name: others, cost: { lexicon: others.txt } }]",
			"defaults: { maxTokens: 4 }",
			"methods: [{ name: base, strategy: sample }]",
		].join("\n");
		writeFileSync(file("config.yaml"), yaml);
		writeFileSync(file("config.json"), JSON.stringify(parse(yaml)));
		for (const name of ["config.yaml", "config.json"]) {
			const done = await cli("eval", "--config", file(name), "--out", file(`${name}-out`), "--format", "inspect");
			expect(done.status, done.stderr).toBe(0);
			expect(done.stdout).toContain("judge: others");
			expect(JSON.parse(readFileSync(join(file(`${name}-out`), "inspect-1.json"), "utf8"))).toMatchObject({
				version: 2,
				status: "success",
			});
		}
		expect((await cli("eval", "--config", file("absent.yaml"), "--out", file("never"))).status).toBe(2);
		writeFileSync(file("broken.yaml"), "name: [");
		expect((await cli("eval", "--config", file("broken.yaml"), "--out", file("never"))).status).toBe(2);
	});
});
