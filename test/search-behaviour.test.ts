import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type GenerateOptions, InferenceGuard, type LoadOptions, type TabularModel } from "../lib/index.js";
import { constrainedOptimum, logProbabilities, problems } from "./tabular.js";

/** A model over letters whose next-token probabilities are given as a table. */
function letters(table: Record<string, Record<string, number>>, extra: Partial<TabularModel> = {}): TabularModel & { ends: number[] } {
	const pieces = Object.keys(table);
	const logits = pieces.map((last) => pieces.map((next) => Math.log(table[last]?.[next] ?? 1e-9)));
	return { pieces, logits, ends: [], ...extra };
}

const costOf = (model: TabularModel, costs: Record<string, number>) => ({ tokenCosts: model.pieces.map((piece) => costs[piece] ?? 0) });

async function generate(load: LoadOptions, options: GenerateOptions) {
	await using guard = await InferenceGuard.load(load);
	return await guard.generate(options);
}

const prompt = [0];

describe("sampling", () => {
	const model = letters({ a: { a: 0.5, b: 0.3, c: 0.15, d: 0.05 }, b: {}, c: {}, d: {} });
	const draws = 2000;

	/** Pearson's chi-square statistic of the first token against expected probabilities. */
	async function chiSquare(options: Partial<GenerateOptions>, expected: number[]) {
		await using guard = await InferenceGuard.load({ model });
		const counts = expected.map(() => 0);
		for (let seed = 0; seed < draws; seed++) {
			const { tokens } = await guard.generate({ prompt, strategy: "sample", maxTokens: 1, seed, ...options } as GenerateOptions);
			counts[tokens[0] as number]!++;
		}
		return expected.reduce((sum, p, i) => {
			if (p === 0) expect(counts[i]).toBe(0);
			return p === 0 ? sum : sum + ((counts[i] as number) - draws * p) ** 2 / (draws * p);
		}, 0);
	}

	const critical = 16.27; // 3 degrees of freedom, p = 0.001; the seeds are fixed

	test("sampling follows softmax(logits / temperature)", async () => {
		expect(await chiSquare({}, [0.5, 0.3, 0.15, 0.05])).toBeLessThan(critical);
		const heated = [0.5, 0.3, 0.15, 0.05].map((p) => p ** 0.5);
		const total = heated.reduce((a, b) => a + b);
		const expected = heated.map((p) => p / total);
		expect(await chiSquare({ temperature: 2 }, expected)).toBeLessThan(critical);
	});

	test("top-k, top-p and min-p keep what they say", async () => {
		expect(await chiSquare({ topK: 2 }, [0.5 / 0.8, 0.3 / 0.8, 0, 0])).toBeLessThan(critical);
		expect(await chiSquare({ topP: 0.7 }, [0.5 / 0.8, 0.3 / 0.8, 0, 0])).toBeLessThan(critical);
		expect(await chiSquare({ minP: 0.2 }, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0])).toBeLessThan(critical);
	});

	test("a nucleus may hold most of a large vocabulary", async () => {
		const size = 700;
		const flat = {
			pieces: Array.from({ length: size }, (_, i) => `${i} `),
			logits: Array.from({ length: size }, () => Array(size).fill(0)),
		};
		const { tokens } = await generate({ model: flat }, { prompt, strategy: "sample", maxTokens: 300, topP: 0.9, seed: 1 });
		expect(Math.max(...tokens)).toBeGreaterThan(0.8 * size);
		expect(Math.max(...tokens)).toBeLessThan(0.91 * size);
	});

	test("temperature 0 is greedy", async () => {
		const { text } = await generate({ model }, { prompt, strategy: "sample", temperature: 0, maxTokens: 3 });
		expect(text).toBe("aaa");
	});
});

