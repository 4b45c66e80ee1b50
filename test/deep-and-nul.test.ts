// JSON of any depth, and paths with NUL characters, are read or refused with a code.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseJson as parseModelJson, readCheckpoint } from "../lib/convert/safetensors.js";
import { expectShallow, parseJson } from "../lib/data/json.js";
import { readRecords } from "../lib/data/records.js";
import { checkConfig } from "../lib/evaluation/config.js";
import * as evaluation from "../lib/evaluation/index.js";
import { readJournal } from "../lib/evaluation/journal.js";
import { readLexicon } from "../lib/files/lexicon.js";
import { readCertificate } from "../lib/guard/certificate.js";
import * as main from "../lib/index.js";
import * as training from "../lib/training/index.js";
import { readManifest } from "../lib/training/rollout-files.js";
import { temporaryFolder } from "./temporary.js";

const api = { ...main, ...evaluation, ...training };
const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const lists = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;

test("input nested deeper than 500 is refused, whatever its form", () => {
	for (const nested of [lists, objects]) {
		expect(() => parseJson(nested(500))).not.toThrow();
		for (const depth of [501, 10_000, 1_000_000]) expect(() => parseJson(nested(depth))).toThrow("more than 500 deep");
	}
	const ring: unknown[] = [];
	ring.push(ring, ring, { ring });
	expect(() => expectShallow(ring)).toThrow("more than 500 deep");
	const wide = Array.from({ length: 100_000 }, (_, i) => ({ i }));
	expect(() => expectShallow([wide, wide])).not.toThrow();
});

const readers: [string, (path: string) => unknown, string][] = [
	["config.json", (path) => checkConfig(path), "INVALID_OPTION"],
	["certificate.json", async (path) => readCertificate(path), "INVALID_CERTIFICATE"],
	["tokenizer.json", async (path) => parseModelJson(path), "INVALID_MODEL"],
	["journal.jsonl", readJournal, "INVALID_JOURNAL"],
	["manifest.json", (path) => readManifest(join(path, "..")), "INVALID_ROLLOUTS"],
	["words.json", async (path) => readLexicon(path), "INVALID_LEXICON"],
	["rows.json", (path) => readRecords(path), "INVALID_DATA"],
	["rows.jsonl", (path) => readRecords(path), "INVALID_DATA"],
	["answers.jsonl", (path) => api.serveLabels({ answers: path }), "INVALID_DATA"],
];

describe("deep JSON", () => {
	test.each(readers)("deep JSON is refused as %s", async (name, read, code) => {
		mkdirSync(file("deep"), { recursive: true });
		const path = join(folder, "deep", name);
		for (const content of [600, 20_000, 200_000].flatMap((depth) => [lists(depth), objects(depth), `[${objects(depth)}]`])) {
			writeFileSync(path, content);
			await expect(read(path)).rejects.toMatchObject({ code, message: expect.stringContaining("deep") });
		}
	});

	test("deep JSON is refused as the header of weights", () => {
		const header = Buffer.from(`{"__metadata__":${objects(20_000)}}`);
		const length = Buffer.alloc(8);
		length.writeBigUInt64LE(BigInt(header.length));
		writeFileSync(file("model.safetensors"), Buffer.concat([length, header]));
		expect(() => readCheckpoint(folder)).toThrow(api.InvalidModelError);
	});

	test("deep JSON is refused as options", async () => {
		const deep = JSON.parse(objects(20_000));
		const ring: Record<string, unknown> = {};
		ring.ring = ring;
		for (const hostile of [deep, ring]) {
			for (const attempt of [
				() => api.InferenceGuard.load(hostile),
				() => api.InferenceGuard.load({ model: hostile }),
				() => api.InferenceGuard.load({ model: file("none.gguf"), cost: hostile }),
				() => api.evaluate({ config: hostile, out: folder }),
				() => api.evaluate({ config: { name: "a", guard: hostile, data: hostile, methods: [hostile] } as never, out: folder }),
				() => api.trainCost(hostile),
				() => api.collectRollouts(hostile),
				() => api.sampleAnswers(hostile),
				() => api.serveLabels(hostile),
			]) {
				await expect(attempt()).rejects.toMatchObject({ code: "INVALID_OPTION" });
			}
		}
	});
});

