import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import type { SequenceClassifierCost } from "../lib/options/types.js";
import { convertClassifier } from "../lib/training/index.js";
import { cli } from "./child.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const threads = 1;

/** What transformers made of the classifiers of random weights beside it; see test/reference/encoders.py. */
interface Reference {
	texts: string[];
	models: Record<string, { logits: number[][] }>;
}

const models = fileURLToPath(new URL("reference/encoders", import.meta.url));
const { texts, models: reference } = JSON.parse(readFileSync(`${models}.json`, "utf8")) as Reference;
const logitsOf = (model: string) => reference[model]?.logits as number[][];
let count = 0;
const fresh = (name: string) => join(folder, `${count++}-${name}`);

/** A copy of a model to change. */
function copied(model: string, change: (file: (name: string) => string) => void): string {
	const copy = join(fresh("copy"), model);
	cpSync(join(models, model), copy, { recursive: true });
	change((name) => join(copy, name));
	return copy;
}

function editJson(path: string, edit: (content: Record<string, unknown>) => void): void {
	const content = JSON.parse(readFileSync(path, "utf8"));
	edit(content);
	writeFileSync(path, JSON.stringify(content));
}

const withConfig = (model: string, values: object) =>
	copied(model, (file) => editJson(file("config.json"), (c) => Object.assign(c, values)));

async function convertedFolder(from: string, type: "f32" | "f16" | "q8_0" = "f32"): Promise<string> {
	const out = fresh("model.gguf");
	await convertClassifier({ folder: from, out, type });
	return out;
}

const converted = (model: string, type?: "f32" | "f16" | "q8_0") => convertedFolder(join(models, model), type);

async function costs(cost: SequenceClassifierCost, asked = texts): Promise<number[]> {
	await using scorer = await CostScorer.load({ constraints: [{ cost: { ...cost, selfTest: false } }], threads });
	return (await scorer.score("", asked)).map((row) => row[0]?.cost as number);
}

async function logOdds(cost: SequenceClassifierCost, asked = texts): Promise<number[]> {
	const threshold = -1000;
	return (await costs({ ...cost, link: "excess", threshold }, asked)).map((excess) => excess + threshold);
}

const worst = (found: number[], expected: number[]) => Math.max(...found.map((x, i) => Math.abs(x - (expected[i] as number))));
const logSum = (logits: number[]) => Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("a converted classifier gives the log-odds of transformers", () => {
	// The differences come from half precision in llama.cpp's GELU and attention: 0.016 for ModernBERT, 0.005 for the others.
	const closeness = 0.025;

	test.each([
		["bert", "toxic"],
		["bert-cased", "anger"],
		["distilbert", "POSITIVE"],
		["roberta", "LABEL_1"],
		["xlm-roberta", "hate"],
		["modernbert-mean", "unsafe"],
		["modernbert-cls", "unsafe"],
	])("a converted classifier gives the log-odds of transformers: %s", async (model, label) => {
		const expected = logitsOf(model).map((logits) => (logits.at(-1) as number) - logSum(logits.slice(0, -1)));
		const found = await logOdds({ sequenceClassifier: await converted(model), unsafeLabels: [label] });
		expect(worst(found, expected)).toBeLessThan(closeness);
	});

	test("a converted classifier of one label gives its logit", async () => {
		const found = await logOdds({ sequenceClassifier: await converted("bert-one-label") });
		expect(worst(found, logitsOf("bert-one-label").flat())).toBeLessThan(closeness);
	});

	test("a converted classifier of independent labels takes the likeliest counted one", async () => {
		const sequenceClassifier = await converted("bert-multi-label");
		const unsafeLabels = ["toxic", "threat"];
		const logits = logitsOf("bert-multi-label").map(([toxic, , threat]) => Math.max(toxic as number, threat as number));
		expect(worst(await logOdds({ sequenceClassifier, unsafeLabels }), logits)).toBeLessThan(closeness);
		const all = logitsOf("bert-multi-label").map((row) => sigmoid(Math.max(...row)));
		expect(worst(await costs({ sequenceClassifier, unsafeLabels: ["toxic", "insult", "threat"] }), all)).toBeLessThan(closeness);
		const choice = logitsOf("bert-multi-label").map(
			([toxic, insult, threat]) => (insult as number) - logSum([toxic as number, threat as number]),
		);
		const read = await logOdds({ sequenceClassifier, unsafeLabels: ["insult"], multiLabel: false });
		expect(worst(read, choice)).toBeLessThan(closeness);
	});

	test("a cost model can declare labels independent where the file does not", async () => {
		const choice = withConfig("bert-multi-label", { problem_type: null });
		const cost = { sequenceClassifier: await convertedFolder(choice), unsafeLabels: ["insult"] };
		const found = await logOdds({ ...cost, multiLabel: true });
		expect(
			worst(
				found,
				logitsOf("bert-multi-label").map(([, insult]) => insult as number),
			),
		).toBeLessThan(closeness);
		expect(worst(await logOdds(cost), found)).toBeGreaterThan(0.5);
	});

	test("a converted classifier is exact in half precision, and close in eight bits", async () => {
		const cost = async (type: "f32" | "f16" | "q8_0") => ({
			sequenceClassifier: await converted("roberta", type),
			unsafeLabels: ["LABEL_1"],
		});
		const exact = await logOdds(await cost("f32"));
		expect(worst(await logOdds(await cost("f16")), exact)).toBeLessThan(closeness);
		expect(worst(await logOdds(await cost("q8_0")), exact)).toBeLessThan(0.25);
	});
});

