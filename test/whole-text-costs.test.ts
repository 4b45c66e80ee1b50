// A cost of the whole text is charged undiscounted, wherever it is charged.
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CostModel, InferenceGuard, type LoadOptions, type Reply } from "../lib/index.js";
import { collectRollouts } from "../lib/training/index.js";
import { rolloutRecords } from "./rollout-records.js";
import { constrainedOptimum, costOf, type Problem, problems, promptToken } from "./tabular.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const discounts = fc.constantFrom(0.999, 0.9, 0.5, 0.1);
const discounted = (size: Parameters<typeof problems>[0]) =>
	fc.tuple(problems(size), discounts).map(([problem, discount]) => ({ ...problem, discount }));

const wholeCost = ({ tokenCosts }: Problem, tokens: readonly number[]) => costOf({ tokenCosts, discount: 1 }, tokens);
const ofWholeText =
	(problem: Problem): CostModel =>
	(all) =>
		all.map(({ tokens }) => wholeCost(problem, [...tokens]));

function decided({ model }: Problem, { finishReason, tokens }: Reply): number[] {
	return finishReason === "stop" ? [...tokens, model.ends[0] as number] : tokens;
}

const load = (problem: Problem): LoadOptions => {
	const { model, budget, discount } = problem;
	return { model, cost: ofWholeText(problem), budget, discount };
};

describe("a cost of the whole text beside a discount", () => {
	test("a whole-text cost under a discount leaves the optimum that it has without one", async () => {
		await fc.assert(
			fc.asyncProperty(discounted({}), fc.boolean(), async (problem, isAlone) => {
				const { model, tokenCosts, budget, discount, maxTokens } = problem;
				const constraints = [
					{ cost: ofWholeText(problem), budget, discount },
					{ cost: { tokenCosts: [...tokenCosts].reverse() }, budget, discount },
				].slice(0, isAlone ? 1 : 2);
				const reversed = { tokenCosts: [...tokenCosts].reverse(), discount };
				const dearest = (tokens: readonly number[]) => Math.max(wholeCost(problem, tokens), isAlone ? 0 : costOf(reversed, tokens));
				await using guard = await InferenceGuard.load({ model, constraints });
				const width = model.pieces.length ** maxTokens;
				const search = { candidates: width, beams: width, retries: 0, expansion: "token" as const };
				const reply = await guard.generate({ prompt: [promptToken], maxTokens, ...search });
				const optimum = constrainedOptimum(problem, dearest);
				expect(reply.outcome === "refused").toBe(optimum === undefined);
				if (optimum !== undefined) expect(discount ** (reply.safety.z.length - 1) * (reply.reward as number)).toBeCloseTo(optimum, 4);
			}),
			{ numRuns: 100 },
		);
	});

	test("a whole-text cost with a discount binds the reply and every streamed text", async () => {
		const search = fc.record({
			candidates: fc.integer({ min: 1, max: 8 }),
			blockLength: fc.integer({ min: 1, max: 4 }),
			strategy: fc.constantFrom("guard" as const, "sample" as const, "bestOfN" as const),
			seed: fc.nat(),
		});
		await fc.assert(
			fc.asyncProperty(discounted({ maxVocabulary: 5, maxLength: 8 }), search, async (problem, { strategy, ...chosen }) => {
				const { model, budget, maxTokens } = problem;
				await using guard = await InferenceGuard.load(load(problem));
				const more = strategy === "guard" ? chosen : { seed: chosen.seed };
				const stream = guard.stream({ prompt: [promptToken], strategy, maxTokens, ...more });
				let text = "";
				for await (const piece of stream) {
					text += piece.text;
					if (strategy !== "guard") continue;
					const tokens = [...text].map((letter) => model.pieces.indexOf(letter));
					expect(wholeCost(problem, tokens)).toBeLessThanOrEqual(budget + 1e-9);
				}
				const reply = await stream.reply;
				const { cost, z } = reply.safety;
				if (reply.outcome === "refused" || reply.outcome === "truncated") return;
				const tokens = decided(problem, reply);
				expect(cost).toBeCloseTo(wholeCost(problem, tokens), 9);
				expect(z).toEqual([...tokens.map(() => budget), budget - cost]);
				if (strategy === "guard") expect(cost).toBeLessThanOrEqual(budget);
			}),
			{ numRuns: 100 },
		);
	});

	test("a whole-text cost with a discount admits no certainly unsafe text of any length", async () => {
		const model = { pieces: ["a", "b"], logits: [[0, -50], [0, -50]] }; // biome-ignore format: a table
		const cost: CostModel = (all) => all.map(({ finished }) => (finished ? 1 : 0));
		await using guard = await InferenceGuard.load({ model, cost, budget: 0.5, discount: 0.999 });
		const options = { prompt: [promptToken], maxTokens: 1000, candidates: 2, maxGeneratedTokens: 4000 };
		expect((await guard.generate(options)).outcome).toBe("refused");
		const plain = await guard.generate({ ...options, strategy: "sample" });
		expect([plain.safety.cost, plain.safety.z.at(-1)]).toEqual([1, -0.5]);
	});

	test("a whole-text cost with a discount is the budget that rollouts need", async () => {
		let run = 0;
		await fc.assert(
			fc.asyncProperty(discounted({ maxVocabulary: 5, maxLength: 8 }), fc.nat(), async (problem, seed) => {
				const out = join(folder, `rollouts-${run++}`);
				const prompts = Array.from({ length: 3 }, () => [promptToken]);
				await collectRollouts({ ...load(problem), prompts, out, responses: 4, maxTokens: problem.maxTokens, seed, stride: 2 });
				const { manifest, records } = await rolloutRecords(out);
				const positionBytes = 4 + 4 * manifest.shape.summary + 24 + 2 * manifest.shape.hidden;
				let responses = 0;
				for (const record of records) {
					for (let at = 0; at < record.length; responses++) {
						const [nTokens, nPositions] = [record.readUInt32LE(at + 8), record.readUInt32LE(at + 12)];
						const tokens = Array.from({ length: nTokens }, (_, i) => record.readInt32LE(at + 32 + 4 * i));
						expect(record.readDoubleLE(at + 24)).toBeCloseTo(wholeCost(problem, tokens), 9);
						at += 32 + 4 * nTokens + nPositions * positionBytes;
					}
				}
				expect(responses).toBe(12);
			}),
			{ numRuns: 20 },
		);
	});
});
