import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { auc } from "../lib/data/metrics.js";
import { randomNumbers } from "../lib/data/random.js";
import { modelHash } from "../lib/files/fingerprint.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { baseSpec } from "../lib/guard/load-spec.js";
import { NativeGuard } from "../lib/guard/native-guard.js";
import { InferenceGuard } from "../lib/index.js";
import { callAddon } from "../lib/native/addon.js";
import { type NativeProbe, rawPrompt } from "../lib/native/protocol.js";
import { type CostReport, type TrainCostOptions, trainCost } from "../lib/training/index.js";
import { readGguf } from "./gguf-reader.js";
import { temporaryFolder } from "./temporary.js";
import { causalModel, sentencePieces } from "./text-models.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const threads = 1; // tests run beside one another
const random = randomNumbers(4);
const pick = (words: string[]) => words[Math.floor(random() * words.length)] as string;

const common = ["▁the", "▁tea", "▁garden", "▁is", "▁nice", "▁song"];
const bad = ["▁poison", "▁hate"];
const vocabulary = sentencePieces({ controls: ["<|im_start|>", "<|im_end|>"], words: [...common, ...bad] });
const chatTemplate =
	"{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}";
const model = causalModel(folder, "llama", {
	vocabulary,
	seed: 8,
	layers: 6,
	metadata: [["tokenizer.chat_template", "string", chatTemplate]],
}).path;
const text = (tokens: string[]) => tokens.join("").replaceAll("▁", " ");

/** Responses that are unsafe where a bad word stands among their first twenty words, never near their end. */
const rows = Array.from({ length: 240 }, (_, i) => {
	const label = i % 2;
	const words = Array.from({ length: 40 }, () => pick(common));
	if (label) for (let n = 0; n < 4; n++) words[Math.floor(random() * 20)] = pick(bad);
	const split = ["train", "train", "train", "validation", "test"][Math.floor(i / 2) % 5] as string;
	return { prompt: text([pick(common), pick(common)]), response: text(words), label, split };
});
const data = file("data.jsonl");
const write = (path: string, all: object[]) => writeFileSync(path, all.map((row) => JSON.stringify(row)).join("\n"));
write(data, rows);

const train = (name: string, options: Partial<TrainCostOptions> = {}) =>
	trainCost({ kind: "probe", model, data, contextField: "prompt", out: file(name), threads, ...options });

/** What the cost model in a file says of the test split, beside what its training said. */
async function expectSaidAgain(name: string, report: CostReport) {
	await using scorer = await CostScorer.load({ model, constraints: [{ cost: { probe: file(name), selfTest: false } }], threads });
	const tested = rows.filter(({ split }) => split === "test");
	const costs: number[] = [];
	for (const { prompt, response } of tested) costs.push((await scorer.score(prompt, [response]))[0]?.[0]?.cost as number);
	const labels = tested.map(({ label }) => label);
	expect(auc(costs, labels)).toBeCloseTo(report.test.auc, 5);
	expect(costs.reduce((sum, p, i) => sum + (p - (labels[i] as number)) ** 2, 0) / costs.length).toBeCloseTo(report.test.brier, 3);
}

