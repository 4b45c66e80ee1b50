import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { type CostModel, InferenceGuard } from "../lib/index.js";
import { callAddon } from "../lib/native/addon.js";
import { type TrainCostOptions, trainCost } from "../lib/training/index.js";
import { smallRecurrentModel, temporaryFolder } from "./temporary.js";
import { causalModel, encoderModel, sentencePieces, type TextModel, wordDetector, wordPieces } from "./text-models.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const threads = 1; // tests run beside one another
const random = randomNumbers(2);
const pick = (words: string[]) => words[Math.floor(random() * words.length)] as string;

const common = ["▁the", "▁tea", "▁garden", "▁is", "▁nice"];
const bad = ["▁poison", "▁hate"];
const vocabulary = sentencePieces({ words: [...common, ...bad] });
/** Its hidden state holds the share of bad words, among much else. */
const base = causalModel(folder, "llama", { vocabulary, seed: 3, layers: 1, weights: wordDetector(bad, "▁the", "▁tea") });
const text = (tokens: string[]) => tokens.join("").replaceAll("▁", " ");

const rows = Array.from({ length: 300 }, (_, i) => {
	const label = i % 2;
	const words = Array.from({ length: 12 }, () => pick(common));
	if (label) words[Math.floor(random() * 12)] = pick(bad);
	return { text: text(words), label: random() < 0.03 ? 1 - label : label };
});
const data = file("data.jsonl");
writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));

const train = (name: string, options: Partial<TrainCostOptions> = {}) =>
	trainCost({ kind: "probe", model: base.path, data, out: file(name), threads, ...options });

const selfTest = [
	{ prompt: "", safe: " the tea is nice", unsafe: " the tea is poison" },
	{ prompt: "", safe: " the garden is nice", unsafe: " hate the garden" },
];

/** The token ids of words of the vocabulary behind the token that begins every text. */
const tokensOf = (words: string) => [
	1,
	...words
		.split(" ")
		.slice(1)
		.map((word) => vocabulary.texts.indexOf(`▁${word}`)),
];

function probability(path: string, model: TextModel, tokens: number[]): number {
	const { dataOffset } = callAddon((native) => native.inspect(path));
	const bytes = readFileSync(path);
	const { hidden } = model.forward(tokens);
	const bias = callAddon((native) => native.readTensors(path, "probe", "INVALID_COST_MODEL", [], ["bias"])).numbers.bias?.[0] as number;
	const logOdds = hidden.reduce((sum, x, i) => sum + x * bytes.readFloatLE(dataOffset + 4 * i), bias);
	return 1 / (1 + Math.exp(-logOdds));
}