describe("texts are read as the model's tokenizer reads them", () => {
	const text = fc.string({ unit: "binary", maxLength: 60 }).filter((given) => given.trim() !== "");
	const equals = async (model: string, label: string, form: "NFC" | "NFD") => {
		const sequenceClassifier = await converted(model);
		const cost: SequenceClassifierCost = { sequenceClassifier, unsafeLabels: [label], link: "excess", threshold: -1000, selfTest: false };
		await using scorer = await CostScorer.load({ constraints: [{ cost }], threads });
		await fc.assert(
			fc.asyncProperty(fc.oneof(text, fc.constantFrom(...texts)), async (given) => {
				const scored = await scorer.score("", [given, given.normalize(form)]);
				expect(scored[0]?.[0]?.cost).toBeCloseTo(scored[1]?.[0]?.cost as number, 4);
			}),
			{ numRuns: 300 },
		);
	};

	test("the tokenizer of ModernBERT composes characters first", () => equals("modernbert-mean", "unsafe", "NFC"));

	test("the tokenizer of an uncased BERT decomposes characters", () => equals("bert", "toxic", "NFD"));

	test("the tokenizer of a cased file that does not say so keeps upper case", async () => {
		const path = await converted("bert-cased");
		const bytes = readFileSync(path);
		const key = Buffer.from("tokenizer.ggml.normalizer.");
		for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, at + 1)) bytes.write("forgotten.", at); // no such keys
		writeFileSync(path, bytes);
		const expected = logitsOf("bert-cased").map(([calm, joy, anger]) => (anger as number) - logSum([calm as number, joy as number]));
		expect(worst(await logOdds({ sequenceClassifier: path, unsafeLabels: ["anger"] }), expected)).toBeLessThan(0.025);
	});
});

