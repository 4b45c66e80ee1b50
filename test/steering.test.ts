import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { embeddedDefault, InferenceGuard, type LoadOptions, type SteeringOptions } from "../lib/index.js";
import { steerVector } from "../lib/training/index.js";
import { cli } from "./child.js";
import { readGguf } from "./gguf-reader.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const layers = 4;
const model = smallModel(folder, { layers });
const weights = readGguf(model).tensors;
const width = 64;

// token ids: the model has no meaning, so that a class is what its prompts end with
const prompts = (first: number) => Array.from({ length: 20 }, (_, i) => [1, 300 + ((i * 37) % 200), first]);
const [positive, negative] = [prompts(260), prompts(270)];
const file = (name: string) => join(folder, name);

const make = (name: string, more: Partial<Parameters<typeof steerVector>[0]> = {}) =>
	steerVector({ model, positive, negative, out: file(name), threads: 1, ...more });

const load = (steering?: SteeringOptions, more: Partial<LoadOptions> = {}) =>
	InferenceGuard.load({ model, cost: { lexicon: ["none"] }, threads: 1, steering, ...more });

type Vector = number[];

const direction = (name: string, layer: number): Vector => Array.from(readGguf(file(name)).tensors.get(`direction.${layer}`)?.values ?? []);

/** Log-probabilities of the next token for a residual stream behind the last layer. */
function logProbabilities(stream: Vector): Vector {
	const norm = weights.get("output_norm.weight")?.values as Float32Array;
	const head = weights.get("output.weight") ?? weights.get("token_embd.weight");
	const rms = Math.sqrt(stream.reduce((sum, v) => sum + v * v, 0) / width + 1e-5);
	const h = stream.map((v, i) => (v / rms) * (norm[i] as number));
	const size = (head?.shape[1] as number) ?? 0;
	const logits = Array.from({ length: size }, (_, token) =>
		h.reduce((sum, v, i) => sum + v * (head?.values[token * width + i] as number), 0),
	);
	const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
	return logits.map((logit) => logit - total);
}

/** The residual stream behind every layer at the last token. */
async function streams(prompt: number[]): Promise<Vector[]> {
	await using guard = await load();
	const all = Array.from(await guard.layerStates([prompt]));
	return Array.from({ length: layers }, (_, layer) => all.slice(layer * width, (layer + 1) * width));
}

const prompt = positive[0] as number[];