describe("steering", () => {
	test("retries with a diversity penalty find what plain retries miss", async () => {
		const model = letters({ a: { a: 1e-4, b: 1, c: 1e-4 }, b: {}, c: {} });
		const load = { model, cost: costOf(model, { b: 1 }), budget: 0 };
		const options = { prompt, maxTokens: 1, candidates: 8, blockLength: 1, startCandidates: 8, seed: 3, maxGeneratedTokens: 48 };
		expect((await generate(load, { ...options, diversityPenalty: 0 })).outcome).toBe("refused");
		const steered = await generate(load, { ...options, diversityPenalty: 2 });
		expect(steered.outcome).toBe("steered");
		expect(steered.safety.rounds).toBeGreaterThan(1);
		expect(steered.safety.cost).toBe(0);
	});

	test("a dead end is left by backtracking to a reserve", async () => {
		// both ways on from b are over budget, but b looks better than c
		const model = letters({ a: { b: 0.7, c: 0.3 }, b: { d: 1 }, c: { c: 1 }, d: { d: 1 } });
		const reply = await generate(
			{ model, cost: costOf(model, { a: 1, d: 1 }), budget: 0 },
			{ prompt, maxTokens: 3, candidates: 2, beams: 1, retries: 0, expansion: "token" },
		);
		expect(reply.text).toBe("ccc");
		expect(reply.safety.backtracks).toBeGreaterThan(0);
		expect(reply.outcome).toBe("steered");
	});

	test("candidates at temperature 0 or top-k 1 begin with different tokens, best first", async () => {
		const model = letters({ a: { b: 0.5, c: 0.3, d: 0.2 }, b: { b: 1 }, c: { c: 1 }, d: { d: 1 } });
		for (const sampling of [{ temperature: 0 }, { topK: 1 }]) {
			const { trace = [] } = await generate(
				{ model, cost: costOf(model, {}) },
				{ prompt, maxTokens: 2, blockLength: 2, candidates: 3, startCandidates: 3, beams: 1, seed: 1, trace: true, ...sampling },
			);
			expect(trace.map(({ text }) => text)).toEqual(["bb", "cc", "dd"]);
		}
	});

	test("greedy blocks of one token reach every response, and try none twice", async () => {
		const greedy = fc.record({
			candidates: fc.integer({ min: 1, max: 4 }),
			blockLength: fc.constant(1),
			retries: fc.integer({ min: 0, max: 2 }),
		});
		await fc.assert(
			fc.asyncProperty(problems({ maxVocabulary: 3, maxLength: 3 }), greedy, async (problem, search) => {
				const { model, tokenCosts, budget, discount, maxTokens } = problem;
				await using guard = await InferenceGuard.load({ model, cost: { tokenCosts }, budget, discount });
				const reply = await guard.generate({ prompt, maxTokens, temperature: 0, trace: true, ...search, maxGeneratedTokens: 10_000 });
				expect(reply.outcome === "refused").toBe(constrainedOptimum(problem) === undefined);
				const paths = (reply.trace ?? []).map(({ parent, text, z }) => JSON.stringify([parent, text, z.length]));
				expect(new Set(paths).size).toBe(paths.length);
			}),
			{ numRuns: 80 },
		);
	});

	test("candidates begin with other tokens where draws repeat themselves", async () => {
		const model = letters({ a: { b: 1, c: 1e-12 }, b: { b: 1 }, c: { c: 1 } });
		const load = { model, cost: costOf(model, { b: 1 }), budget: 0 };
		const reply = await generate(load, { prompt, maxTokens: 8, candidates: 8, diversityPenalty: 0, retries: 0, seed: 1 });
		expect(reply).toMatchObject({ text: "cccccccc", outcome: "steered" });
	});

	test("a block that repeats a draw has room for what was decoded twice", async () => {
		const model: TabularModel = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]], oracle: true }; // biome-ignore format: a table
		const load = { model, cost: { tokenCosts: [2, 0.5] }, budget: 3, discount: 0.9 };
		const search = { candidates: 9, beams: 1, blockLength: 1, retries: 0, satisfiedPSafe: 1, pSafeThreshold: 0, diversityPenalty: 0 };
		for (let seed = 0; seed < 50; seed++) {
			const reply = await generate(load, { prompt, maxTokens: 5, temperature: 0.5, estimator: "critic", seed, ...search });
			expect(reply.safety.cost).toBeLessThanOrEqual(3);
		}
	});

	test("the diversity penalty works at any temperature", async () => {
		const model = letters({ a: { b: 0.6, a: 0.4 }, b: { b: 0.9, a: 0.1 } });
		const load = { model, cost: costOf(model, { b: 1 }), budget: 0 };
		for (const temperature of [0.01, 0.1, 1]) {
			const options = { prompt, maxTokens: 2, blockLength: 2, candidates: 2, startCandidates: 2, maxBacktracks: 0, seed: 1 };
			const reply = await generate(load, { ...options, temperature, retries: 4, diversityPenalty: 2 });
			expect(reply).toMatchObject({ text: "aa", outcome: "steered" });
		}
	});

	test("the exact critic avoids the dead end without backtracking", async () => {
		const model = letters({ a: { b: 0.7, c: 0.3 }, b: { d: 1 }, c: { c: 1 }, d: { d: 1 } }, { oracle: true });
		const reply = await generate(
			{ model, cost: costOf(model, { d: 1 }), budget: 0 },
			{ prompt, maxTokens: 3, candidates: 8, beams: 1, blockLength: 1, retries: 0, seed: 1 },
		);
		expect(reply.text).toBe("ccc");
		expect(reply.safety.backtracks).toBe(0);
		expect(reply.safety.pSafe.map(({ position }) => position)).toEqual([1, 2]);
		expect(reply.safety.pSafe[0]?.pSafe).toBeCloseTo(1, 4);
	});

	test("the guard gives plain sampling's response where that stays within budget", async () => {
		await fc.assert(
			fc.asyncProperty(
				problems({ maxVocabulary: 4, maxLength: 12 }),
				fc.nat(),
				fc.integer({ min: 1, max: 4 }),
				async (problem, seed, blockLength) => {
					const { model, tokenCosts, budget, discount, maxTokens } = problem;
					await using guard = await InferenceGuard.load({ model, cost: { tokenCosts }, budget, discount });
					const plain = await guard.generate({ prompt, seed, maxTokens, strategy: "sample" });
					fc.pre(plain.safety.constraints.every(({ cost }) => cost <= budget));
					const { tokens, usage, outcome } = await guard.generate({ prompt, seed, maxTokens, blockLength, candidates: 8 });
					expect({ tokens, outcome }).toEqual({ tokens: plain.tokens, outcome: "safe" });
					expect(usage.generatedTokens).toBe(plain.usage.generatedTokens);
				},
			),
			{ numRuns: 60 },
		);
	});

	test("a search without violations is safe, with one round per block", async () => {
		const model = letters({ a: { a: 1 }, b: {} });
		const options = { prompt, maxTokens: 4, blockLength: 2, candidates: 4 };
		const narrow = await generate({ model, cost: costOf(model, { b: 1 }) }, options);
		const wide = await generate({ model, cost: costOf(model, { b: 1 }) }, { ...options, startCandidates: 4 });
		for (const reply of [narrow, wide]) {
			expect(reply).toMatchObject({ outcome: "safe", finishReason: "length", text: "aaaa" });
			expect(reply.safety).toMatchObject({ cost: 0, budget: 0, z: [0, 0, 0, 0, 0], rounds: 2, backtracks: 0 });
		}
		expect(narrow.usage).toMatchObject({ promptTokens: 1, emittedTokens: 4, generatedTokens: 4 });
		expect(wide.usage).toMatchObject({ promptTokens: 1, emittedTokens: 4, generatedTokens: 16 });
	});

	test("a block widens until enough candidates pass, and keeps the same share", async () => {
		const model = letters({ a: { b: 0.5, c: 0.5 }, b: { b: 1 }, c: { c: 1 } });
		const widths = (start: number, growth: number, candidates: number): number[] =>
			start >= candidates ? [candidates] : [start, ...widths(start * growth, growth, candidates)];
		await fc.assert(
			fc.asyncProperty(
				fc.record({ candidates: fc.integer({ min: 1, max: 24 }), beams: fc.integer({ min: 1, max: 6 }), seed: fc.nat() }),
				fc.record({ startCandidates: fc.integer({ min: 1, max: 5 }), candidateGrowth: fc.integer({ min: 2, max: 4 }) }),
				async (search, { startCandidates, candidateGrowth }) => {
					fc.pre(startCandidates <= search.candidates && search.beams <= search.candidates);
					const width = { startCandidates, candidateGrowth, ...search };
					const { safety, trace = [] } = await generate(
						{ model, cost: costOf(model, { b: 1 }), budget: 0 },
						{ prompt, maxTokens: 2, blockLength: 1, retries: 0, maxBacktracks: 0, trace: true, ...width },
					);
					const first = trace.filter(({ position }) => position === 0);
					const accepted = (n: number) => first.slice(0, n).filter(({ text }) => text === "c").length;
					const survivors = (n: number) => Math.max(1, Math.floor((search.beams * n) / search.candidates));
					const schedule = widths(startCandidates, candidateGrowth, search.candidates);
					const rounds = 1 + schedule.findIndex((n) => n === search.candidates || accepted(n) >= survivors(n));
					const n = schedule[rounds - 1] as number;
					expect(first.length).toBe(n);
					expect(first.filter(({ pruned }) => pruned === "notSelected").length).toBe(accepted(n) - Math.min(accepted(n), survivors(n)));
					if (accepted(n) === 0) expect(safety.rounds).toBe(rounds);
				},
			),
			{ numRuns: 60 },
		);
	});

	test("a block widens as long as the critic is less certain than asked", async () => {
		const model = letters({ a: { b: 1 }, b: { b: 0.8, d: 0.2 }, d: { d: 1 } }, { oracle: true });
		const sampled = async (satisfiedPSafe: number) => {
			const { trace = [] } = await generate(
				{ model, cost: costOf(model, { d: 1 }), budget: 0 },
				{ prompt, maxTokens: 2, blockLength: 1, candidates: 8, beams: 1, satisfiedPSafe, estimator: "critic", seed: 1, trace: true },
			);
			const first = trace.filter(({ position }) => position === 0);
			for (const { pSafe } of first) expect(pSafe).toBeCloseTo(0.8, 3);
			return first.length;
		};
		expect(await sampled(0.75)).toBe(1);
		expect(await sampled(0.85)).toBe(8);
	});

	test("paths with a pSafe above η survive; without one, the K with the highest do", async () => {
		// b ends safe with 0.6, c with 0.2; the model's own value prefers c
		const model = letters({ a: { b: 0.1, c: 0.9 }, b: { b: 0.6, d: 0.4 }, c: { c: 0.2, d: 0.8 }, d: { d: 1 } }, { oracle: true });
		const goesOn = async (options: Partial<GenerateOptions>) => {
			const { trace = [] } = await generate({ model, cost: costOf(model, { d: 1 }), budget: 0 }, {
				prompt,
				maxTokens: 2,
				blockLength: 1,
				candidates: 64,
				beams: 1,
				estimator: "critic",
				seed: 1,
				trace: true,
				...options,
			} as GenerateOptions);
			const [parent] = trace.filter(({ position }) => position === 1).map(({ parent }) => parent);
			return trace[parent as number]?.text;
		};
		for (const [options, first] of [
			[{ startCandidates: 64, pSafeThreshold: 0.1 }, "c"], // both pass; by value
			[{ startCandidates: 64 }, "b"], // η is 0.5
			[{ startCandidates: 64, pSafeThreshold: 0.9 }, "b"], // none passes; by pSafe
			[{ satisfiedPSafe: 0.5 }, "b"], // a block that widens: η is 0.3
			[{ satisfiedPSafe: 0.1, seed: 2 }, "c"], // what satisfies needs no others beside it
		] as [Partial<GenerateOptions>, string][]) {
			expect(await goesOn(options)).toBe(first);
		}
	});

	test("the exact critic answers a prompt that plain sampling hardly ever answers", async () => {
		// a budget of 1 is spent by the first letter; each further one is free with 0.15, so that pSafe is below η nearly everywhere
		const model = letters({ a: { b: 1 }, b: { b: 0.15, c: 0.85 }, c: { b: 0.15, c: 0.85 } }, { oracle: true });
		const load = { model, cost: costOf(model, { c: 1 }), budget: 0 };
		for (let seed = 0; seed < 20; seed++) {
			const options = { prompt, maxTokens: 6, blockLength: 1, candidates: 32, retries: 0, maxBacktracks: 0, seed };
			expect((await generate(load, { ...options, estimator: "critic" })).text).toBe("bbbbbb");
		}
	});

	test("an end-of-generation token ends the response and is no part of its text", async () => {
		const model = letters({ a: { b: 1 }, b: { "": 1 }, "": {} }, { ends: [2] });
		const reply = await generate({ model, cost: costOf(model, {}) }, { prompt, maxTokens: 8, candidates: 2 });
		expect(reply).toMatchObject({ text: "b", finishReason: "stop", tokens: [1] });
	});
});

