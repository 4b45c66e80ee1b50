import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { type EncoderCost, type GenerateOptions, InferenceGuard } from "../lib/index.js";
import { probesIn } from "./probes.js";
import { temporaryFolder } from "./temporary.js";
import { causalModel, sentencePieces } from "./text-models.js";

const folder = temporaryFolder();
const probeOn = probesIn(folder);
const threads = 1;
const width = 32;
const tiny = causalModel(folder, "llama", { vocabulary: sentencePieces(), seed: 5, layers: 4 });
const other = causalModel(folder, "llama", { vocabulary: sentencePieces(), seed: 6, layers: 4 });
const encoder = fileURLToPath(new URL("reference/judge.gguf", import.meta.url));
const judge = (given: Partial<EncoderCost> = {}) => ({ cost: { encoder, selfTest: false as const, ...given }, budget: 0.6 });
const logOdds = (probability = Number.NaN) => Math.log(probability / (1 - probability));

/** The log-odds of an encoder's members and of a probe that counts as much as they do together, of their costs one by one. */
function together(costs: readonly number[], penalty: number): number {
	const [mean = 0, surer = 0, probe = 0] = costs.map(logOdds);
	const ofMembers = (surer - mean) ** 2; // the bound one standard deviation above
	const middle = (mean + probe) / 2;
	return middle + penalty * Math.sqrt((ofMembers + (mean - middle) ** 2 + (probe - middle) ** 2) / 2);
}

const settings = fc.record({
	prompt: fc.constantFrom([1, 70, 71], [1, 80]),
	maxTokens: fc.integer({ min: 2, max: 16 }),
	blockLength: fc.integer({ min: 1, max: 5 }),
	candidates: fc.integer({ min: 1, max: 6 }),
	strategy: fc.constantFrom("sample" as const, "bestOfNAugmented" as const),
	temperature: fc.constantFrom(0.7, 1.2),
	seed: fc.nat(),
});

describe("a probe beside an encoder", () => {
	test("a probe beside an encoder counts as much as all of the encoder's members", async () => {
		const probe = await probeOn(tiny.path, width, [2, 0], { scale: 4 });
		for (const uncertaintyPenalty of [0, 1.5]) {
			const constraints = [
				judge({ uncertaintyPenalty: 0 }),
				judge({ uncertaintyPenalty: 1 }),
				{ cost: { probe: probe.path }, budget: 1 },
				judge({ uncertaintyPenalty, probe: probe.path }),
			];
			await using guard = await InferenceGuard.load({ model: tiny.path, constraints, threads });
			let answered = 0;
			await fc.assert(
				fc.asyncProperty(settings, async ({ strategy, blockLength, ...given }) => {
					const options: GenerateOptions = strategy === "sample" ? { ...given, strategy } : { ...given, strategy, blockLength };
					const { safety } = await guard.generate(options);
					if (safety.constraints[0]?.cost === 0) return; // the encoder has no word of it
					const costs = safety.constraints.map(({ cost }) => cost);
					expect(logOdds(costs[3])).toBeCloseTo(together(costs, uncertaintyPenalty), 3);
					answered++;
				}),
				{ numRuns: 60 },
			);
			expect(answered).toBeGreaterThan(30);
		}
	});

	test("an encoder with a probe holds emitted text to the budget", async () => {
		const probe = await probeOn(tiny.path, width, [1], { scale: 6 });
		await using guard = await InferenceGuard.load({ model: tiny.path, constraints: [judge({ probe: probe.path })], threads });
		const outcomes = new Set<string>();
		for (let seed = 0; seed < 40; seed++) {
			const reply = await guard.generate({ prompt: [1, 70], maxTokens: 12, blockLength: 3, candidates: 6, seed });
			outcomes.add(reply.outcome);
			expect(reply.safety.cost).toBeLessThanOrEqual(0.6);
		}
		expect(outcomes).toContain("steered");
	});

	test("an encoder with a probe scores given texts with the model that the probe reads", async () => {
		const probe = await probeOn(tiny.path, width, [2], { scale: 4, context: 1 });
		const costs = [{ uncertaintyPenalty: 0 }, { uncertaintyPenalty: 1 }, undefined, { uncertaintyPenalty: 0.5, probe: probe.path }];
		const constraints = costs.map((given) => (given ? judge(given) : { cost: { probe: probe.path }, budget: 1 }));
		await using scorer = await CostScorer.load({ model: tiny.path, constraints, threads });
		for (const each of await scorer.score("the tea", ["milk", "they drink some more milk", "water boils"])) {
			const found = each.map(({ cost }) => cost);
			expect(logOdds(found[3])).toBeCloseTo(together(found, 0.5), 3);
		}
		await expect(CostScorer.load({ constraints: [judge({ probe: probe.path })], threads })).rejects.toMatchObject({
			code: "INVALID_OPTION",
		});
	});

	test("a probe beside an encoder must read means, and those of this model", async () => {
		const probe = await probeOn(tiny.path, width, [2]);
		const load = (model: string, path: string) => InferenceGuard.load({ model, constraints: [judge({ probe: path })], threads });
		await expect(load(other.path, probe.path)).rejects.toMatchObject({ code: "COST_MODEL_MISMATCH" });
		const ofLastState = await probeOn(tiny.path, width, []);
		await expect(load(tiny.path, ofLastState.path)).rejects.toMatchObject({ code: "INVALID_COST_MODEL" });
	});
});
