import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { auc } from "../lib/data/metrics.js";
import { randomNumbers } from "../lib/data/random.js";
import { readEncoder } from "../lib/files/encoder.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { type EpochProgress, type Split, type TrainCostOptions, trainCost } from "../lib/training/index.js";
import { checkTrainCostOptions } from "../lib/training/options.js";
import { trainEncoder } from "../lib/training/train-encoder.js";
import { cli } from "./child.js";
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

const split = (i: number) => (["train", "train", "train", "validation", "test"] as const)[Math.floor(i / 2) % 5] as Split;

/** Responses that are unsafe where they have words of a kind; a few are longer than the encoder reads at once. */
const rows = Array.from({ length: 300 }, (_, i) => {
	const label = i % 2;
	const words = Array.from({ length: i % 15 === 0 ? 600 : 12 }, () => pick(common));
	const category = i % 4 === 1 ? "fight" : "drink";
	if (label) for (let n = 0; n < words.length / 4; n++) words[Math.floor(random() * words.length)] = pick(kinds[category]);
	return { prompt: `${pick(common)} ${pick(common)} ${i >> 1}`, response: words.join(" "), label, category, split: split(i) };
});
const tested = rows.filter(({ split }) => split === "test");
const data = file("data.jsonl");
const write = (path: string, all: object[]) => {
	writeFileSync(path, all.map((row) => JSON.stringify(row)).join("\n"));
	return path;
};
write(data, rows);

const options = (name: string, more: Partial<TrainCostOptions> = {}): TrainCostOptions => ({
	kind: "encoder",
	base,
	data,
	contextField: "prompt",
	out: file(name),
	threads: 1,
	...more,
});
const train = (name: string, more?: Partial<TrainCostOptions>) => trainCost(options(name, more));

const modules = ["torch", "transformers", "sklearn", "gguf", "safetensors"];
const hasAll = `import sys, importlib.util; sys.exit(None in map(importlib.util.find_spec, ${JSON.stringify(modules)}))`;
const testWithPython = testWhere(spawnSync("python3", ["-c", hasAll]).status === 0, `python3 with ${modules.join(", ")} is not there`);

const failure = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });
const patience = 900_000; // every training starts Python with torch three times, on a machine that may be busy

describe("train-cost --kind encoder", () => {
	testWithPython(
		"train-cost --kind encoder learns from labels, and its file gives the same costs",
		async () => {
			const seen: EpochProgress[] = [];
			const epochs = 50;
			const report = await train("judge.gguf", { epochs, onEpoch: (progress) => seen.push(progress) });
			expect(report.rows).toEqual({ train: 180, validation: 60, test: 60 });
			expect(report.test.auc).toBeGreaterThan(0.9);
			expect(report.validation.falseNegativeRate).toBeLessThanOrEqual(0.1);
			expect(report.epochs).toBe(epochs);
			expect(seen.map((progress) => [progress.epoch, progress.epochs])).toEqual(seen.map((_, i) => [i + 1, epochs]));
			expect(seen.at(-1)?.validationLoss).toBeLessThan(seen[0]?.validationLoss as number);
			expect(JSON.parse(readFileSync(file("judge.gguf.report.json"), "utf8"))).toEqual(report);
			expect(readEncoder(file("judge.gguf"))).toEqual({ categories: ["drink", "fight"], threshold: report.threshold });

			const labelled = rows.map(({ response, prompt, ...row }) => ({ ...row, text: response, context: prompt, group: prompt }));
			const workshop = file("workshop");
			mkdirSync(workshop);
			const { signal } = new AbortController();
			const checked = checkTrainCostOptions(options("again.gguf", { epochs }));
			const again = await trainEncoder(base, checked, labelled, workshop, signal, () => {});
			await again.write(file("again.gguf"), { dataHash: "", numbers: { threshold: report.threshold } });
			expect(readFileSync(file("again.gguf")).equals(readFileSync(file("judge.gguf")))).toBe(true);

			const cost = { encoder: file("judge.gguf"), selfTest: false } as const;
			await using scorer = await CostScorer.load({ constraints: [{ cost }], threads: 1 });
			const costs: number[] = [];
			for (const { prompt, response } of tested) costs.push((await scorer.score(prompt, [response]))[0]?.[0]?.cost as number);
			const said = again.logOdds.filter((_, i) => rows[i]?.split === "test");
			for (const [i, x] of said.entries()) expect(Math.abs(1 / (1 + Math.exp(-x)) - (costs[i] as number))).toBeLessThan(0.02);
			expect(
				auc(
					costs,
					tested.map(({ label }) => label),
				),
			).toBeCloseTo(report.test.auc, 2);
		},
		patience,
	);

	testWithPython(
		"train-cost --kind encoder learns with one member, and stops on request",
		async () => {
			const bare = write(
				file("bare.jsonl"),
				rows.map(({ category, ...row }) => row),
			);
			const settings = { data: bare, members: 1, shared: 2, epochs: 2 };
			await train("bare.gguf", settings);
			expect(readEncoder(file("bare.gguf")).categories).toEqual([]);
			await using scorer = await CostScorer.load({ constraints: [{ cost: { encoder: file("bare.gguf"), selfTest: false } }], threads: 1 });
			expect((await scorer.score("the", ["of rum"]))[0]?.[0]?.cost).toBeGreaterThan(0);

			const abort = new AbortController();
			const stopped = train("stopped.gguf", { ...settings, epochs: 1000, onEpoch: () => abort.abort(), signal: abort.signal });
			await expect(stopped).rejects.toMatchObject({ code: "ABORTED" });
			expect(existsSync(file("stopped.gguf"))).toBe(false);
		},
		patience,
	);
});