describe("folders", () => {
	const tokenizerOf = (file: (name: string) => string) => JSON.parse(readFileSync(file("tokenizer.json"), "utf8"));

	test("a folder may hold word pieces or byte pairs in the files of older transformers", async () => {
		const pieces = copied("bert-cased", (file) => {
			const { vocab } = tokenizerOf(file).model as { vocab: Record<string, number> };
			const words = Object.entries(vocab).sort(([, a], [, b]) => a - b);
			writeFileSync(file("vocab.txt"), words.map(([word]) => `${word}\n`).join(""));
			writeFileSync(file("tokenizer_config.json"), JSON.stringify({ do_lower_case: false, pad_token: "[PAD]", mask_token: "[MASK]" }));
			rmSync(file("tokenizer.json"));
		});
		const pairs = copied("roberta", (file) => {
			const { vocab, merges } = tokenizerOf(file).model as { vocab: object; merges: [string, string][] };
			writeFileSync(file("vocab.json"), JSON.stringify(vocab));
			writeFileSync(file("merges.txt"), `#version: 0.2\n${merges.map((pair) => `${pair.join(" ")}\n`).join("")}`);
			rmSync(file("tokenizer.json"));
		});
		for (const older of [pieces, pairs]) {
			const model = older.endsWith("roberta") ? "roberta" : "bert-cased";
			expect(readFileSync(await convertedFolder(older)).equals(readFileSync(await converted(model)))).toBe(true);
		}
	});

	const refused: [what: string, code: string, message: RegExp, make: () => string][] = [
		["no folder", "MODEL_NOT_FOUND", /config\.json/, () => join(folder, "absent")],
		["no weights", "MODEL_NOT_FOUND", /model\.safetensors/, () => copied("roberta", (file) => rmSync(file("model.safetensors")))],
		[
			"pickled weights",
			"MODEL_NOT_FOUND",
			/save_pretrained/,
			() => copied("roberta", (file) => renameSync(file("model.safetensors"), file("pytorch_model.bin"))),
		],
		["a shard too few", "MODEL_NOT_FOUND", /00002/, () => copied("bert", (file) => rmSync(file("model-00002-of-00003.safetensors")))],
		["no tokenizer", "MODEL_NOT_FOUND", /tokenizer\.json/, () => copied("xlm-roberta", (file) => rmSync(file("tokenizer.json")))],
		["another kind of model", "UNSUPPORTED_MODEL", /DistilBert.*GPT2/s, () => withConfig("bert", { architectures: ["GPT2LMHeadModel"] })],
		["another activation", "UNSUPPORTED_MODEL", /hidden_act/, () => withConfig("bert", { hidden_act: "relu" })],
		[
			"other positions",
			"UNSUPPORTED_MODEL",
			/position_embedding_type/,
			() => withConfig("bert", { position_embedding_type: "relative_key" }),
		],
		["biases that llama.cpp has not", "UNSUPPORTED_MODEL", /mlp_bias/, () => withConfig("modernbert-cls", { mlp_bias: true })],
		[
			"irregular layers",
			"UNSUPPORTED_MODEL",
			/layer_types/,
			() =>
				withConfig("modernbert-cls", {
					layer_types: ["full_attention", "sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
				}),
		],
		["a tensor too few", "INVALID_MODEL", /bert\.encoder\.layer\.2/, () => withConfig("bert", { num_hidden_layers: 3 })],
		["a tensor too many", "UNSUPPORTED_MODEL", /bert\.encoder\.layer\.1/, () => withConfig("bert", { num_hidden_layers: 1 })],
		["another shape", "INVALID_MODEL", /shape/, () => withConfig("bert", { intermediate_size: 64 })],
		[
			"another normalizer",
			"UNSUPPORTED_MODEL",
			/normalizer/,
			() => copied("bert", (file) => editJson(file("tokenizer.json"), (t) => Object.assign(t, { normalizer: { type: "Lowercase" } }))),
		],
		[
			"added words",
			"UNSUPPORTED_MODEL",
			/@user/,
			() =>
				copied("bert", (file) =>
					editJson(file("tokenizer.json"), (t) => (t.added_tokens as object[]).push({ id: 9, content: "@user", special: false })),
				),
		],
		[
			"words that begin with a space",
			"UNSUPPORTED_MODEL",
			/add_prefix_space/,
			() =>
				copied("roberta", (file) =>
					editJson(file("tokenizer.json"), (t) => Object.assign(t.pre_tokenizer as object, { add_prefix_space: true })),
				),
		],
	];

	test.each(refused)("a folder that convert cannot read is refused: %s: %s", async (_what, code, message, make) => {
		const out = fresh("refused.gguf");
		await expect(convertClassifier({ folder: make(), out })).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
		expect(existsSync(out)).toBe(false);
	});

	test("damaged safetensors are refused with a code, and existing files are kept", async () => {
		const model = copied("bert-one-label", () => {});
		const weights = join(model, "model.safetensors");
		const bytes = readFileSync(weights);
		const place = fresh("damaged");
		mkdirSync(place);
		const out = join(place, "model.gguf");
		writeFileSync(out, "before");
		const attempt = async (changed: Buffer) => {
			writeFileSync(weights, changed);
			return convertClassifier({ folder: model, out }).then(
				() => "converted",
				(error) => error.code,
			);
		};
		for (const length of [0, 7, 8, 100, 4000, bytes.length - 1]) expect(await attempt(bytes.subarray(0, length))).toBe("INVALID_MODEL");
		expect(await attempt(Buffer.concat([bytes, Buffer.alloc(1)]))).toBe("INVALID_MODEL");
		for (const length of [0n, 2n ** 40n, 2n ** 64n - 1n]) {
			const changed = Buffer.from(bytes);
			changed.writeBigUInt64LE(length);
			expect(await attempt(changed)).toBe("INVALID_MODEL");
		}
		const overlapping = bytes.toString("latin1").replace(/"data_offsets":\[64,/, '"data_offsets":[32,');
		expect(await attempt(Buffer.from(overlapping, "latin1"))).toBe("INVALID_MODEL");
		expect(readFileSync(out, "utf8")).toBe("before");
		expect(readdirSync(place)).toEqual(["model.gguf"]);
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(fc.nat(3000), fc.nat(255)), { minLength: 1, maxLength: 4 }), async (changes) => {
				const changed = Buffer.from(bytes);
				for (const [at, value] of changes) changed[at] = value;
				expect(["converted", "INVALID_MODEL", "UNSUPPORTED_MODEL"]).toContain(await attempt(changed));
			}),
			{ numRuns: 100 },
		);
		expect(await attempt(bytes)).toBe("converted");
		expect(readFileSync(out).subarray(0, 4).toString()).toBe("GGUF");
	});

	test("options of convertClassifier are checked", async () => {
		const given = { folder: join(models, "bert"), out: fresh("x.gguf") };
		await expect(convertClassifier({ ...given, type: "q4_0" as never })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		await expect(convertClassifier({ ...given, out: folder })).rejects.toMatchObject({ code: "WRITE_FAILED" });
		await expect(convertClassifier({ ...given, out: join(folder, "absent", "x.gguf") })).rejects.toMatchObject({ code: "WRITE_FAILED" });
	});
});

describe("inferenceguard convert", () => {
	test("inferenceguard convert says what it converted", async () => {
		const out = fresh("cli.gguf");
		const { status, stdout } = await cli("convert", join(models, "bert-multi-label"), "--out", out, "--type", "q8_0");
		expect(status).toBe(0);
		expect(stdout).toMatch(/BertForSequenceClassification.*160 tokens/);
		expect(stdout).toMatch(/independent.*toxic, insult, threat/);
		expect(existsSync(out)).toBe(true);
		const json = await cli("convert", join(models, "distilbert"), "--out", out, "--json");
		expect(JSON.parse(json.stdout)).toEqual({
			architecture: "DistilBertForSequenceClassification",
			labels: ["NEGATIVE", "POSITIVE"],
			multiLabel: false,
			contextLength: 160,
		});
	});

	test("inferenceguard convert exits with 1 for a failure and with 2 for wrong usage", async () => {
		const failed = await cli("convert", folder, "--out", fresh("x.gguf"));
		expect(failed).toMatchObject({ status: 1, stderr: expect.stringContaining("[MODEL_NOT_FOUND]") });
		expect((await cli("convert", folder)).status).toBe(2);
	});
});
