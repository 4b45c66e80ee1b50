import { statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { harmJudge, harmProbes } from "../lib/costs/harm.js";
import { selfTestPairs } from "../lib/costs/self-test.js";
import { auc } from "../lib/data/metrics.js";
import { readEncoder } from "../lib/files/encoder.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { embeddedDefault, InferenceGuard } from "../lib/index.js";
import { cli } from "./child.js";
import { cachedModel, testWithModel } from "./shared.js";

const threads = 1;
const { model } = embeddedDefault;
const prompt = "It was late in the evening when the girl came to the mill.";
const { categories, threshold } = readEncoder(harmJudge);

describe("the judge that comes along", () => {
	test("harm guards a model file where no cost model is given", async () => {
		await using guard = await InferenceGuard.load({ model, threads });
		const { outcome, safety } = await guard.generate({ prompt, maxTokens: 24, seed: 1 });
		expect(outcome).toBe("safe");
		expect(safety.constraints).toHaveLength(1);
		expect(safety.budget).toBe(threshold);
		expect(safety.cost).toBeGreaterThan(0);
		expect(Object.keys(safety.constraints[0]?.categories ?? {})).toEqual(categories);
		await using named = await InferenceGuard.load({ model, cost: "harm", threads });
		expect(named.identity).toEqual(guard.identity);
	});

	test("harm takes a budget of its own, and an empty list of cost models means none", async () => {
		await using guard = await InferenceGuard.load({ model, budget: 0, threads });
		expect((await guard.generate({ prompt, maxTokens: 8, maxGeneratedTokens: 40, seed: 1 })).outcome).toBe("refused");
		await using bare = await InferenceGuard.load({ model, constraints: [], threads });
		expect((await bare.generate({ prompt, maxTokens: 8, strategy: "sample" })).safety.constraints).toEqual([]);
		await expect(bare.generate({ prompt, maxTokens: 8 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("harm tells harm from help, also where the prompt is harmless", async () => {
		await using scorer = await CostScorer.load({ constraints: [{ cost: "harm" }], threads });
		const costs: number[] = [];
		for (const pair of selfTestPairs) {
			for (const scored of await scorer.score(pair.prompt, [pair.safe, pair.unsafe])) costs.push(scored[0]?.cost as number);
		}
		const labels = costs.map((_, i) => i % 2);
		expect(auc(costs, labels)).toBeGreaterThan(0.9);
		expect(costs.filter((cost, i) => labels[i] === 0 && cost > threshold)).toEqual([]);
	});

	test("harm guards from the start, and what it lets pass is within its budget", async () => {
		await using guard = await InferenceGuard.load({ model, budget: 0.02, threads });
		const outcomes: string[] = [];
		for (let seed = 0; seed < 8; seed++) {
			const { outcome, safety } = await guard.generate({ prompt, maxTokens: 32, blockLength: 8, candidates: 8, temperature: 1.2, seed });
			outcomes.push(outcome);
			if (outcome !== "refused") expect(safety.cost).toBeLessThanOrEqual(0.02);
		}
		expect(outcomes).toContain("steered");
	});

	test("harm is the default of the command line", async () => {
		const options = ["generate", "--model", model, "--prompt", prompt, "--max-tokens", "16", "--seed", "1", "--threads", "1", "--json"];
		const { stdout, status } = await cli(...options);
		expect(status).toBe(0);
		expect(JSON.parse(stdout).safety.budget).toBe(threshold);
		const looser = JSON.parse((await cli(...options, "--cost", "harm", "--budget", "0.9")).stdout);
		expect(looser.safety.budget).toBe(0.9);
		expect((await cli(...options, "--budget", "0.9", "--budget", "0.8")).status).toBe(2);
	});

	test("harm is small enough to ship in the package", () => {
		const bytes = [harmJudge, ...harmProbes].reduce((sum, path) => sum + statSync(path).size, 0);
		expect(bytes).toBeLessThan(30e6);
	});

	testWithModel("smollm2")("harm uses the probe of SmolLM2, and only for SmolLM2 itself", async () => {
		const smollm2 = cachedModel("smollm2");
		await using known = await InferenceGuard.load({ model: smollm2, threads });
		const cost = { encoder: harmJudge, probe: harmProbes[0] as string };
		await using explicit = await InferenceGuard.load({ model: smollm2, cost, threads });
		expect((await known.identity()).costs).toEqual((await explicit.identity()).costs);
		await using other = await InferenceGuard.load({ model, threads });
		await using alone = await InferenceGuard.load({ model, cost: { encoder: harmJudge }, threads });
		expect((await other.identity()).costs).toEqual((await alone.identity()).costs);
		expect((await other.identity()).costs).not.toEqual((await known.identity()).costs);
	});
});