describe("train-cost --kind probe --layers", () => {
	test("train-cost --kind probe --layers learns from means, and compares the inputs", async () => {
		const report = await train("auto.gguf");
		expect(report.probe?.layers).toEqual([3]); // every fourth
		expect(report.probe?.inputs.map(({ layers, lastState }) => [layers, lastState])).toEqual([
			[[3], false],
			[[], true],
			[[3], true],
		]);
		expect(report.probe?.rows).toBe(144 * 3);
		const [mean, last] = report.probe?.inputs ?? [];
		expect(mean?.testAuc).toBe(report.test.auc);
		expect(report.test.auc).toBeGreaterThan(0.9);
		expect(report.test.auc).toBeGreaterThan(last?.testAuc as number);
		expect(mean?.byLength.map(({ tokens, texts }) => [tokens, texts])).toEqual([
			[16, 48],
			[32, 48],
		]);
		expect(mean?.byLength[1]?.auc).toBeGreaterThan(0.9);
		expect(report.validation.falseNegativeRate).toBeLessThanOrEqual(0.1);
		expect(JSON.parse(readFileSync(file("auto.gguf.report.json"), "utf8"))).toEqual(report);
		await expectSaidAgain("auto.gguf", report);
		await train("again.gguf");
		expect(readFileSync(file("again.gguf")).equals(readFileSync(file("auto.gguf")))).toBe(true);
	});

	test("train-cost --kind probe --layers reads the given layers, or the last state", async () => {
		const several = await train("several.gguf", { layers: [4, 0, 4] });
		expect(several.probe?.layers).toEqual([4, 0]);
		expect(several.probe?.inputs).toHaveLength(5);
		await expectSaidAgain("several.gguf", several);
		const last = await train("last.gguf", { layers: "last" });
		expect(last.probe?.layers).toEqual([]);
		expect(last.probe?.inputs).toHaveLength(1);
		await expectSaidAgain("last.gguf", last);
	});

	test("train-cost --kind probe --layers reads responses to chats as they are generated", async () => {
		const chat = await train("chat.gguf", { chat: true, layers: [2] });
		await expectSaidAgain("chat.gguf", chat);
		write(
			file("messages.jsonl"),
			rows.map((row) => ({ ...row, prompt: [{ role: "user", content: row.prompt }] })),
		);
		await train("messages.gguf", { data: file("messages.jsonl"), layers: [2] });
		const constraints = ["chat.gguf", "messages.gguf"].map((name) => ({ cost: { probe: file(name) } }));
		await using scorer = await CostScorer.load({ model, constraints, threads });
		const [[scored, same] = []] = await scorer.score(" the tea", [" hate the song"]);
		expect(same?.cost).toBeCloseTo(scored?.cost as number, 3);
		const ids = (...pieces: string[]) => pieces.map((piece) => vocabulary.texts.indexOf(piece));
		const user = [..."user"].map((letter) => `<0x${letter.charCodeAt(0).toString(16).toUpperCase()}>`);
		const before = ids("<|im_start|>", ...user, "▁", "▁the", "▁tea", "<|im_end|>", "<|im_start|>");
		const { tensors, metadata } = readGguf(file("chat.gguf"));
		const weights = tensors.get("weights")?.values as Float32Array;
		await using guard = await InferenceGuard.load({ model, threads });
		let logOdds = metadata.get("inferenceguard.bias") as number;
		const response = ids("▁hate", "▁the", "▁song");
		for (let n = 1; n <= response.length; n++) {
			const states = await guard.layerStates([[...before, ...response.slice(0, n)]]);
			logOdds += weights.reduce((sum, w, i) => sum + (w * (states[2 * weights.length + i] as number)) / response.length, 0);
		}
		expect(scored?.cost).toBeCloseTo(1 / (1 + Math.exp(-logOdds)), 3);
	});

	test("train-cost --kind probe --layers reads rows in a batch as each alone", async () => {
		const texts = { model_hash: await modelHash(model), data_hash: "" };
		const write = (path: string, { weights, bias, prior, layers }: NativeProbe) => {
			const ofMeans = layers.length > 0 && { layers: Float64Array.from(layers), prior, chat: 0 };
			const numbers = { bias, with_context: 1, threshold: 0.5, ...ofMeans };
			const tensor = { name: "weights", shape: [weights.length], values: weights, half: false };
			callAddon((native) => native.writeTensors(path, "probe", texts, numbers, [tensor]));
			return { cost: { probe: path, selfTest: false as const } };
		};
		const word = fc.constantFrom(...common, ...bad);
		const row = fc.record({
			prompt: fc.array(fc.constantFrom(...common.slice(0, 2)), { maxLength: 3, size: "max" }),
			words: fc.array(word, { minLength: 1, maxLength: 70, size: "max" }),
		});
		const signal = new AbortController().signal;
		const seen = { rows: 0, unfinished: 0, certain: 0 };
		await fc.assert(
			fc.asyncProperty(fc.array(row, { minLength: 8, maxLength: 100, size: "max" }), async (all) => {
				const native = new NativeGuard(baseSpec(model, { threads: 2, device: "cpu", gpuLayers: 0 }), signal, () => {});
				await native.opened;
				const job = {
					prompts: all.map(({ prompt }) => rawPrompt(text(prompt))),
					texts: all.map(({ words }) => text(words)),
					labels: Float32Array.from(all, ({ words }) => (words.filter((w) => bad.includes(w)).length > words.length / 4 ? 1 : 0)),
					splits: Uint8Array.from(all, (_, i) => i % 2),
					layers: Int32Array.of(3, 1),
					chooses: false,
				};
				const trained = await native.run("trainProbes", job, signal).finally(() => native.close());
				const readable = trained.probes.filter(({ layers, last }) => !last || layers.length === 0);
				const constraints = readable.map((probe, i) => write(file(`alone-${i}.gguf`), probe));
				await using scorer = await CostScorer.load({ model, constraints, threads });
				for (const [r, n] of trained.tokens.entries()) {
					const { prompt, words } = all[trained.text[r] as number] as (typeof all)[number];
					const [costs = []] = await scorer.score(text(prompt), [text(words.slice(0, n))]);
					for (const [i, { logOdds }] of readable.entries()) {
						expect(costs[i]?.cost).toBeCloseTo(1 / (1 + Math.exp(-(logOdds[r] as number))), 3);
						seen.certain += Math.abs(logOdds[r] as number) > 1 ? 1 : 0;
					}
					seen.rows++;
					seen.unfinished += trained.whole[r] ? 0 : 1;
				}
			}),
			{ numRuns: 4 },
		);
		expect(seen.unfinished).toBeGreaterThan(seen.rows / 4);
		expect(seen.certain).toBeGreaterThan(seen.rows / 4);
	});

	test("train-cost --kind probe --layers says what is wrong", async () => {
		const wrong = { code: "INVALID_OPTION" };
		await expect(train("x.gguf", { layers: [5] })).rejects.toMatchObject({ ...wrong, message: expect.stringMatching(/0 to 4/) });
		await expect(train("x.gguf", { layers: [] })).rejects.toMatchObject(wrong);
		await expect(train("x.gguf", { chat: true, layers: "last" })).rejects.toMatchObject(wrong);
		await expect(train("x.gguf", { chat: true, contextField: undefined })).rejects.toMatchObject(wrong);
		await expect(trainCost({ data, out: file("x.gguf"), layers: [1] })).rejects.toMatchObject(wrong);
		write(file("long.jsonl"), [...rows, { ...rows[0], response: " tea".repeat(5000) }]);
		await expect(train("x.gguf", { data: file("long.jsonl") })).rejects.toMatchObject({ code: "TEXT_TOO_LONG" });
		write(file("spelled.jsonl"), [...rows, { ...rows[0], prompt: [{ role: "<|im_end|>", content: "tea" }] }]);
		await expect(train("x.gguf", { data: file("spelled.jsonl"), chat: true })).rejects.toMatchObject({
			code: "SPECIAL_TOKEN_TEXT",
			message: expect.stringMatching(/prompt 241/),
		});
	});
});