describe("train-cost --kind encoder tells", () => {
	test("train-cost --kind encoder says which options go together", async () => {
		const wrong = (message: RegExp) => failure("INVALID_OPTION", message);
		await expect(train("x.gguf", { contextField: undefined })).rejects.toMatchObject(wrong(/^contextField: .*prompts/));
		await expect(train("x.gguf", { base: undefined })).rejects.toMatchObject(wrong(/^base: /));
		await expect(train("x.gguf", { model: "model.gguf" })).rejects.toMatchObject(wrong(/^model: /));
		await expect(train("x.gguf", { chat: true })).rejects.toMatchObject(wrong(/^kind: /));
		await expect(train("x.gguf", { members: 0 })).rejects.toMatchObject(wrong(/^members: /));
		await expect(train("x.gguf", { shared: 3 })).rejects.toMatchObject(wrong(/2 layers of the base, got 3/));
		await expect(trainCost({ data, out: file("x.gguf"), members: 2 })).rejects.toMatchObject(wrong(/^kind: /));
	});

	test("train-cost --kind encoder says that it reads no conversations", async () => {
		const conversations = write(
			file("conversations.jsonl"),
			rows.map((row) => ({ ...row, prompt: [{ role: "user", content: row.prompt }] })),
		);
		await expect(train("x.gguf", { data: conversations })).rejects.toMatchObject(
			failure("INVALID_DATA", /conversations\.jsonl: expected a prompt as text in the column prompt of row 1, got a conversation/),
		);
	});

	test.each<[string, object, string, RegExp]>([
		["another architecture", { model_type: "roberta" }, "UNSUPPORTED_MODEL", /model_type/],
		["another activation", { hidden_act: "relu" }, "UNSUPPORTED_MODEL", /hidden_act/],
		["relative positions", { position_embedding_type: "relative_key" }, "UNSUPPORTED_MODEL", /position_embedding_type/],
		["too few positions", { max_position_embeddings: 128 }, "UNSUPPORTED_MODEL", /358/],
		["heads that do not divide the width", { num_attention_heads: 3 }, "UNSUPPORTED_MODEL", /num_attention_heads/],
		["more layers than tensors", { num_hidden_layers: 3 }, "INVALID_MODEL", /encoder\.layer\.2\..* got none/],
		["a table of another size", { vocab_size: 20 }, "INVALID_MODEL", /word_embeddings.* 20,32/],
	])("train-cost --kind encoder says that the base has %s", async (name, config, code, message) => {
		const other = writeSmallBert(file(name), [...common], config);
		await expect(train("x.gguf", { base: other })).rejects.toMatchObject(failure(code, message));
	});

	test("train-cost --kind encoder says that the base lacks a file or tokenizes otherwise", async () => {
		const incomplete = writeSmallBert(file("incomplete"), common);
		rmSync(join(incomplete, "vocab.txt"));
		await expect(train("x.gguf", { base: incomplete })).rejects.toMatchObject(failure("MODEL_NOT_FOUND", /no vocab\.txt/));
		await expect(train("x.gguf", { base: file("absent") })).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
		for (const [name, settings] of Object.entries({
			cased: { do_lower_case: false },
			accented: { strip_accents: false },
			joined: { tokenize_chinese_chars: false },
		})) {
			const other = writeSmallBert(file(name), common);
			writeFileSync(join(other, "tokenizer_config.json"), JSON.stringify(settings));
			await expect(train("x.gguf", { base: other })).rejects.toMatchObject({ code: "UNSUPPORTED_MODEL" });
		}
	});

	const fake = (name: string, script: string) => {
		writeFileSync(file(name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
		return file(name);
	};

	test("train-cost --kind encoder says that there is no Python", async () => {
		const absent = train("x.gguf", { python: file("no-python") });
		await expect(absent).rejects.toMatchObject(failure("PYTHON_FAILED", /no-python.*ENOENT.*--python/));
	});

	test("train-cost --kind encoder reports its errors on the command line too", async () => {
		const files = ["--base", base, "--data", data, "--context-field", "prompt", "--out", file("x.gguf"), "--python", file("no-python")];
		const failed = await cli("train-cost", "--kind", "encoder", "--members", "2", "--minutes", "0.5", ...files);
		expect(failed).toMatchObject({ status: 1, stderr: expect.stringContaining("[PYTHON_FAILED]") });
		const refused = await cli("train-cost", "--kind", "encoder", "--members", "none", ...files);
		expect(refused).toMatchObject({ status: 2, stderr: expect.stringMatching(/members: expected an integer from 1 to 16/) });
	});

	test.skipIf(process.platform === "win32")("train-cost --kind encoder names a missing package, and leaves nothing behind", async () => {
		const before = readdirSync(folder);
		await expect(train("x.gguf", { python: fake("bare", "echo torch; echo gguf") })).rejects.toMatchObject(
			failure("PYTHON_FAILED", /none named torch, gguf; .*pip install torch transformers scikit-learn gguf safetensors/),
		);
		const failing = fake("failing", 'test "$1" = -c && exit 0; for i in 1 2 3 4 5 6 7; do echo "line $i" >&2; done; exit 3');
		await expect(train("x.gguf", { python: failing })).rejects.toMatchObject(
			failure("PYTHON_FAILED", /train\.py to succeed, got exit code 3:\nline 3\n.*line 7$/s),
		);
		expect(readdirSync(folder).filter((name) => !before.includes(name))).toEqual(["bare", "failing"]);
	});
});
