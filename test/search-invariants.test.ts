import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type GenerateOptions, InferenceGuard, type Reply } from "../lib/index.js";
import { costOf, logProbabilities, type Problem, problems, promptToken } from "./tabular.js";

const runs = { numRuns: 150 };

const settings = fc.record({
	candidates: fc.integer({ min: 1, max: 12 }),
	startShare: fc.constantFrom(0, 0.3, 1),
	candidateGrowth: fc.integer({ min: 2, max: 4 }),
	satisfiedPSafe: fc.constantFrom(0, 0.7, 1),
	beamShare: fc.double({ min: 0, max: 1, noNaN: true }),
	blockLength: fc.integer({ min: 1, max: 4 }),
	retries: fc.integer({ min: 0, max: 2 }),
	temperature: fc.constantFrom(0, 0.5, 1, 2),
	diversityPenalty: fc.constantFrom(0, 0.5, 3),
	expansion: fc.constantFrom("sample" as const, "token" as const),
	estimator: fc.constantFrom("models" as const, "critic" as const, "logLikelihood" as const),
	pSafeThreshold: fc.constantFrom(0, 0.3, 0.9),
	maxGeneratedTokens: fc.integer({ min: 1, max: 300 }),
	seed: fc.nat(),
});

type Settings = typeof settings extends fc.Arbitrary<infer S> ? S : never;

const cases = fc.record({ problem: problems({ maxVocabulary: 5, maxLength: 8 }), chosen: settings });

function options(problem: Problem, { beamShare, startShare, ...chosen }: Settings): GenerateOptions {
	const beams = Math.max(1, Math.round(chosen.candidates * beamShare));
	const narrow = Math.max(1, Math.round(chosen.candidates * startShare));
	const startCandidates = chosen.expansion === "token" ? chosen.candidates : narrow;
	const blockLength = chosen.expansion === "token" ? undefined : chosen.blockLength;
	return { prompt: [promptToken], maxTokens: problem.maxTokens, ...chosen, startCandidates, blockLength, beams };
}

async function withGuard<T>(problem: Problem, use: (guard: InferenceGuard) => Promise<T>): Promise<T> {
	const { tokenCosts, budget, discount } = problem;
	// the exact critic enumerates, so it sees short responses only
	await using guard = await InferenceGuard.load({ model: { ...problem.model, oracle: true }, cost: { tokenCosts }, budget, discount });
	return await use(guard);
}

/** The response as it was decided, with the token that ended it. */
function decidedTokens(problem: Problem, reply: Reply): number[] {
	return reply.finishReason === "stop" ? [...reply.tokens, problem.model.ends[0] as number] : reply.tokens;
}

const textToTokens = (problem: Problem, text: string) => [...text].map((letter) => problem.model.pieces.indexOf(letter));

const shortCases = cases.filter(({ problem }) => problem.maxTokens <= 5);

