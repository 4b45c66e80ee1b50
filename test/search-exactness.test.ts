import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CostModel, InferenceGuard } from "../lib/index.js";
import { constrainedOptimum, type Problem, problems, promptToken } from "./tabular.js";

const runs = { numRuns: 150 };

async function searchEverything(problem: Problem, cost: CostModel, oracle: boolean) {
	const { model, budget, discount, maxTokens } = problem;
	await using guard = await InferenceGuard.load({ model: { ...model, oracle }, cost, budget, discount });
	const everything = model.pieces.length ** maxTokens;
	const width = { candidates: everything, beams: everything, retries: 0 };
	return await guard.generate({ prompt: [promptToken], maxTokens, expansion: "token", ...width, pSafeThreshold: 0 });
}

async function expectOptimum(problem: Problem, cost: CostModel, oracle = false) {
	const optimum = constrainedOptimum(problem);
	const reply = await searchEverything(problem, cost, oracle);
	if (optimum === undefined) {
		expect(reply.outcome).toBe("refused");
		expect(reply.text).toBe("");
		return;
	}
	expect(["safe", "steered"]).toContain(reply.outcome);
	expect(reply.safety.cost).toBeLessThanOrEqual(problem.budget);
	const length = reply.safety.z.length - 1;
	expect(problem.discount ** length * (reply.reward as number)).toBeCloseTo(optimum, 4);
}

describe("with exhaustive width the search returns the constrained optimum, and refuses exactly when nothing is feasible", () => {
	test("an exhaustive search returns the constrained optimum under token costs", async () => {
		await fc.assert(
			fc.asyncProperty(problems(), (problem) => expectOptimum(problem, { tokenCosts: problem.tokenCosts })),
			runs,
		);
	});

	test("an exhaustive search returns the constrained optimum under a lexicon", async () => {
		const weighted = (problem: Problem) =>
			problem.model.pieces
				.map((piece, i) => ({ term: `*${piece}*`, weight: problem.tokenCosts[i] as number }))
				.filter(({ weight }) => weight > 0);
		const ends = (problem: Problem) => problem.model.ends.every((end) => problem.tokenCosts[end] === 0); // an end has no text to find
		await fc.assert(
			fc.asyncProperty(
				problems().filter((problem) => weighted(problem).length > 0 && ends(problem)),
				(problem) => expectOptimum(problem, { lexicon: weighted(problem) }),
			),
			runs,
		);
	});

	test("an exhaustive search with the exact critic prunes only what cannot end in budget", async () => {
		await fc.assert(
			fc.asyncProperty(problems(), (problem) => expectOptimum(problem, { tokenCosts: problem.tokenCosts }, true)),
			runs,
		);
	});
});