describe("a path with a NUL", () => {
	const nul = file("a\0b");
	const rows = ["a", "b"];
	const cases: [string, () => Promise<unknown>][] = [
		["load: model", () => api.InferenceGuard.load({ model: nul })],
		["load: cost", () => api.InferenceGuard.load({ model: "m", cost: { lexicon: nul } })],
		["load: classifier", () => api.InferenceGuard.load({ model: "m", cost: { classifier: nul } })],
		["load: encoder", () => api.InferenceGuard.load({ model: "m", cost: { encoder: nul } })],
		["load: probe", () => api.InferenceGuard.load({ model: "m", cost: { probe: nul } })],
		["load: guardModel", () => api.InferenceGuard.load({ model: "m", cost: { guardModel: nul } })],
		["load: sequenceClassifier", () => api.InferenceGuard.load({ model: "m", cost: { sequenceClassifier: nul } })],
		["load: scoreModel", () => api.InferenceGuard.load({ model: "m", cost: { scoreModel: { body: nul, head: nul } } })],
		["load: reward", () => api.InferenceGuard.load({ model: "m", reward: { lexicon: nul } })],
		["load: critic", () => api.InferenceGuard.load({ model: "m", critic: nul })],
		["load: steering", () => api.InferenceGuard.load({ model: "m", steering: { vector: nul, strength: 1 } })],
		["load: certificate", () => api.InferenceGuard.load({ model: "m", certificate: nul })],
		["trainCost: data", () => api.trainCost({ data: nul, out: "o" })],
		["trainCost: out", () => api.trainCost({ data: "d", out: nul })],
		["trainCost: python", () => api.trainCost({ kind: "encoder", base: "b", contextField: "c", python: nul, data: "d", out: "o" })],
		["convertClassifier: folder", () => api.convertClassifier({ folder: nul, out: "o" })],
		["convertClassifier: out", () => api.convertClassifier({ folder: "f", out: nul })],
		["steerVector: out", () => api.steerVector({ model: "m", positive: rows, negative: rows, out: nul })],
		["steerVector: positive", () => api.steerVector({ model: "m", positive: nul, negative: rows, out: "o" })],
		["collectRollouts: out", () => api.collectRollouts({ model: "m", prompts: rows, out: nul })],
		["trainCritic: rollouts", () => api.trainCritic({ rollouts: nul, out: "o" })],
		["evaluate: config", () => api.evaluate({ config: nul, out: "o" })],
		["evaluate: out", () => api.evaluate({ config: "c", out: nul })],
		[
			"evaluate: data",
			() => api.evaluate({ config: { name: "n", guard: { model: "m" }, data: { file: nul }, methods: [{ name: "a" }] }, out: "o" }),
		],
		["calibrate: out", () => api.calibrate({ config: "c", out: nul, evaluation: "e" })],
		["sampleAnswers: out", () => api.sampleAnswers({ model: "m", prompts: "p", out: nul })],
		["sampleAnswers: prompts", () => api.sampleAnswers({ model: "m", prompts: nul, out: file("answers.jsonl") })],
		["serveLabels: answers", () => api.serveLabels({ answers: nul })],
		["joinLabels: out", () => api.joinLabels({ answers: "a", out: nul })],
	];

	test.each(cases)("a path with a NUL in %s is refused as an option", async (_, attempt) => {
		await expect(attempt()).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("a path with a NUL is refused by code as a certificate or journal to verify", async () => {
		await expect(api.verify(nul, "j")).rejects.toMatchObject({ code: "INVALID_CERTIFICATE" });
		await expect(readJournal(nul)).rejects.toMatchObject({ code: "INVALID_JOURNAL" });
	});
});
