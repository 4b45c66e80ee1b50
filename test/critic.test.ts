import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareWithExact, maxTokens, randomCase, trainedOn } from "../bench/exact-critics/compare.mjs";
import { randomNumbers } from "../lib/data/random.js";
import { InferenceGuard, type LoadOptions } from "../lib/index.js";
import { collectRollouts, type TrainCriticOptions, trainCritic } from "../lib/training/index.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const coin = ["heads", "tails"].map((_, i) => i);

const file = (name: string) => join(folder, name);

const trained = (one: ReturnType<typeof randomCase>, name: string, options: Parameters<typeof trainedOn>[3] = {}) =>
	trainedOn(one, folder, name, options);

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

describe("a critic trained on rollouts of a tabular model", () => {
	// nine other models: npm run bench:exact-critics
	test("a trained critic is within 0.05 of exact pSafe and value, and searches as well", async () => {
		const { states, wronglyHopeful, pSafeError, valueError, asGood } = await compareWithExact(2, folder);
		expect(states).toBeGreaterThan(50);
		expect(wronglyHopeful).toBe(0);
		expect(pSafeError).toBeLessThan(0.05);
		expect(valueError).toBeLessThan(0.05);
		expect(asGood).toBeGreaterThanOrEqual(0.95);
	});

	test("a trained critic reports its measurements beside the baselines", async () => {
		const { report, critic } = await trained(randomCase(11), "report");
		const saved = JSON.parse(readFileSync(`${critic}.report.json`, "utf8"));
		expect(saved).toEqual(JSON.parse(JSON.stringify(report)));
		expect(report.test.byPosition.map(({ position }) => position)).toEqual([0, 1, 2, 3]);
		expect(report.test.pSafe.auc).toBeGreaterThan(0.7);
		expect(report.test.pSafe.ece).toBeLessThan(0.1);
		expect(report.test.pSafe.brier).toBeLessThan(report.test.baselines.constantRate.brier);
		expect(report.learnedNothing).toBe(false);
		const page = readFileSync(`${critic}.report.html`, "utf8");
		expect(page).not.toMatch(/(src|href)="http/);
		expect(page).toContain("Calibration of pSafe");
	}, 60_000);

	test("a trained critic says plainly that there was nothing to learn", async () => {
		// a fair coin that is tossed at the very end: nothing before tells how it falls
		const model = { pieces: ["heads", "tails"], logits: coin.map(() => [0, 0]) };
		const guard = { model, cost: { tokenCosts: [0, 1] }, budget: 0 };
		const out = file("coin");
		await collectRollouts({
			...guard,
			prompts: Array.from({ length: 300 }, (_, i) => [...i.toString(2)].map(Number)),
			responses: 5,
			maxTokens: 1,
			stride: 1,
			out,
		});
		const report = await trainCritic({ rollouts: out, out: file("coin.gguf"), width: 8, members: 1, threads: 1, epochs: 3 });
		expect(report.learnedNothing).toBe(true);
		expect(readFileSync(file("coin.gguf.report.html"), "utf8")).toContain("interval of its AUC");
		// and where every response ends alike
		await collectRollouts({
			...guard,
			budget: 1,
			prompts: Array.from({ length: 60 }, (_, i) => [...i.toString(2)].map(Number)),
			maxTokens: 1,
			stride: 1,
			out: file("alike"),
		});
		const alike = await trainCritic({ rollouts: file("alike"), out: file("alike.gguf"), width: 8, members: 1, threads: 1, epochs: 1 });
		expect(alike.learnedNothing).toBe(true);
		expect(alike.test.pSafe.aucFeasible).toBeNull();
		expect(readFileSync(file("alike.gguf.report.html"), "utf8")).toContain("ended alike");
	}, 60_000);

	test("a trained critic does not become certain from too few test prompts", async () => {
		const model = { pieces: ["heads", "tails"], logits: coin.map(() => [0, 0]) };
		const guard = { model, cost: { tokenCosts: [0, 1] }, budget: 0 };
		const prompts = Array.from({ length: 20 }, (_, i) => [...i.toString(2)].map(Number));
		await collectRollouts({ ...guard, prompts, responses: 5, maxTokens: 1, stride: 1, out: file("few") });
		for (let seed = 0; seed < 5; seed++) {
			const report = await trainCritic({ rollouts: file("few"), out: file("few.gguf"), width: 8, threads: 1, seed });
			expect(report.test.prompts).toBeLessThan(10);
			expect(report.test.pSafe.aucFeasibleInterval).toBeNull();
			expect(report.learnedNothing).toBe(true);
			expect(readFileSync(file("few.gguf.report.html"), "utf8")).toContain("rollouts of more prompts");
			for (const { predicted } of report.test.pSafe.calibration) expect(Math.abs(predicted - 0.5)).toBeLessThan(0.45);
		}
	}, 60_000);

	test.each([
		[180, "t"],
		[300, "bootstrap"],
	] as const)("a trained critic says how the intervals of %i prompts were found", async (count, method) => {
		const model = { pieces: ["heads", "tails"], logits: coin.map((i) => [i, 0]) };
		const prompts = Array.from({ length: count }, (_, i) => [...i.toString(2)].map(Number));
		const out = file(`${count}-prompts`);
		await collectRollouts({ model, cost: { tokenCosts: [0, 1] }, budget: 0, prompts, responses: 5, maxTokens: 1, stride: 1, out });
		const { test } = await trainCritic({ rollouts: out, out: `${out}.gguf`, width: 8, members: 1, threads: 1, epochs: 1 });
		expect(test.prompts < 30).toBe(method === "t");
		expect(test.pSafe).toMatchObject({ aucIntervalMethod: method, aucFeasibleIntervalMethod: method });
		for (const at of test.byPosition.filter(({ feasibleShare }) => feasibleShare === 1)) expect(at.aucFeasibleIntervalMethod).toBe(method);
		expect(test.pSafe.aucInterval).not.toBeNull();
		expect(/\d, by t\b/.test(readFileSync(`${out}.gguf.report.html`, "utf8"))).toBe(method === "t");
	});

	test("a trained critic knows that a refilling budget can be met after an excess", async () => {
		for (const criterion of ["terminal", "anytime"] as const) {
			const one = {
				guard: {
					model: { pieces: ["up", "down", "on"], logits: [0, 1, 2].map((i) => [0, 1, 2].map((j) => Math.sin(3 * i + j))), ends: [] },
					cost: { tokenCosts: [1, -1, 0] },
					budget: 0,
					costFloor: null,
					criterion,
				},
				size: 3,
			};
			const { critic } = await trained(one, criterion, { responses: 40, epochs: 20 });
			await using learned = await InferenceGuard.load({ ...one.guard, critic });
			await using exact = await InferenceGuard.load({ ...one.guard, model: { ...one.guard.model, oracle: true } });
			const errors: Record<"below" | "above", number[]> = { below: [], above: [] };
			for (let seed = 0; seed < 80; seed++) {
				const options = { prompt: [seed % 3], maxTokens, blockLength: 1, strategy: "sample", estimator: "critic", seed } as const;
				const [mine, reference] = [await learned.generate(options), await exact.generate(options)];
				mine.safety.pSafe.forEach(({ position, pSafe }, i) => {
					const side = (mine.safety.z[position] as number) < 0 ? "below" : "above";
					errors[side].push(Math.abs(pSafe - (reference.safety.pSafe[i]?.pSafe as number)));
				});
			}
			for (const side of [errors.below, errors.above]) {
				expect(side.length).toBeGreaterThan(20);
				expect(side.reduce((sum, error) => sum + error, 0) / side.length).toBeLessThan(0.08);
			}
		}
	}, 120_000);

	test("a trained critic is the same file for the same data and seed only", async () => {
		const one = randomCase(4);
		const quick = { epochs: 2, responses: 4 };
		const [first, again, other] = [
			await trained(one, "first", quick),
			await trained(one, "again", quick),
			await trained(one, "other", { ...quick, seed: 1 }),
		];
		expect(sha256(first.critic)).toBe(sha256(again.critic));
		expect(sha256(first.critic)).not.toBe(sha256(other.critic));
	}, 60_000);

	test("a critic can be linear, wide, deep, single, and blind to groups of inputs", async () => {
		const one = randomCase(5);
		const variants: Partial<TrainCriticOptions>[] = [
			{ layers: 0 },
			{ layers: 3, width: 8, members: 1 },
			{ inputs: ["z", "position"] },
			{ inputs: ["hidden"] },
			{ inputs: ["logits"], batch: 7 },
			{ layers: 4, members: 16, width: 2 },
			{ budgets: [[0.5, 3]] },
		];
		for (const [i, variant] of variants.entries()) {
			const { critic } = await trained(one, `variant-${i}`, { epochs: 2, responses: 4, ...variant });
			await using guard = await InferenceGuard.load({ ...one.guard, critic });
			let notes = 0;
			for (let seed = 0; seed < 5; seed++) {
				const reply = await guard.generate({ prompt: [0], maxTokens, blockLength: 2, strategy: "sample", estimator: "critic", seed });
				for (const { position, pSafe, std, value } of reply.safety.pSafe) {
					const feasible = (reply.safety.z[position] as number) >= 0;
					expect(pSafe).toBeGreaterThanOrEqual(0);
					expect(pSafe).toBeLessThanOrEqual(feasible ? 1 : 0);
					if (feasible && (variant.members ?? 2) > 1) expect(std).toBeGreaterThan(0);
					else expect(std).toBe(0);
					expect(value).toBeTypeOf("number");
					notes++;
				}
			}
			expect(notes).toBeGreaterThan(0);
		}
	}, 120_000);
});

describe("a critic beside a guard", () => {
	test("a critic for another guard is refused with a code", async () => {
		const one = randomCase(7);
		const { critic } = await trained(one, "mismatch", { epochs: 1, responses: 2 });
		const { model } = one.guard;
		const otherModel = { ...model, logits: model.logits.map((row) => row.map((logit) => logit + 0.5 * Math.sin(logit * 9))) };
		const cases: [LoadOptions, RegExp][] = [
			[{ ...one.guard, model: otherModel, critic }, /this guard's model /],
			[{ ...one.guard, cost: { tokenCosts: [3, 3, 3, 3] }, critic }, /cost model/],
			[{ ...one.guard, discount: 0.9, critic }, /discount/],
			[{ ...one.guard, reward: { lexicon: ["a"] }, critic }, /reward/],
			[{ model, critic }, /number of cost models/],
		];
		for (const [options, message] of cases) {
			await expect(InferenceGuard.load(options)).rejects.toMatchObject({
				code: "CRITIC_MISMATCH",
				message: expect.stringMatching(message),
			});
		}
	}, 60_000);

	test("a critic warns beyond its training, and is refused with another single budget", async () => {
		const one = randomCase(8);
		const quick = { epochs: 1, responses: 2 };
		const { critic } = await trained(one, "range", { ...quick, budgets: [[0, 3]] });
		const single = await trained(one, "single", { ...quick, budgets: [[3, 3]] });
		const warned: string[] = [];
		const listen = (warning: Error & { code?: string }) => warned.push(`${warning.code}: ${warning.message}`);
		process.on("warning", listen);
		try {
			await using guard = await InferenceGuard.load({ ...one.guard, budget: 50, critic });
			for (let i = 0; i < 2; i++) await guard.generate({ prompt: [0], maxTokens: maxTokens + 1, temperature: 0.5, seed: i });
			for (let i = 0; i < 2; i++) await guard.generate({ prompt: [0], prefill: [0], stop: "zz", maxTokens: 2, temperature: 1, seed: i });
			await new Promise((resolve) => setImmediate(resolve));
		} finally {
			process.off("warning", listen);
		}
		expect(warned).toEqual([
			expect.stringMatching(/^CRITIC_EXTRAPOLATES: .*budgets from 0 to 3.*to 50$/),
			expect.stringMatching(/^CRITIC_EXTRAPOLATES: .*responses of 4 tokens.*to 5$/),
			expect.stringMatching(/^CRITIC_EXTRAPOLATES: .*temperature 1.*to 0.5$/),
			expect.stringMatching(/^CRITIC_EXTRAPOLATES: .*without a prefill/),
			expect.stringMatching(/^CRITIC_EXTRAPOLATES: .*without stop strings/),
		]);
		await expect(InferenceGuard.load({ ...one.guard, budget: 2, critic: single.critic })).rejects.toMatchObject({
			code: "CRITIC_MISMATCH",
		});
	}, 60_000);

	test("a damaged critic is an error with a code", async () => {
		const one = randomCase(10);
		const { critic } = await trained(one, "damage", { epochs: 1, responses: 2, width: 4, members: 1 });
		const bytes = readFileSync(critic);
		const damaged = file("damaged.gguf");
		const load = async (content: Buffer) => {
			writeFileSync(damaged, content);
			const guard = await InferenceGuard.load({ ...one.guard, critic: damaged });
			await guard.dispose();
		};
		const codes = ["INVALID_CRITIC", "CRITIC_MISMATCH"];
		const random = randomNumbers(3);
		for (let i = 0; i < 60; i++) {
			const length = Math.floor(random() * bytes.length);
			await expect(load(bytes.subarray(0, length))).rejects.toSatisfy((error: { code: string }) => codes.includes(error.code));
		}
		const headerEnd = Math.floor(bytes.length * 0.6);
		for (let i = 0; i < 300; i++) {
			const changed = Buffer.from(bytes);
			for (let k = 0; k < 3; k++) changed[Math.floor(random() * headerEnd)] = Math.floor(random() * 256);
			await load(changed).catch((error) => expect(codes).toContain(error.code));
		}
		const key = "summary_width";
		const width = Buffer.from(bytes);
		const at = width.indexOf(key) + key.length + 4;
		expect([6, 12]).toContain(width.readUInt32LE(at - 4)); // a float of 32 or 64 bits
		if (width.readUInt32LE(at - 4) === 6) width.writeFloatLE(3, at);
		else width.writeDoubleLE(3, at);
		await expect(load(width)).rejects.toMatchObject({ code: "INVALID_CRITIC" }); // logits to read, but none named
		const last = Buffer.from(bytes);
		last.fill(0xff, bytes.length - 64); // weights that are no numbers
		await expect(load(last)).rejects.toMatchObject({ code: "INVALID_CRITIC" });
		await expect(InferenceGuard.load({ ...one.guard, critic: file("absent.gguf") })).rejects.toMatchObject({ code: "INVALID_CRITIC" });
		copyFileSync(smallModel(folder), damaged);
		await expect(InferenceGuard.load({ ...one.guard, critic: damaged })).rejects.toMatchObject({ code: "INVALID_CRITIC" });
	}, 60_000);
});

describe("a critic of a llama model", () => {
	test("a critic of a llama model gives one pSafe in every batch, and the guard holds", async () => {
		const model = smallModel(folder);
		const guardOptions: LoadOptions = { model, cost: { lexicon: ["w3*"] }, budget: 2, threads: 1 };
		const out = file("llama-rollouts");
		const prompts = Array.from({ length: 30 }, (_, i) => `w${300 + i} w${301 + i}`);
		await collectRollouts({ ...guardOptions, prompts, responses: 4, maxTokens: 16, stride: 8, out });
		const critic = file("llama.gguf");
		await trainCritic({ rollouts: out, out: critic, width: 16, members: 3, threads: 1, epochs: 2 });
		await using guard = await InferenceGuard.load({ ...guardOptions, critic });
		for (const estimator of ["critic", "both"] as const) {
			for (const ranksByValue of [true, false]) {
				const reply = await guard.generate({
					prompt: "w305",
					maxTokens: 16,
					blockLength: 8,
					candidates: 8,
					estimator,
					ranksByValue,
					pSafeThreshold: 0.01,
					seed: 5,
				});
				if (reply.outcome !== "refused") expect(reply.safety.cost).toBeLessThanOrEqual(2);
				expect(reply.timings.critic).toBeGreaterThan(0);
			}
		}
		// whatever else is in the batch, the same text gets the same pSafe
		const options = {
			prompt: "w305",
			maxTokens: 16,
			blockLength: 8,
			temperature: 0.01, // every draw is the most probable token
			objective: "reward",
			estimator: "critic",
			seed: 5,
		} as const;
		const alone = await guard.generate({ ...options, strategy: "sample", blockLength: 8 });
		const among = await guard.generate({ ...options, strategy: "beam", candidates: 24, beams: 3 });
		expect(among.tokens).toEqual(alone.tokens);
		const [first] = alone.safety.pSafe;
		expect(first?.position).toBe(8);
		expect(among.safety.pSafe[0]?.pSafe).toBeCloseTo(first?.pSafe as number, 4);
		expect(among.safety.pSafe[0]?.value).toBeCloseTo(first?.value as number, 3);
		// a response cut off by the token limit has no latent state to judge
		const cut = await guard.generate({ ...options, temperature: 1, strategy: "bestOfN", candidates: 4, maxGeneratedTokens: 20 });
		expect(cut.outcome).toBe("unguarded");
	}, 60_000);
});
