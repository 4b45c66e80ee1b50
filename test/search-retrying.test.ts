// The guard against retrying: sampling whole responses one after the other until one is within budget.
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Candidate, type CostModel, InferenceGuard } from "../lib/index.js";
import { type Problem, problems, promptToken, responses } from "./tabular.js";
import { smallRecurrentModel, temporaryFolder } from "./temporary.js";

/** The probability that retrying answers within so many tokens, by enumeration. */
function retryingAnswers(problem: Problem, limit: number): number {
	const each = responses(problem).map(({ tokens, cost, reward }) => ({
		length: tokens.length,
		probability: Math.exp(reward * tokens.length),
		within: cost <= problem.budget,
	}));
	const answers = [0];
	for (let left = 1; left <= limit; left++) {
		const terms = each.filter(({ length }) => length <= left);
		answers.push(
			terms.reduce((sum, { length, probability, within }) => sum + probability * (within ? 1 : (answers[left - length] as number)), 0),
		);
	}
	return answers[limit] as number;
}

const costOf = ({ tokenCosts }: Problem, { tokens }: Candidate) => tokens.reduce((sum, token) => sum + (tokenCosts[token] as number), 0);

/** What a cost model says of unfinished texts, however wrong. */
const estimates = {
	"as it stands": costOf,
	"nothing before the end": () => 0,
	"everything over budget before the end": () => 1e9,
	"the opposite": (problem: Problem, candidate: Candidate) => (costOf(problem, candidate) > problem.budget ? 0 : 1e9),
};

const searches = fc.record({
	candidates: fc.integer({ min: 1, max: 6 }),
	startShare: fc.constantFrom(0, 1),
	blockLength: fc.integer({ min: 1, max: 4 }),
	retries: fc.integer({ min: 0, max: 2 }),
	estimator: fc.constantFrom("models" as const, "logLikelihood" as const),
});

const hard = problems({ maxVocabulary: 3, maxLength: 6 })
	.map((problem) => ({ ...problem, discount: 1 }))
	.filter((problem) => {
		const answered = retryingAnswers(problem, 2 * problem.maxTokens);
		return answered > 0.05 && answered < 0.95;
	});

const seeds = 48;

for (const [name, estimate] of Object.entries(estimates)) {
	test(`the guard answers as often as retrying with half the tokens: ${name}`, async () => {
		let answered = 0;
		let expected = 0;
		let variance = 0;
		await fc.assert(
			fc.asyncProperty(hard, searches, fc.double({ min: 0.5, max: 6, noNaN: true }), async (problem, { startShare, ...search }, share) => {
				const { model, budget, maxTokens } = problem;
				const cost: CostModel = (all) => all.map((one) => (one.finished ? costOf(problem, one) : estimate(problem, one)));
				await using guard = await InferenceGuard.load({ model, cost, budget });
				const limit = Math.max(1, Math.round(share * maxTokens));
				const startCandidates = Math.max(1, Math.round(startShare * search.candidates));
				const retrying = retryingAnswers(problem, Math.ceil(limit / 2));
				const options = { prompt: [promptToken], maxTokens, ...search, startCandidates, maxGeneratedTokens: limit };
				const replies = await Promise.all(Array.from({ length: seeds }, (_, seed) => guard.generate({ ...options, seed })));
				for (const { usage } of replies) expect(usage.generatedTokens).toBeLessThanOrEqual(limit);
				const answers = replies.filter(({ outcome }) => outcome !== "refused").length;
				const deviation = Math.sqrt(seeds * retrying * (1 - retrying));
				expect(answers).toBeGreaterThanOrEqual(seeds * retrying - 4.5 * deviation - 1e-9);
				answered += answers;
				expected += seeds * retrying;
				variance += deviation ** 2;
			}),
			{ numRuns: 40, seed: 1, endOnFailure: true },
		);
		expect(answered).toBeGreaterThanOrEqual(expected - 3 * Math.sqrt(variance));
	});
}

test("restarts find room with three sequences", async () => {
	const restarts = fc.record({ candidates: fc.integer({ min: 1, max: 8 }), blockLength: fc.integer({ min: 1, max: 3 }), seed: fc.nat() });
	await fc.assert(
		fc.asyncProperty(hard, restarts, async (problem, search) => {
			const { model, budget, maxTokens } = problem;
			const cost: CostModel = (all) => all.map((one) => (one.finished ? costOf(problem, one) : estimates["the opposite"](problem, one)));
			const answered = async (maxSequences: number) => {
				await using guard = await InferenceGuard.load({ model: { ...model, maxSequences }, cost, budget });
				const reply = await guard.generate({ prompt: [promptToken], maxTokens, startCandidates: 1, ...search });
				return { text: reply.text, outcome: reply.outcome, tokens: reply.usage.generatedTokens };
			};
			expect(await answered(3)).toEqual(await answered(256));
		}),
		{ numRuns: 60 },
	);
});

test("restarts find room with a model whose sequences cannot be truncated", async () => {
	const cost: CostModel = (all) => all.map(({ tokens }) => Number((tokens.at(-1) ?? 0) % 4 > 0)); // the last token decides
	await using guard = await InferenceGuard.load({ model: smallRecurrentModel(temporaryFolder()), cost, budget: 0, threads: 1 });
	for (const candidates of [1, 2, 4, 8]) {
		for (let seed = 0; seed < 5; seed++) {
			const reply = await guard.generate({ prompt: [1, 5, 7], maxTokens: 12, blockLength: 4, candidates, seed });
			expect(["safe", "steered", "refused"]).toContain(reply.outcome);
			expect(reply.safety.cost).toBe(0);
		}
	}
});