describe("a control vector", () => {
	test("a control vector is the difference of what the layers hold at the last token", async () => {
		const stream = (await streams(prompt)).at(-1) as Vector;
		await using guard = await load();
		const [got] = await guard.logLikelihoods(prompt, [300]);
		expect(logProbabilities(stream)[300]).toBeCloseTo(got as number, 4); // the states are the model's own

		const report = await make("mean.gguf");
		expect(report.layers.map(({ layer }) => layer)).toEqual([1, 2, 3]);
		expect(report.prompts).toEqual({ positive: 20, negative: 20, heldOut: 8 });
		expect(report.gate.accuracy).toBe(1);
		for (const { layer, norm, auc } of report.layers) {
			const length = Math.hypot(...direction("mean.gguf", layer));
			expect(norm).toBeCloseTo(length, 3);
			expect(auc).toBe(1);
		}
		expect(JSON.parse(readFileSync(file("mean.gguf.report.json"), "utf8"))).toEqual(report);
	});

	test("a control vector of the first component lies along the pairs' largest spread", async () => {
		// the classes differ by what their prompts end with, the pairs much more by what stands before
		const rows = Array.from({ length: 10 }, (_, i) => i);
		const [left, right] = [rows.map((i) => [1, 300 + 11 * i, 260]), rows.map((i) => [1, 420 - 13 * i, 262])];
		const sides = { positive: left, negative: right, layers: [2, 3] as const, seed: 4 };
		await make("pca.gguf", { ...sides, method: "pca" });
		await make("apart.gguf", sides);
		await using guard = await load();
		const states = async (prompts: number[][], layer: number) => {
			const all = await guard.layerStates(prompts);
			return prompts.map((_, p) => Array.from(all.slice((p * layers + layer) * width, (p * layers + layer + 1) * width)));
		};
		const dot = (a: Vector, b: Vector) => a.reduce((sum, v, i) => sum + v * (b[i] as number), 0);
		for (const layer of [2, 3]) {
			const [pca, mean] = [direction("pca.gguf", layer), direction("apart.gguf", layer)];
			const [positives, negatives] = [await states(left, layer), await states(right, layer)];
			const differences = positives.map((one, i) => one.map((v, k) => v - (negatives[i]?.[k] as number)));
			const spread = (axis: Vector) => differences.reduce((sum, one) => sum + dot(one, axis) ** 2, 0) / dot(axis, axis);
			expect(dot(pca, mean) / dot(pca, pca)).toBeCloseTo(1, 3); // the projection of the class distance is the vector itself
			expect(spread(pca)).toBeGreaterThan(1.001 * spread(mean));
		}
		expect(direction("pca.gguf", 1)).toEqual([]);
	});

	test.each([{ strength: 1 }, { strength: -2.5 }, { strength: 3, sparsity: 0.1 }])(
		"a control vector is added to the residual stream: %o",
		async (given) => {
			await make("last.gguf", { layers: [layers - 1, layers - 1] });
			const v = direction("last.gguf", layers - 1);
			const kept = [...v].sort((a, b) => Math.abs(b) - Math.abs(a)).slice(0, Math.round((given.sparsity ?? 1) * width));
			const least = Math.abs(kept.at(-1) as number);
			const stream = (await streams(prompt)).at(-1) as Vector;
			const expected = logProbabilities(
				stream.map((s, i) => s + given.strength * (Math.abs(v[i] as number) >= least ? (v[i] as number) : 0)),
			);
			await using guard = await load({ vector: file("last.gguf"), ...given });
			for (let seed = 0; seed < 5; seed++) {
				const reply = await guard.generate({ prompt, strategy: "sample", maxTokens: 1, seed });
				expect(reply.logLikelihood).toBeCloseTo(expected[reply.tokens[0] as number] as number, 3);
				expect(reply.steering).toBe(given.strength);
			}
		},
	);

	test("a control vector of strength 0 changes nothing, nor does any a base likelihood", async () => {
		await make("mean.gguf");
		const options = { prompt, strategy: "sample" as const, maxTokens: 20, seed: 3 };
		await using plain = await load();
		await using unmoved = await load({ vector: file("mean.gguf"), strength: 0 });
		await using moved = await load({ vector: file("mean.gguf"), strength: 4 });
		const expected = await plain.generate(options);
		expect((await unmoved.generate(options)).tokens).toEqual(expected.tokens);
		const other = await moved.generate(options);
		expect(other.tokens).not.toEqual(expected.tokens);
		expect(await moved.logLikelihoods(prompt, other.tokens)).toEqual(await plain.logLikelihoods(prompt, other.tokens));
		expect((await moved.generate(options)).tokens).toEqual(other.tokens);
	});

	test.each([1, 0.05])("a gate turns a control vector around for the other class, with sparsity %d", async (sparsity) => {
		await make("mean.gguf");
		await using guard = await load({ vector: file("mean.gguf"), strength: 2, gate: true, sparsity });
		for (const [side, sign] of [
			[positive, 2],
			[negative, -2],
		] as const) {
			for (const one of side) {
				const { steering } = await guard.generate({ prompt: one, strategy: "sample", maxTokens: 1 });
				expect(steering).toBe(sign);
			}
		}
	});

	test("a control vector steers below the guard, which still holds the budget", async () => {
		await make("mean.gguf");
		await using guard = await load({ vector: file("mean.gguf"), strength: 2 }, { cost: { lexicon: ["w3*"] }, budget: 0 });
		for (let seed = 0; seed < 10; seed++) {
			const reply = await guard.generate({ prompt, maxTokens: 12, blockLength: 4, candidates: 8, seed });
			expect(reply.safety.cost).toBe(0);
			expect(reply.text).not.toMatch(/w3/);
		}
	});
});