describe("objectives", () => {
	const model = letters({ a: { b: 0.8, c: 0.2 }, b: { b: 1 }, c: { c: 1 } });
	const load = { model, cost: costOf(model, { b: 1 }), budget: 0 };
	const options = { prompt, maxTokens: 1, candidates: 16, beams: 1, strategy: "beam" as const, seed: 5 };

	test("the objective reward ignores the cost, and the outcome is unguarded", async () => {
		expect(await generate(load, options)).toMatchObject({ text: "b", outcome: "unguarded", safety: { cost: 1 } });
	});
	test("the objective lagrangian trades cost against reward", async () => {
		expect((await generate(load, { ...options, objective: "lagrangian", lambda: 10 })).text).toBe("c");
		expect((await generate(load, { ...options, objective: "lagrangian", lambda: 0.1 })).text).toBe("b");
	});
	test("the objective cost takes the cheapest response", async () => {
		expect((await generate(load, { ...options, objective: "cost" })).text).toBe("c");
	});
	test("the objective augmented stays within budget", async () => {
		expect(await generate(load, { ...options, objective: "augmented" })).toMatchObject({ text: "c", outcome: "steered" });
	});
});

describe("the compute limit", () => {
	const model = letters({ a: { a: 0.5, b: 0.5 }, b: { a: 0.5, b: 0.5 } });

	test("an unguarded strategy returns what it has at the compute limit", async () => {
		const reply = await generate({ model }, { prompt, strategy: "bestOfN", candidates: 4, maxTokens: 10, maxGeneratedTokens: 35, seed: 1 });
		expect(reply).toMatchObject({ outcome: "unguarded", finishReason: "length", reward: null });
		expect(reply.text).toHaveLength(8);
	});

	test("the guard spends its compute limit before it refuses", async () => {
		const load = { model, cost: costOf(model, { a: 1, b: 1 }), budget: 0 };
		const options = { prompt, candidates: 4, startCandidates: 4, beams: 1, blockLength: 16, maxTokens: 16, seed: 1 };
		const reply = await generate(load, { ...options, maxGeneratedTokens: 41 });
		expect(reply.outcome).toBe("refused");
		expect(reply.usage.generatedTokens).toBe(41);
	});

	test("a truncated reply carries the log-likelihood of the emitted text", async () => {
		await using guard = await InferenceGuard.load({ model, cost: costOf(model, { b: 1 }), budget: 1 });
		const stream = guard.stream({ prompt, candidates: 1, blockLength: 1, retries: 0, maxTokens: 8, maxGeneratedTokens: 3, seed: 1 });
		const reply = await stream.reply;
		expect(reply.outcome).toBe("truncated");
		expect(reply.logLikelihood).toBeCloseTo(Math.log(0.5), 5);
	});
});

