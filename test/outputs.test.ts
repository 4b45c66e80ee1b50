import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { modelHash } from "../lib/files/fingerprint.js";
import { embeddedDefault, type GenerateOptions, InferenceGuard, type LoadOptions } from "../lib/index.js";
import { collectRollouts, trainCritic } from "../lib/training/index.js";
import { smallModel, smallRecurrentModel, temporaryFolder } from "./temporary.js";

const threads = 1;
const folder = temporaryFolder();
const prompt = "The old man opened the door and";
const guards = {
	host: await InferenceGuard.load({ ...embeddedDefault, threads, outputs: "host" }),
	device: await InferenceGuard.load({ ...embeddedDefault, threads, outputs: "device" }),
};
afterAll(() => Promise.all(Object.values(guards).map((guard) => guard.dispose())));

describe("outputs cut down on the device", () => {
	test.each<[string, Partial<GenerateOptions>]>([
		["the default", {}],
		["a low temperature", { temperature: 0.6 }],
		["a high temperature", { temperature: 1.5 }],
		["top-k", { topK: 20 }],
		["top-p", { topP: 0.9 }],
		["min-p", { minP: 0.005 }],
		["min-p at a high temperature", { minP: 0.001, temperature: 1.5 }],
		["top-k and top-p", { topK: 40, topP: 0.8 }],
		["top-k and min-p", { topK: 40, minP: 0.02 }],
		["greedy", { temperature: 0 }],
		["a row of which more than the head is needed", { topK: 500 }],
		["single tokens", { expansion: "token", maxTokens: 12 }],
	])("outputs reduced on the device lead to the same choices as whole rows: %s", async (_, sampling) => {
		const options: GenerateOptions = { prompt, maxTokens: 64, candidates: 8, seed: 5, trace: true, ...sampling };
		const [host, device] = [await guards.host.generate(options), await guards.device.generate(options)];
		expect([host.engine.outputs, device.engine.outputs]).toEqual(["host", "device"]);
		expect(device.text).toBe(host.text);
		const judged = (host.trace ?? [])
			.map(({ pSafe, value }, i) => ({ pSafe, value, there: device.trace?.[i] }))
			.filter(({ pSafe }) => pSafe !== null);
		expect(judged.length).toBeGreaterThan(0);
		for (const { pSafe, value, there } of judged) {
			expect(there?.pSafe).toBeCloseTo(pSafe as number, 4);
			expect(there?.value).toBeCloseTo(value as number, 4);
		}
	});

	/** How often each first token came, by its text, with its log-likelihood. */
	async function firstTokens(guard: InferenceGuard, sampling: Partial<GenerateOptions>) {
		const counts = new Map<string, { n: number; logLikelihood: number }>();
		for (let seed = 0; seed < 5; seed++) {
			const options = { strategy: "bestOfN", candidates: 1000, maxTokens: 1, trace: true } as const;
			const { trace = [] } = await guard.generate({ prompt, seed, ...sampling, ...options });
			for (const { text, reward } of trace) {
				const count = counts.get(text) ?? { n: 0, logLikelihood: reward as number };
				counts.set(text, { ...count, n: count.n + 1 });
			}
		}
		return counts;
	}
	const draws = 5000;

	/** Far out in the tail of a chi-square distribution: five standard deviations above its mean. */
	const unlikely = (degrees: number) => degrees + 5 * Math.sqrt(2 * degrees);

	test("tokens come with the model's probabilities, also those of the tail", async () => {
		const counts = await firstTokens(guards.device, {});
		expect(counts.size).toBeGreaterThan(100); // more than came home
		let [chiSquare, categories, probability, n] = [0, 0, 0, 0];
		for (const { n: observed, logLikelihood } of counts.values()) {
			const p = Math.exp(logLikelihood);
			if (p * draws < 10) continue;
			chiSquare += (observed - p * draws) ** 2 / (p * draws);
			categories++;
			probability += p;
			n += observed;
		}
		const rest = (1 - probability) * draws;
		chiSquare += (draws - n - rest) ** 2 / rest;
		expect(categories).toBeGreaterThan(10);
		expect(chiSquare).toBeLessThan(unlikely(categories));
	});

	test.each([{ temperature: 0.6 }, { temperature: 1.5 }, { minP: 0.005 }, { minP: 0.005, temperature: 1.5 }])(
		"tokens come as often as from whole rows: %o",
		async (sampling) => {
			const [device, host] = [await firstTokens(guards.device, sampling), await firstTokens(guards.host, sampling)];
			let [chiSquare, categories] = [0, 0];
			const rare = [0, 0] as [number, number];
			for (const text of new Set([...device.keys(), ...host.keys()])) {
				const [a, b] = [device.get(text)?.n ?? 0, host.get(text)?.n ?? 0];
				if (a + b < 20) {
					rare[0] += a;
					rare[1] += b;
					continue;
				}
				chiSquare += (a - b) ** 2 / (a + b);
				categories++;
			}
			if (rare[0] + rare[1] > 0) chiSquare += (rare[0] - rare[1]) ** 2 / (rare[0] + rare[1]);
			expect(categories).toBeGreaterThan(10);
			expect(chiSquare).toBeLessThan(unlikely(categories));
		},
	);

	/** The same guard with its outputs at home and on the device. */
	async function onBothRoutes<T>(options: LoadOptions, use: (guard: InferenceGuard) => Promise<T>): Promise<{ host: T; device: T }> {
		await using host = await InferenceGuard.load({ ...options, threads, outputs: "host" });
		await using device = await InferenceGuard.load({ ...options, threads, outputs: "device" });
		return { host: await use(host), device: await use(device) };
	}

	test("tokens of the tail come as often where only the temperature raises them", async () => {
		const model = smallModel(folder, { vocab: 16_000, sharpness: 24 });
		const drawn = await onBothRoutes({ model }, async (guard) => {
			const logLikelihoods: number[] = [];
			for (let token = 300; token < 312; token++) {
				const options = { strategy: "bestOfN", candidates: 300, maxTokens: 1, trace: true, temperature: 5 } as const;
				const { trace = [] } = await guard.generate({ prompt: [token], seed: token, ...options });
				logLikelihoods.push(...trace.map(({ reward }) => reward as number));
			}
			const n = logLikelihoods.length;
			const mean = logLikelihoods.reduce((a, b) => a + b) / n;
			return { mean, squaredError: logLikelihoods.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n ** 2 };
		});
		const standardError = Math.sqrt(drawn.host.squaredError + drawn.device.squaredError);
		expect(Math.abs(drawn.host.mean - drawn.device.mean)).toBeLessThan(4 * standardError);
	});

	/** A guard's options for a model, and a critic of hidden states alone. */
	async function guardedWithCritic(model: string) {
		const guarded: LoadOptions = { model, cost: { lexicon: ["w3*"] }, budget: 2, threads };
		const rollouts = mkdtempSync(join(folder, "rollouts-"));
		const prompts = Array.from({ length: 10 }, (_, i) => `w${300 + i}`);
		await collectRollouts({ ...guarded, prompts, responses: 2, maxTokens: 8, stride: 4, out: rollouts });
		const critic = `${model}.critic.gguf`;
		await trainCritic({ rollouts, out: critic, inputs: ["hidden"], width: 8, members: 2, threads, epochs: 1 });
		return { ...guarded, critic };
	}

	test("a critic of hidden states alone says the same on host and device", async () => {
		const guarded = await guardedWithCritic(smallModel(folder));
		const judged = await onBothRoutes(guarded, async (guard) => {
			const { trace = [] } = await guard.generate({
				prompt: "w300",
				seed: 1,
				topK: 20,
				maxTokens: 16,
				blockLength: 4,
				candidates: 4,
				trace: true,
			});
			return trace.map(({ pSafe }) => pSafe).filter((pSafe) => pSafe !== null);
		});
		expect(judged.host.length).toBeGreaterThan(0);
		expect(judged.device.length).toBe(judged.host.length);
		for (const [i, pSafe] of judged.host.entries()) expect(judged.device[i]).toBeCloseTo(pSafe, 4);
	});

	test("outputs on the device are refused or replaced where a model does not allow them", async () => {
		const model = smallRecurrentModel(folder);
		const options: GenerateOptions = { prompt: [300], strategy: "beam", maxTokens: 4 };
		await using device = await InferenceGuard.load({ model, constraints: [], threads, outputs: "device" });
		await expect(device.generate(options)).rejects.toMatchObject({
			code: "UNSUPPORTED_MODEL",
			message: expect.stringContaining("outputs"),
		});
		await using auto = await InferenceGuard.load({ model, constraints: [], threads });
		expect((await auto.generate(options)).engine.outputs).toBe("host");
	});

	test.each(["host", "device"] as const)("outputs that are not numbers are an error, not a response: %s", async (outputs) => {
		const model = smallModel(folder, { sharpness: Number.NaN });
		await using guard = await InferenceGuard.load({ model, constraints: [], threads, outputs });
		await expect(guard.generate({ prompt: [300], strategy: "sample", maxTokens: 4 })).rejects.toMatchObject({ code: "DECODE_FAILED" });
	});

	test("outputs that are not numbers are an error where a gradient step begins there", async () => {
		const sound = smallModel(folder);
		const model = smallModel(folder, { sharpness: Number.NaN });
		const { critic, ...guarded } = await guardedWithCritic(sound);
		const file = readFileSync(critic, "latin1");
		writeFileSync(critic, file.replace(await modelHash(sound), await modelHash(model)), "latin1");
		await using guard = await InferenceGuard.load({ ...guarded, critic, model });
		const steered = guard.generate({ prompt: [300], strategy: "reControl", latentSteps: 1, maxTokens: 4 });
		await expect(steered).rejects.toMatchObject({ code: "DECODE_FAILED", message: expect.stringContaining("gradient step") });
	});

	const renamedOver = (path: string, other: string) => renameSync(other, path);

	test.each<[string, (path: string) => void]>([
		["by another model", (path) => renamedOver(path, smallModel(folder, { seed: 2 }))],
		["by one of another shape", (path) => renamedOver(path, smallModel(folder, { vocab: 600 }))],
		["by what is no model", (path) => writeFileSync(path, "none")],
		["by nothing", (path) => rmSync(path)],
		[
			"by one of the same size and age",
			(path) => {
				const age = new Date(1e12);
				copyFileSync(path, `${path}.new`);
				for (const one of [path, `${path}.new`]) utimesSync(one, age, age);
				renamedOver(path, `${path}.new`);
			},
		],
	])("gradient steps use the loaded file, also after it was replaced %s", async (_, replace) => {
		const options: GenerateOptions = { prompt: [300], strategy: "reControl", latentSteps: 1, latentStepSize: 0, maxTokens: 4, seed: 1 };
		const guarded = { ...(await guardedWithCritic(smallModel(folder))), useMmap: false };
		await using early = await InferenceGuard.load(guarded);
		await using late = await InferenceGuard.load(guarded);
		const { text } = await early.generate(options);
		replace(guarded.model as string);
		await expect(late.generate(options)).rejects.toMatchObject({ code: "INVALID_MODEL", message: expect.stringContaining("replaced") });
		expect((await early.generate(options)).text).toBe(text);
	});
});