describe("what cannot be steered is refused", () => {
	test("a control vector refuses other models, damaged files, tables and wrong options", async () => {
		await make("mean.gguf");
		const other = smallModel(folder, { layers: 3 });
		const steering = { vector: file("mean.gguf"), strength: 1 };
		await expect(InferenceGuard.load({ model: other, steering })).rejects.toMatchObject({ code: "CONTROL_VECTOR_MISMATCH" });
		const bytes = readFileSync(file("mean.gguf"));
		writeFileSync(file("cut.gguf"), bytes.subarray(0, bytes.length - 100));
		await expect(load({ vector: file("cut.gguf"), strength: 1 })).rejects.toMatchObject({ code: "INVALID_CONTROL_VECTOR" });
		await expect(load({ vector: file("absent.gguf"), strength: 1 })).rejects.toMatchObject({ code: "INVALID_CONTROL_VECTOR" });
		await expect(load({ vector: model, strength: 1 })).rejects.toMatchObject({ code: "INVALID_CONTROL_VECTOR" });
		const table = {
			pieces: ["a", "b"],
			logits: [
				[0, 0],
				[0, 0],
			],
		};
		await expect(InferenceGuard.load({ model: table, steering })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		await expect(load({ ...steering, sparsity: 0 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("steerVector refuses too few or equal prompts, and layers that do not exist", async () => {
		await expect(make("x.gguf", { positive: positive.slice(0, 4) })).rejects.toMatchObject({ code: "INVALID_DATA" });
		await expect(make("x.gguf", { positive: Array(9).fill([1, 2]), negative: Array(9).fill([1, 2]) })).rejects.toMatchObject({
			code: "INVALID_DATA",
		});
		await expect(make("x.gguf", { layers: [1, layers] })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		const long = [...positive.slice(0, 8), Array(300).fill(5)];
		await expect(make("x.gguf", { positive: long })).rejects.toMatchObject({
			code: "PROMPT_TOO_LONG",
			message: expect.stringContaining("positive prompt 9:"),
		});
		await expect(make(join("no", "folder", "x.gguf"))).rejects.toMatchObject({ code: "WRITE_FAILED" });
	});

	test("a gate that reads a long prompt can be aborted", async () => {
		const slow = smallModel(folder, { layers: 8, dim: 256, ffn: 1024, heads: 8, context: 2048 });
		const sides = { positive: prompts(260), negative: prompts(270) };
		await steerVector({ model: slow, ...sides, out: file("slow.gguf"), threads: 1 });
		const steering = { vector: file("slow.gguf"), strength: 1, gate: true };
		await using guard = await InferenceGuard.load({ model: slow, threads: 1, steering });
		const long = Array.from({ length: 2000 }, (_, i) => 260 + (i % 200));
		const whole = await guard.generate({ prompt: long, strategy: "sample", maxTokens: 1 });
		expect(Math.abs(whole.steering ?? 0)).toBe(1);
		const aborted = guard.generate({ prompt: long, strategy: "sample", maxTokens: 1, signal: AbortSignal.timeout(20) });
		await expect(aborted).rejects.toMatchObject({ code: "ABORTED" });
	});

	test("a critic beside a control vector is a warning", async () => {
		const warned = new Promise<NodeJS.ErrnoException>((resolve) => process.once("warning", resolve));
		const two = ["It was a fine day.", "She sang.", "They laughed.", "The sun shone.", "He smiled."];
		const grim = ["He was dead.", "It was dark.", "They wept.", "The knife fell.", "She screamed."];
		await steerVector({ model: embeddedDefault.model, positive: grim, negative: two, out: file("grim.gguf"), threads: 1 });
		await using guard = await InferenceGuard.load({
			...embeddedDefault,
			threads: 1,
			steering: { vector: file("grim.gguf"), strength: 0.5 },
		});
		const reply = await guard.generate({ prompt: "It was late.", maxTokens: 32, candidates: 4, seed: 1 });
		expect((await warned).code).toBe("CRITIC_EXTRAPOLATES");
		expect(reply.safety.constraints.every(({ cost, budget }) => cost <= budget)).toBe(true);
	});
});

test("inferenceguard steer-vector makes a file, and generate applies it", async () => {
	writeFileSync(file("positive.txt"), ["He was dead.", "It was dark.", "They wept.", "The knife fell.", "She screamed."].join("\n"));
	writeFileSync(file("negative.txt"), ["It was a fine day.", "She sang.", "They laughed.", "The sun shone.", "He smiled."].join("\n"));
	const tiny = embeddedDefault.model;
	const out = file("cli.gguf");
	const made = await cli(
		"steer-vector",
		"-m",
		tiny,
		"--positive",
		file("positive.txt"),
		"--negative",
		file("negative.txt"),
		"-o",
		out,
		"--threads",
		"1",
	);
	expect(made.status).toBe(0);
	expect(made.stdout).toContain("The gate reads layer");
	const generate = [
		"generate",
		"-m",
		tiny,
		"-p",
		"It was late.",
		"--strategy",
		"sample",
		"-t",
		"8",
		"--seed",
		"1",
		"--threads",
		"1",
		"--json",
	];
	const steered = await cli(...generate, "--steering", out, "--strength", "-1.5");
	expect(JSON.parse(steered.stdout)).toMatchObject({ steering: -1.5, outcome: "unguarded" });
	expect((await cli(...generate, "--strength", "2")).status).toBe(2);
});