describe("constraints", () => {
	const model = letters({ a: { b: 0.4, c: 0.4, d: 0.2 }, b: { b: 1 }, c: { c: 1 }, d: { d: 1 } });

	test("constraints must all hold, each with its own budget", async () => {
		const constraints = [{ cost: costOf(model, { b: 1 }) }, { cost: costOf(model, { c: 1, d: 0.5 }), budget: 1 }];
		const reply = await generate({ model, constraints }, { prompt, maxTokens: 2, candidates: 32, seed: 1 });
		expect(reply.text).toBe("dd");
		expect(reply.safety.constraints).toEqual([
			{ cost: 0, budget: 0, z: [0, 0, 0] },
			{ cost: 1, budget: 1, z: [1, 0.5, 0] },
		]);
	});

	test("signed costs refill the budget where the floor is lifted and the end decides", async () => {
		const swing = letters({ a: { b: 1 }, b: { c: 1 }, c: { c: 1 } });
		const load = { model: swing, cost: costOf(swing, { b: 1, c: -1 }), budget: 0 };
		const options = { prompt, maxTokens: 2, candidates: 2, maxGeneratedTokens: 6 }; // before draws repeat themselves
		expect((await generate(load, options)).outcome).toBe("refused");
		expect((await generate({ ...load, costFloor: null }, options)).outcome).toBe("refused");
		const settled = await generate({ ...load, costFloor: null, criterion: "terminal" }, options);
		expect(settled).toMatchObject({ text: "bc", safety: { cost: 0, z: [0, -1, 0] } });
	});

	test("a lexicon as reward prefers its words", async () => {
		const reply = await generate(
			{ model, cost: costOf(model, {}), reward: { lexicon: [{ term: "*d*", weight: 2 }] } },
			{ prompt, maxTokens: 1, candidates: 32, seed: 1 },
		);
		expect(reply).toMatchObject({ text: "d", reward: 2 });
	});
});

test("more candidates than sequences are served in waves", async () => {
	const model = letters({ a: { a: 0.5, b: 0.5 }, b: { a: 0.5, b: 0.5 } });
	const reply = await generate(
		{ model, cost: costOf(model, { b: 1 }) },
		{ prompt, maxTokens: 8, blockLength: 4, candidates: 1024, seed: 1 },
	);
	expect(reply.text).toBe("aaaaaaaa");
	expect(logProbabilities(model.logits)[0]?.[0]).toBeCloseTo(reply.logLikelihood, 5);
});
