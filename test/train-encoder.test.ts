import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/cost-scorer.js";
import { auc } from "../lib/data/metrics.js";
import { randomNumbers } from "../lib/data/random.js";
import { readEncoder } from "../lib/encoder-file.js";
import { type EpochProgress, type TrainCostOptions, trainCost } from "../lib/index.js";
import { testWhere } from "./shared.js";
import { writeSmallBert } from "./small-bert.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const random = randomNumbers(3);
const pick = (words: string[]) => words[Math.floor(random() * words.length)] as string;

const common = "the of and to in he she it was with for on as at by".split(" ");
const kinds = { fight: ["dagger", "punch"], drink: ["rum", "gin"] };
const base = writeSmallBert(file("base"), [...common, ...Object.values(kinds).flat()]);

/** Responses that are unsafe where they have a word of a kind; every fifth is long. */
const rows = Array.from({ length: 300 }, (_, i) => {
	const label = i % 2;
	const words = Array.from({ length: i % 5 === 0 ? 300 : 12 }, () => pick(common));
	const category = i % 4 === 1 ? "fight" : "drink";
	if (label) for (let n = 0; n < words.length / 4; n++) words[Math.floor(random() * words.length)] = pick(kinds[category]);
	const split = ["train", "train", "train", "validation", "test"][Math.floor(i / 2) % 5] as string;
	return { prompt: `${pick(common)} ${pick(common)} ${i >> 1}`, response: words.join(" "), label, split, ...(label && { category }) };
});
const data = file("data.jsonl");
const write = (path: string, all: object[]) => {
	writeFileSync(path, all.map((row) => JSON.stringify(row)).join("\n"));
	return path;
};
write(data, rows);

const train = (name: string, options: Partial<TrainCostOptions> = {}) =>
	trainCost({ kind: "encoder", base, data, contextField: "prompt", out: file(name), threads: 1, ...options });

const modules = ["torch", "transformers", "sklearn", "gguf", "safetensors"];
const hasAll = `import sys, importlib.util; sys.exit(None in map(importlib.util.find_spec, ${JSON.stringify(modules)}))`;
const testWithPython = testWhere(spawnSync("python3", ["-c", hasAll]).status === 0, `python3 with ${modules.join(", ")} is not there`);

const long = 600_000; // three starts of Python with torch for each training

/** What the cost model in a file says of the test split. */
async function costsOf(name: string): Promise<{ costs: number[]; labels: number[] }> {
	await using scorer = await CostScorer.load({ constraints: [{ cost: { encoder: file(name), selfTest: false } }], threads: 1 });
	const tested = rows.filter(({ split }) => split === "test");
	const costs: number[] = [];
	for (const { prompt, response } of tested) costs.push((await scorer.score(prompt, [response]))[0]?.[0]?.cost as number);
	return { costs, labels: tested.map(({ label }) => label) };
}

describe("train-cost --kind encoder", () => {
	testWithPython(
		"learns from labels, and its file says what its report says",
		async () => {
			const seen: EpochProgress[] = [];
			const report = await train("judge.gguf", { epochs: 60, onEpoch: (progress) => seen.push(progress) });
			expect(report.rows).toEqual({ train: 180, validation: 60, test: 60 });
			expect(report.test.auc).toBeGreaterThan(0.9);
			expect(report.test.ece).toBeLessThan(0.2);
			expect(report.validation.falseNegativeRate).toBeLessThanOrEqual(0.1);
			expect(report.epochs).toBe(60);
			expect(seen.map(({ epoch, epochs }) => [epoch, epochs])).toEqual(Array.from({ length: 60 }, (_, i) => [i + 1, 60]));
			expect(seen.at(-1)?.validationLoss).toBeLessThan(seen[0]?.validationLoss as number);
			expect(JSON.parse(readFileSync(file("judge.gguf.report.json"), "utf8"))).toEqual(report);
			expect(readEncoder(file("judge.gguf"))).toEqual({ categories: ["drink", "fight"], threshold: report.threshold });
			const { costs, labels } = await costsOf("judge.gguf");
			expect(auc(costs, labels)).toBeCloseTo(report.test.auc, 2);
			expect(costs.reduce((sum, p, i) => sum + (p - (labels[i] as number)) ** 2, 0) / costs.length).toBeCloseTo(report.test.brier, 2);
		},
		long,
	);
});