describe("train-cost --kind probe", () => {
	test("train-cost --kind probe learns from states, and keeps the false-negative rate", async () => {
		const passes: number[] = [];
		const report = await train("probe.gguf", { falseNegativeRate: 0.1, onEpoch: ({ epoch }) => passes.push(epoch) });
		expect(report.test.auc).toBeGreaterThan(0.9);
		expect(report.test.ece).toBeLessThan(0.2);
		expect(report.validation.falseNegativeRate).toBeLessThanOrEqual(0.1);
		expect(passes.length).toBeGreaterThan(1);
		expect(passes).toContain(report.epochs);
		expect(JSON.parse(readFileSync(file("probe.gguf.report.json"), "utf8"))).toEqual(report);
	});

	test("train-cost --kind probe gives the same file for the same data and seed", async () => {
		await train("one.gguf");
		await train("two.gguf");
		expect(readFileSync(file("one.gguf")).equals(readFileSync(file("two.gguf")))).toBe(true);
	});

	test("train-cost --kind probe says what is wrong", async () => {
		await expect(trainCost({ kind: "probe", data, out: file("x.gguf") })).rejects.toMatchObject({
			code: "INVALID_OPTION",
			message: expect.stringMatching(/model/),
		});
		await expect(trainCost({ model: base.path, data, out: file("x.gguf") })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		await expect(train("x.gguf", { model: file("absent.gguf") })).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
		const bert = encoderModel(folder, "bert", { vocabulary: wordPieces(["tea"]) });
		await expect(train("x.gguf", { model: bert.path })).rejects.toMatchObject({ code: "UNSUPPORTED_MODEL" });
		await expect(train("x.gguf", { model: smallRecurrentModel(folder) })).rejects.toMatchObject({ code: "UNSUPPORTED_MODEL" });
		await expect(train("x.gguf", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORTED" });
	});
});

describe("a probe as a cost model", () => {
	test("a probe charges its head's value of the model's state at the last token", async () => {
		const { threshold } = await train("used.gguf");
		const constraints = [
			{ cost: { probe: file("used.gguf"), selfTest } },
			{ cost: { probe: file("used.gguf"), link: "excess" as const, selfTest: false as const } },
		];
		await using scorer = await CostScorer.load({ model: base.path, constraints, threads });
		const texts = [" the tea is nice", " the tea is poison", " hate the garden the garden the garden"];
		const scored = await scorer.score("ignored", texts);
		for (const [i, words] of texts.entries()) {
			const p = probability(file("used.gguf"), base, tokensOf(words));
			expect(scored[i]?.[0]?.cost).toBeCloseTo(p, 2);
			expect(scored[i]?.[0]?.withinBudget).toBe((scored[i]?.[0]?.cost as number) <= threshold);
			const logOdds = (x: number) => Math.log(x / (1 - x));
			const cost = scored[i]?.[0]?.cost as number;
			expect(scored[i]?.[1]?.cost).toBeCloseTo(Math.max(0, logOdds(cost) - logOdds(threshold)), 2);
		}
		expect(scored[1]?.[0]?.cost).toBeGreaterThan(scored[0]?.[0]?.cost as number);
	});

	test("a probe reads the context if it was trained with one", async () => {
		const labelled = rows.map((row, i) => ({
			...row,
			response: row.text,
			context: ` garden${i % 3 ? "" : " hate"}`,
			label: i % 3 ? 0 : 1,
		}));
		writeFileSync(file("context.jsonl"), labelled.map((row) => JSON.stringify(row)).join("\n"));
		const report = await train("context.gguf", {
			data: file("context.jsonl"),
			contextField: "context",
			textField: "response",
			groupField: "text",
		});
		expect(report.withContext).toBe(true);
		const constraints = [{ cost: { probe: file("context.gguf"), selfTest: false as const } }];
		await using scorer = await CostScorer.load({ model: base.path, constraints, threads });
		for (const context of [" garden", " garden hate"]) {
			const [scored] = (await scorer.score(context, [" the tea"]))[0] ?? [];
			expect(scored?.cost).toBeCloseTo(probability(file("context.gguf"), base, tokensOf(`${context} the tea`)), 2);
		}
	});

	test("a probe reads beside the generating model, which keeps its own cache", async () => {
		await train("search.gguf");
		const cost: CostModel = { probe: file("search.gguf"), selfTest };
		await using guard = await InferenceGuard.load({
			model: base.path,
			constraints: [{ cost, budget: 0.4 }, { cost: { lexicon: ["nice"] } }],
			threads,
		});
		await using scorer = await CostScorer.load({ model: base.path, constraints: [{ cost, budget: 0.4 }], threads });
		let answered = 0;
		for (let seed = 0; seed < 5; seed++) {
			const reply = await guard.generate({ prompt: " the", maxTokens: 12, blockLength: 3, candidates: 8, seed });
			if (reply.outcome === "refused") continue;
			answered++;
			const [scored] = (await scorer.score("", [reply.text]))[0] ?? [];
			expect(reply.safety.cost).toBeCloseTo(scored?.cost as number, 2);
			expect(reply.safety.cost).toBeLessThanOrEqual(0.4);
			const fresh = await guard.logLikelihoods([1, ...tokensOf(" the").slice(1)], reply.tokens);
			const end = reply.finishReason === "stop" ? 1 : 0;
			if (end === 0) expect(reply.logLikelihood).toBeCloseTo(fresh.reduce((a, b) => a + b) / fresh.length, 2);
		}
		expect(answered).toBeGreaterThan(2);
	});

	test("a probe belongs to its model, and fails with a code otherwise", async () => {
		await train("bound.gguf");
		const other = causalModel(folder, "llama", { vocabulary, seed: 4, layers: 1 });
		const cost: CostModel = { probe: file("bound.gguf"), selfTest: false };
		await expect(InferenceGuard.load({ model: other.path, cost, threads })).rejects.toMatchObject({ code: "COST_MODEL_MISMATCH" });
		await expect(CostScorer.load({ model: other.path, constraints: [{ cost }], threads })).rejects.toMatchObject({
			code: "COST_MODEL_MISMATCH",
		});
		await expect(CostScorer.load({ constraints: [{ cost }], threads })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		const table = { pieces: ["a", "b"], logits: [0, 1].map(() => [0, 0]) };
		await expect(InferenceGuard.load({ model: table, cost })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		const flipped = selfTest.map(({ prompt, safe, unsafe }) => ({ prompt, safe: unsafe, unsafe: safe }));
		const reversed = { probe: file("bound.gguf"), selfTest: flipped };
		await expect(InferenceGuard.load({ model: base.path, cost: reversed, threads })).rejects.toMatchObject({ code: "COST_MODEL_FLIPPED" });
		const bytes = readFileSync(file("bound.gguf"));
		for (const length of [0, 3, 10, 200, bytes.length - 1]) {
			writeFileSync(file("damaged.gguf"), bytes.subarray(0, length));
			const damaged: CostModel = { probe: file("damaged.gguf"), selfTest: false };
			await expect(InferenceGuard.load({ model: base.path, cost: damaged, threads })).rejects.toMatchObject({ code: "INVALID_COST_MODEL" });
		}
	});
});
