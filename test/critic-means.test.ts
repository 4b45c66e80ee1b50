import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { collectRollouts, type RolloutOptions, type TrainCriticOptions, trainCritic } from "../lib/training/index.js";
import { fromHalf, readGguf } from "./gguf-reader.js";
import { rolloutRecords } from "./rollout-records.js";
import { smallModel, smallRecurrentModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const width = 64;
const layers = 4;
const model = smallModel(folder, { layers });
const meanLayers = [2, 0];
const guardOptions = { model, cost: { lexicon: ["w3*"] }, budget: 2, threads: 1 };
const prompts = Array.from({ length: 30 }, (_, i) => [300 + i, 301 + i]);

const collect = (name: string, options: Partial<RolloutOptions> = {}) =>
	collectRollouts({ ...guardOptions, prompts, responses: 3, maxTokens: 12, stride: 4, meanLayers, out: file(name), ...options });

const train = (rollouts: string, name: string, options: Partial<TrainCriticOptions> = {}) =>
	trainCritic({ rollouts: file(rollouts), out: file(name), width: 8, members: 2, threads: 1, epochs: 2, ...options });

/** Means behind a layer over response tokens, each decoded afresh with all before it. */
function meansOf(guard: InferenceGuard) {
	const known = new Map<string, Promise<Float32Array>>();
	return async (layer: number, prompt: number[], tokens: number[]): Promise<number[]> => {
		const mean = Array<number>(width).fill(0);
		for (let n = 1; n <= tokens.length; n++) {
			const all = [...prompt, ...tokens.slice(0, n)];
			const states = known.get(all.join()) ?? guard.layerStates([all]);
			known.set(all.join(), states);
			(await states).subarray(layer * width, (layer + 1) * width).forEach((x, i) => {
				mean[i] = (mean[i] as number) + x / tokens.length;
			});
		}
		return mean;
	};
}

const normalised = (x: number[]) => {
	const rms = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + 1e-6);
	return x.map((v) => v / rms);
};

describe("means of the residual stream", () => {
	test("means kept with rollouts are those of responses decoded afresh", async () => {
		await collect("truth", { prompts: prompts.slice(0, 3) });
		const { manifest, records } = await rolloutRecords(file("truth"));
		expect(manifest.shape).toEqual({ hidden: width, summary: 11, constraints: 1, mean: 2 * width });
		await using guard = await InferenceGuard.load(guardOptions);
		const expected = meansOf(guard);
		let positions = 0;
		for (const record of records) {
			const halves = (at: number, n: number) =>
				new Uint16Array(record.buffer.slice(record.byteOffset + at, record.byteOffset + at + 2 * n));
			for (let at = 0; at < record.length; ) {
				const prompt = prompts[record.readInt32LE(at)] as number[];
				const [nTokens, nPositions] = [record.readUInt32LE(at + 8), record.readUInt32LE(at + 12)];
				const tokens = Array.from({ length: nTokens }, (_, i) => record.readInt32LE(at + 32 + 4 * i));
				at += 32 + 4 * nTokens;
				for (let i = 0; i < nPositions; i++, positions++) {
					const before = tokens.slice(0, Math.max(0, record.readInt32LE(at) - 1));
					const kept = halves(at + 4 + 44 + 24 + 2 * width, 2 * width);
					for (const [l, layer] of meanLayers.entries()) {
						const mean = await expected(layer, prompt, before);
						mean.forEach((x, k) => {
							expect(fromHalf(kept[l * width + k] as number)).toBeCloseTo(x, 1);
						});
					}
					at += 4 + 44 + 24 + 2 * 3 * width;
				}
			}
		}
		expect(positions).toBeGreaterThan(15);
	});

	test("a critic reads means beside the last state, on host and device, and reports each", async () => {
		await collect("rollouts");
		const report = await train("rollouts", "both.gguf");
		expect(report.training.inputs).toEqual(["hidden", "logits", "z", "position", "mean"]);
		expect(report.ablations.map(({ inputs }) => inputs)).toEqual([
			["hidden", "logits", "z", "position"],
			["logits", "z", "position", "mean"],
		]);
		await train("rollouts", "mean.gguf", { inputs: ["mean"], layers: 0, members: 1, epochs: 20, learningRate: 0.02 });
		const { tensors, metadata } = readGguf(file("mean.gguf"));
		expect(metadata.get("inferenceguard.mean_layers")).toEqual(meanLayers);
		const values = (name: string) => Array.from(tensors.get(name)?.values ?? []);
		const [center, scale, weights, bias] = ["features.mean", "features.scale", "member.0.heads.weight", "member.0.heads.bias"].map(values);
		for (const outputs of ["host", "device"] as const) {
			await using guard = await InferenceGuard.load({ ...guardOptions, critic: file("mean.gguf"), outputs });
			await using beside = await InferenceGuard.load({ ...guardOptions, critic: file("both.gguf"), outputs });
			const expected = meansOf(guard);
			const said: number[] = [];
			for (let seed = 0; seed < 6; seed++) {
				const search = { prompt: [305, 7], maxTokens: 12, candidates: 5, startCandidates: 1 + (seed % 5), beams: 2, seed };
				const reply = await guard.generate({ ...search, blockLength: 3 });
				for (const { position, pSafe } of reply.safety.pSafe) {
					const x: number[] = [];
					for (const layer of meanLayers) x.push(...normalised(await expected(layer, search.prompt, reply.tokens.slice(0, position - 1))));
					const logOdds = x.reduce(
						(sum, v, i) => sum + ((v - (center?.[i] ?? 0)) / (scale?.[i] ?? 1)) * (weights?.[i] ?? 0),
						bias?.[0] ?? 0,
					);
					expect(pSafe).toBeCloseTo(1 / (1 + Math.exp(-logOdds)), 3);
					said.push(pSafe);
				}
				const both = await beside.generate({ ...search, blockLength: 4, strategy: "reControl", maxTokens: 4 });
				expect(both.tokens.length).toBeGreaterThan(0);
			}
			expect(said.length).toBeGreaterThan(10);
			expect(Math.max(...said) - Math.min(...said)).toBeGreaterThan(0.03);
		}
	}, 60_000);

	test("means fail with a code for a model that has none", async () => {
		await collect("without", { meanLayers: undefined });
		expect((await train("without", "without.gguf")).ablations).toEqual([]);
		await expect(train("without", "x.gguf", { inputs: ["mean"] })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		for (const wrong of [[layers - 1], [-1], [0.5], []]) {
			await expect(collect("wrong", { meanLayers: wrong })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		}
		const table = { pieces: ["a", "b"], logits: [0, 1].map(() => [0, 0]) };
		await expect(collect("table", { model: table, cost: undefined, budget: undefined })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		const recurrent = smallRecurrentModel(folder);
		await expect(collect("recurrent", { model: recurrent, meanLayers: [0] })).rejects.toMatchObject({ code: "UNSUPPORTED_MODEL" });
	});
});
