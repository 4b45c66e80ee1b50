import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { splitsOf } from "../lib/data/split.js";
import { InferenceGuard } from "../lib/index.js";
import { collectRollouts, type TrainCostOptions, trainCost } from "../lib/training/index.js";
import { rolloutRecords } from "./rollout-records.js";
import { sharedFile, testWith } from "./shared.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const random = randomNumbers(1);
const pick = (words: string[]) => words[Math.floor(random() * words.length)] as string;

const common = "the a of and to in he she it was with for on as at by".split(" ");
const bad = "poison dagger scream grave".split(" ");
const good = "garden tea kitten song".split(" ");

/** Texts whose label can be read off their words most of the time. */
function examples(count: number): { text: string; label: number }[] {
	return Array.from({ length: count }, (_, i) => {
		const label = i % 2;
		const words = Array.from({ length: 20 }, () => (random() < 0.15 ? pick(random() < 0.85 === (label === 1) ? bad : good) : pick(common)));
		return { text: words.join(" "), label };
	});
}

const rows = examples(600);
const data = file("data.jsonl");
writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));

const train = (name: string, options: Partial<TrainCostOptions> = {}) => trainCost({ data, out: file(name), ...options });

describe("train-cost", () => {
	test("train-cost learns from labels, and keeps the wished false-negative rate", async () => {
		const report = await train("cost.gguf", { falseNegativeRate: 0.05 });
		expect(report.test.auc).toBeGreaterThan(0.95);
		expect(report.test.ece).toBeLessThan(0.15);
		expect(report.validation.falseNegativeRate).toBeLessThanOrEqual(0.05);
		expect(report.rows.train + report.rows.validation + report.rows.test).toBe(600);
		expect(JSON.parse(readFileSync(file("cost.gguf.report.json"), "utf8"))).toEqual(report);
	});

	test("train-cost does not become certain where all texts can be told apart", async () => {
		const separable = Array.from({ length: 400 }, (_, i) => ({
			text: `${pick(common)} ${pick(i % 2 ? bad : good)} ${pick(common)}`,
			label: i % 2,
		}));
		writeFileSync(file("separable.jsonl"), separable.map((row, i) => JSON.stringify({ ...row, text: `${row.text} ${i}` })).join("\n"));
		const report = await train("separable.gguf", { data: file("separable.jsonl") });
		expect(report.test.auc).toBe(1);
		expect(report.threshold).toBeLessThan(0.99);
		expect(report.threshold).toBeGreaterThan(0.5);
	});

	test("train-cost calibrates long texts that can all be told apart", async () => {
		for (const length of [30, 80]) {
			const long = Array.from({ length: 200 }, (_, i) => ({
				text: Array.from({ length }, () => pick(random() < 0.3 ? (i % 2 ? bad : good) : common)).join(" "),
				label: i % 2,
			}));
			writeFileSync(file("long.jsonl"), long.map((row) => JSON.stringify(row)).join("\n"));
			const report = await train("long.gguf", { data: file("long.jsonl") });
			expect(report.test.auc).toBe(1);
			expect(report.test.accuracy).toBeGreaterThan(0.9);
			expect(report.test.ece).toBeLessThan(0.25);
		}
	});

	test("train-cost splits groups into three parts, none of them empty, each group whole", () => {
		fc.assert(
			fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 80 }), fc.nat(), (numbers, seed) => {
				const groups = numbers.map(String);
				const splits = splitsOf(groups, seed);
				const of = new Map(groups.map((group, i) => [group, splits[i]]));
				expect(groups.map((group) => of.get(group))).toEqual(splits);
				if (of.size >= 3) expect(new Set(splits)).toEqual(new Set(["train", "validation", "test"]));
				if (of.size >= 10) expect([...of.values()].filter((split) => split === "train").length).toBeGreaterThan(0.69 * of.size);
			}),
		);
	});

	test("train-cost gives the same file for the same data and seed", async () => {
		await train("one.gguf", { seed: 3 });
		await train("two.gguf", { seed: 3 });
		await train("three.gguf", { seed: 4 });
		const hash = (name: string) =>
			createHash("sha256")
				.update(readFileSync(file(name)))
				.digest("hex");
		expect(hash("one.gguf")).toBe(hash("two.gguf"));
		expect(hash("one.gguf")).not.toBe(hash("three.gguf"));
	});

	test("train-cost reads labels, scores, columns and splits in every usual form", async () => {
		const csv = `id,comment,verdict\n${rows.map(({ text, label }, i) => `${i},"${text}",${label ? "Toxic" : "Not Toxic"}`).join("\n")}\n`;
		writeFileSync(file("data.csv"), csv);
		writeFileSync(file("data.tsv"), csv.replaceAll('"', "").replaceAll(",", "\t").replaceAll(" the ", ' the "so-called" '));
		writeFileSync(
			file("data.json"),
			JSON.stringify({ rows: rows.map(({ text, label }) => ({ completion: text, score: label ? 0.9 : 0.1 })) }),
		);
		const split = (i: number) => ["train", "train", "train", "val", "test"][i % 5];
		writeFileSync(
			file("split.jsonl"),
			rows.map(({ text, label }, i) => JSON.stringify({ response: text, unsafe: label === 1, split: split(i) })).join("\n"),
		);
		const columnData = [
			{ name: "comment", data: rows.map(({ text }) => text), type: "STRING" as const },
			{ name: "verdict", data: rows.map(({ label }) => BigInt(label)), type: "INT64" as const },
		];
		writeFileSync(file("data.parquet"), new Uint8Array(parquetWriteBuffer({ columnData })));
		const named = { textField: "comment", labelField: "verdict" };
		const reports = [
			await train("csv.gguf", { data: file("data.csv"), ...named }),
			await train("tsv.gguf", { data: file("data.tsv"), ...named, unsafe: "Toxic" }),
			await train("parquet.gguf", { data: file("data.parquet"), ...named }),
			await train("json.gguf", { data: file("data.json") }),
			await train("split.gguf", { data: file("split.jsonl") }),
			await train("files.gguf", { data: file("data.csv"), ...named, validation: file("data.csv"), test: file("data.tsv") }),
			await train("words.gguf", { characters: false }),
		];
		for (const report of reports) expect(report.test.auc).toBeGreaterThan(0.9);
		expect(reports[4]?.rows).toEqual({ train: 360, validation: 120, test: 120 });
		expect(reports[5]?.rows).toEqual({ train: 600, validation: 600, test: 600 });
	});

	test("train-cost says what is wrong with the data", async () => {
		const write = (name: string, content: string) => {
			writeFileSync(file(name), content);
			return file(name);
		};
		const cases: [Partial<TrainCostOptions>, RegExp][] = [
			[{ data: file("absent.jsonl") }, /absent/],
			[{ data: write("broken.jsonl", '{"text": "a", "label": 1}\n{"text": ') }, /line 2/],
			[{ data: write("empty.jsonl", "") }, /at least one row/],
			[{ data: write("columns.jsonl", '{"words": "a", "label": 1}') }, /columns words, label/],
			[{ data: write("label.jsonl", '{"text": "a", "label": "perhaps"}') }, /label .* row 1.*perhaps/],
			[{ data: write("one-class.jsonl", Array(50).fill('{"text": "a", "label": 1}').join("\n")) }, /safe and unsafe/],
			[{ data: write("text.jsonl", '{"text": 5, "label": 1}') }, /text in the column text of row 1/],
			[{ data: write("data.xml", "<a/>") }, /\.jsonl/],
			[{ data: write("broken.parquet", "PAR1") }, /Parquet/],
			[{ contextField: "nothing" }, /a column nothing.*--context-field/],
			[{ data: write("sentiment.jsonl", '{"text": "a", "label": "positive"}') }, /sentiment.*say which label means unsafe/],
			[{ unsafe: "Toxic" }, /rows labelled "Toxic".* 0, 1|rows labelled "Toxic".* 1, 0/],
		];
		for (const [options, message] of cases) {
			await expect(train("never.gguf", options)).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringMatching(message) });
		}
		await expect(train("never.gguf", { falseNegativeRate: 2 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		await expect(train(join("no", "such", "folder.gguf"))).rejects.toMatchObject({ code: "WRITE_FAILED" });
		await expect(train(".")).rejects.toMatchObject({ code: "WRITE_FAILED", message: expect.stringContaining("folder") });
		expect(existsSync(file("never.gguf"))).toBe(false);
	});

	test("train-cost stops on request", async () => {
		await expect(train("aborted.gguf", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORTED" });
	});
});

describe("a trained cost model in a guard", () => {
	test("a trained cost model charges the probability of the whole text", async () => {
		const { threshold } = await train("used.gguf");
		const model = { pieces: [" poison", " garden", " the"], logits: [0, 1, 2].map(() => [1, 0, 1]) };
		await using guard = await InferenceGuard.load({ model, cost: { classifier: file("used.gguf") } });
		const poisons = { guarded: 0, plain: 0 };
		const count = (text: string) => text.split(" poison").length - 1;
		for (let seed = 0; seed < 20; seed++) {
			const options = { prompt: [2], maxTokens: 8, seed };
			const reply = await guard.generate({ ...options, blockLength: 2, candidates: 8 });
			expect(reply.safety.budget).toBeCloseTo(threshold, 12);
			if (reply.outcome === "refused") continue;
			expect(reply.safety.cost).toBeLessThanOrEqual(threshold);
			poisons.guarded += count(reply.text);
			poisons.plain += count((await guard.generate({ ...options, strategy: "sample" })).text);
		}
		expect(poisons.guarded).toBeLessThan(0.75 * poisons.plain);
	});

	test("a trained cost model gives a growing text the cost of the whole text", async () => {
		await train("grown.gguf");
		const pieces = [" poi", "son", "'s", " garden", ",", " sc", "ream", "é", "-", " the"];
		const model = { pieces, logits: pieces.map(() => pieces.map(() => 0)) };
		const rollouts = { model, cost: { classifier: file("grown.gguf") }, budget: 0.5, prompts: [[0], [1, 2]], responses: 20, maxTokens: 12 };
		// the same texts: once judged at every token, once at the end alone
		const costs = async (stride: number) => {
			const out = file(`grown-${stride}`);
			await collectRollouts({ ...rollouts, stride, out });
			const { manifest, records } = await rolloutRecords(out);
			const positionBytes = 4 + 4 * manifest.shape.summary + 24 + 2 * manifest.shape.hidden;
			const found: number[] = [];
			for (const record of records) {
				for (let at = 0; at < record.length; ) {
					found.push(record.readDoubleLE(at + 24));
					at += 32 + 4 * record.readUInt32LE(at + 8) + positionBytes * record.readUInt32LE(at + 12);
				}
			}
			return found;
		};
		const [grown, whole] = [await costs(1), await costs(100)];
		expect(new Set(whole).size).toBeGreaterThan(20);
		grown.forEach((cost, i) => {
			expect(cost).toBeCloseTo(whole[i] as number, 9);
		});
	});

	test("a trained cost model with link excess charges the log-odds above a threshold", async () => {
		await train("excess.gguf");
		const model = { pieces: [" poison", " garden"], logits: [0, 1].map(() => [0, 0]) };
		const classifier = file("excess.gguf");
		await using guard = await InferenceGuard.load({ model, cost: { classifier, link: "excess" } });
		await using probability = await InferenceGuard.load({ model, cost: { classifier } });
		for (let seed = 0; seed < 20; seed++) {
			const options = { prompt: [1], maxTokens: 6, strategy: "sample", seed } as const;
			const [excess, p] = [await guard.generate(options), await probability.generate(options)];
			const logOdds = (x: number) => Math.log(x / (1 - x));
			const expected = Math.max(0, logOdds(p.safety.cost) - logOdds(p.safety.budget));
			expect(excess.safety.cost).toBeCloseTo(expected, 4);
			expect(excess.safety.budget).toBe(0);
		}
	});

	test("a trained cost model reads the prompt if it was trained with a context", async () => {
		const labelled = Array.from({ length: 400 }, (_, i) => {
			const context = i % 4 < 2 ? "tell me about poison" : "tell me about tea";
			return { context: `${context} ${i}`, response: i % 2 ? "yes gladly" : "no thanks", label: Number(i % 4 < 2 && i % 2 === 1) };
		});
		writeFileSync(file("context.jsonl"), labelled.map((row) => JSON.stringify(row)).join("\n"));
		await train("context.gguf", { data: file("context.jsonl"), contextField: "context" });
		const model = smallModel(folder);
		await using guard = await InferenceGuard.load({ model, cost: { classifier: file("context.gguf") }, threads: 1 });
		const costOf = async (prompt: string) =>
			(await guard.generate({ prompt, strategy: "sample", maxTokens: 4, temperature: 0 })).safety.cost;
		expect(await costOf("tell me about poison")).toBeGreaterThan(2 * (await costOf("tell me about tea")));
	});

	test("a damaged cost model is an error with a code", async () => {
		await train("damage.gguf");
		const bytes = readFileSync(file("damage.gguf"));
		const model = { pieces: ["a", "b"], logits: [0, 1].map(() => [0, 0]) };
		const load = (path: string) => InferenceGuard.load({ model, cost: { classifier: path } });
		const damaged = file("damaged.gguf");
		for (const length of [0, 3, 10, 200, 500, bytes.length - 1]) {
			writeFileSync(damaged, bytes.subarray(0, length));
			await expect(load(damaged)).rejects.toMatchObject({ code: "INVALID_COST_MODEL" });
		}
		for (let i = 0; i < 200; i++) {
			const changed = Buffer.from(bytes);
			for (let k = 0; k < 3; k++) changed[Math.floor(random() * 600)] = Math.floor(random() * 256);
			writeFileSync(damaged, changed);
			await load(damaged).then(
				(guard) => guard.dispose(),
				(error) => expect(error.code).toBe("INVALID_COST_MODEL"),
			);
		}
		await expect(load(file("absent.gguf"))).rejects.toMatchObject({ code: "INVALID_COST_MODEL" });
	});
});

describe("on shared data sets", () => {
	const diasafety = (split: string) => sharedFile(`data/diasafety/${split}.json`);
	testWith(diasafety("train"))(
		"train-cost has AUC 0.82 on responses of diasafety, and 0.84 with their context",
		async () => {
			const files = { data: diasafety("train"), validation: diasafety("val"), test: diasafety("test"), unsafe: "Unsafe" };
			const alone = await train("diasafety.gguf", files);
			const inContext = await train("diasafety-context.gguf", { ...files, contextField: "context" });
			expect(alone.test.auc).toBeGreaterThanOrEqual(0.82);
			expect(inContext.test.auc).toBeGreaterThanOrEqual(0.84);
		},
		120_000,
	);

	const surge = sharedFile("data/surge-toxicity/toxicity_en.csv");
	testWith(surge)(
		"train-cost has AUC 0.96 on surge-toxicity, as the mean of 20 splits",
		async () => {
			let sum = 0;
			for (let seed = 0; seed < 20; seed++) sum += (await train("surge.gguf", { data: surge, seed })).test.auc;
			expect(sum / 20).toBeGreaterThanOrEqual(0.96);
		},
		120_000,
	);
});