describe("for any guarded settings", () => {
	test("the cost never exceeds the budget, and z follows the closed form", async () => {
		await fc.assert(
			fc.asyncProperty(shortCases, async ({ problem, chosen }) => {
				const reply = await withGuard(problem, (guard) => guard.generate(options(problem, chosen)));
				const tokens = decidedTokens(problem, reply);
				expect(reply.outcome).not.toBe("unguarded");
				expect(reply.safety.cost).toBeLessThanOrEqual(problem.budget);
				expect(reply.safety.cost).toBeCloseTo(costOf(problem, tokens), 9);
				expect(reply.safety.z).toHaveLength(tokens.length + 1);
				const logP = logProbabilities(problem.model.logits);
				const likelihoods = tokens.map((token, t) => logP[tokens[t - 1] ?? promptToken]?.[token] as number);
				expect(reply.logLikelihoods).toHaveLength(tokens.length);
				for (const [t, one] of likelihoods.entries()) expect(reply.logLikelihoods[t]).toBeCloseTo(one, 4);
				reply.safety.z.forEach((z, t) => {
					const spent = costOf(problem, tokens.slice(0, t));
					expect(z).toBeCloseTo((problem.budget - spent) / problem.discount ** t, 8);
				});
				if (reply.outcome === "refused") expect(reply.text).toBe("");
				expect(reply.usage.generatedTokens).toBeLessThanOrEqual(chosen.maxGeneratedTokens);
			}),
			runs,
		);
	});

	test("every streamed text is a prefix of the result and within budget as it stands", async () => {
		await fc.assert(
			fc.asyncProperty(shortCases, async ({ problem, chosen }) => {
				await withGuard(problem, async (guard) => {
					const stream = guard.stream(options(problem, chosen));
					const streamed: string[] = [];
					for await (const piece of stream) streamed.push(piece.text);
					const reply = await stream.reply;
					expect(streamed.join("")).toBe(reply.text);
					expect(streamed).not.toContain("");
					streamed.forEach((_, i) => {
						const prefix = streamed.slice(0, i + 1).join("");
						expect(costOf(problem, textToTokens(problem, prefix))).toBeLessThanOrEqual(problem.budget + 1e-9);
					});
					if (reply.outcome === "truncated") expect(reply.text).not.toBe("");
				});
			}),
			runs,
		);
	});

	test("the same seed gives the same result, however many sequences the decoder has", async () => {
		await fc.assert(
			fc.asyncProperty(shortCases, fc.integer({ min: 3, max: 9 }), async ({ problem, chosen }, maxSequences) => {
				const run = async (p: Problem) => {
					const { timings: _, usage, ...reply } = await withGuard(p, (guard) => guard.generate(options(p, chosen)));
					return { ...reply, generatedTokens: usage.generatedTokens };
				};
				const reply = await run(problem);
				expect(await run(problem)).toEqual(reply);
				const inWaves = await run({ ...problem, model: { ...problem.model, maxSequences } });
				expect(inWaves).toEqual(reply);
			}),
			runs,
		);
	});

	test("a larger compute limit never turns an answer into a refusal", async () => {
		await fc.assert(
			fc.asyncProperty(shortCases, fc.integer({ min: 1, max: 300 }), async ({ problem, chosen }, more) => {
				await withGuard(problem, async (guard) => {
					const small = await guard.generate(options(problem, chosen));
					const larger = { ...chosen, maxGeneratedTokens: chosen.maxGeneratedTokens + more };
					const large = await guard.generate(options(problem, larger));
					if (small.outcome !== "refused") expect(large.outcome).not.toBe("refused");
				});
			}),
			runs,
		);
	});
});

test("rewards and log-likelihoods of unguarded strategies are those of the response", async () => {
	const strategy = fc.constantFrom("sample" as const, "bestOfN" as const, "beam" as const);
	await fc.assert(
		fc.asyncProperty(problems({ maxVocabulary: 5, maxLength: 8 }), strategy, fc.nat(), async (problem, name, seed) => {
			const { model, tokenCosts, budget, discount, maxTokens } = problem;
			await using guard = await InferenceGuard.load({ model, cost: { tokenCosts }, budget, discount });
			const reply = await guard.generate({
				prompt: [promptToken],
				strategy: name,
				maxTokens,
				seed,
				blockLength: name === "beam" ? 2 : undefined,
			});
			const tokens = decidedTokens(problem, reply);
			const logP = logProbabilities(model.logits);
			const sum = tokens.reduce(
				(total, token, t) => total + (logP[t === 0 ? promptToken : (tokens[t - 1] as number)]?.[token] as number),
				0,
			);
			expect(reply.outcome).toBe("unguarded");
			expect(reply.logLikelihood).toBeCloseTo(sum / tokens.length, 4);
			expect(reply.reward).toBeCloseTo(sum / tokens.length, 4);
			expect(reply.safety.cost).toBeCloseTo(costOf(problem, tokens), 9);
		}),
		runs,
	);
});
