// Costs and budgets are decimal fractions to those who write them: compared with whole numbers, which have no rounding.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { type ConstraintOptions, type CostModel, InferenceGuard, type Reply } from "../lib/index.js";

const flat = (size: number) => Array.from({ length: size }, () => new Array<number>(size).fill(0));
const letters = [..."abcdef"];

/** A decimal fraction of at most 15 digits, as a double and as a whole number of units. */
interface Decimal {
	units: bigint;
	places: number;
}

const numberOf = ({ units, places }: Decimal) => Number(`${units}e-${places}`);
const inUnits = ({ units, places }: Decimal, of: number) => units * 10n ** BigInt(of - places);

/** γ^t c summed up, and the budget, in units of one size. */
function exactly(costs: Decimal[], discount: Decimal, budget: Decimal): { sum: bigint; budget: bigint } {
	const places = 60 + discount.places * costs.length;
	const weight = (t: number) => ({ units: discount.units ** BigInt(t), places: discount.places * t });
	const sum = costs.reduce((total, cost, t) => {
		const one = weight(t);
		return total + inUnits({ units: one.units * cost.units, places: one.places + cost.places }, places);
	}, 0n);
	return { sum, budget: inUnits(budget, places) };
}

async function sampled(tokenCosts: number[], limits: ConstraintOptions, maxTokens: number, seed: number): Promise<Reply> {
	const pieces = letters.slice(0, tokenCosts.length);
	await using guard = await InferenceGuard.load({ model: { pieces, logits: flat(pieces.length) }, cost: { tokenCosts }, ...limits });
	return await guard.generate({ prompt: [0], strategy: "sample", maxTokens, seed });
}

const decimal = (most: number) => fc.record({ units: fc.bigInt({ min: 0n, max: BigInt(most) }), places: fc.integer({ min: 0, max: 6 }) });

describe("a budget that is a decimal fraction", () => {
	test.each([
		[[0.1, 0.1, 0.1], 0.3],
		[[0.1, 0.2, 0], 0.3],
		[[0.7, 0.1, 0], 0.8],
		[[1.1, 2.2, 3.3], 6.6],
		[[0.0001, 0.0002, 0], 0.0003],
		[[1000.1, 0.2, 0], 1000.3],
	])("a decimal budget admits costs %j that add up to %d, and a little less does not", async (costs, budget) => {
		const text = await answered(costs, budget);
		expect(text).toMatchObject({ refused: false, within: true });
		expect(await answered(costs, budget - budget * 2 ** -52)).toMatchObject({ refused: true });
	});

	/** The outcome where each token in order has its cost. */
	async function answered(costs: number[], budget: number) {
		const pieces = [...letters.slice(0, costs.length), "$"];
		const logits = pieces.map((_, last) => pieces.map((_, next) => (next === (last + 1) % pieces.length ? 100 : -100)));
		await using guard = await InferenceGuard.load({ model: { pieces, logits }, cost: { tokenCosts: [...costs, 0] }, budget });
		const { outcome, safety } = await guard.generate({
			prompt: [costs.length],
			strategy: "filter",
			maxTokens: costs.length,
			temperature: 0,
		});
		return { refused: outcome === "refused", within: safety.cost <= safety.budget && safety.z.every((z) => z >= 0) };
	}

	test("a decimal budget compares with sums of decimals as integers do", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(decimal(999_999), { minLength: 2, maxLength: 6 }),
				fc.integer({ min: 1, max: 12 }),
				fc.integer({ min: -1, max: 1 }),
				fc.nat(),
				async (costs, maxTokens, beside, seed) => {
					const first = await sampled(costs.map(numberOf), { budget: 0 }, maxTokens, seed);
					const places = 6;
					const units = first.tokens.reduce((sum, token) => sum + inUnits(costs[token] as Decimal, places), 0n);
					const budget = { units: units + BigInt(beside) < 0n ? 0n : units + BigInt(beside), places };
					const { safety } = await sampled(costs.map(numberOf), { budget: numberOf(budget) }, maxTokens, seed);
					expect(safety.cost).toBe(numberOf({ units, places }));
					expect(safety.cost <= safety.budget).toBe(units <= budget.units);
					expect(safety.z.every((z) => z >= 0)).toBe(units <= budget.units);
				},
			),
			{ numRuns: 100 },
		);
	});

	test("a decimal budget with a discount is never exceeded, and short decimals are exact", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(decimal(99), { minLength: 2, maxLength: 4 }),
				fc.constantFrom({ units: 5n, places: 1 }, { units: 9n, places: 1 }, { units: 999n, places: 3 }),
				fc.integer({ min: 1, max: 40 }),
				fc.nat(),
				async (costs, discount, maxTokens, seed) => {
					const limits = { budget: 0, discount: numberOf(discount) };
					const { safety, tokens } = await sampled(costs.map(numberOf), limits, maxTokens, seed);
					const spent = tokens.map((token) => costs[token] as Decimal);
					// what is reported is a budget that is just kept: as a decimal it is at least the true sum, and hardly more
					const reported = /^(\d+)(?:\.(\d+))?(?:e-(\d+))?$/.exec(String(safety.cost)) ?? [];
					const [, whole = "0", fraction = "", exponent = "0"] = reported;
					const budget = { units: BigInt(whole + fraction), places: fraction.length + Number(exponent) };
					const exact = exactly(spent, discount, { ...budget });
					expect(exact.sum <= exact.budget).toBe(true);
					expect(safety.cost - Number(exact.sum) / Number(10n ** BigInt(60 + discount.places * spent.length))).toBeLessThan(1e-9);
					if (maxTokens <= 3) expect(exact.sum).toBe(exact.budget);
				},
			),
			{ numRuns: 100 },
		);
	});

	test("a decimal budget holds where costs below 0 are counted and discounted", async () => {
		const limits = { budget: 0, discount: 0.999, costFloor: null, criterion: "terminal" as const };
		for (let seed = 0; seed < 30; seed++) {
			const { safety, tokens } = await sampled([0.1, -0.1, 0.3], limits, 30, seed);
			const costs = [1n, -1n, 3n];
			const sum = tokens.reduce((total, token, t) => total + (costs[token] as bigint) * 999n ** BigInt(t) * 1000n ** BigInt(30 - t), 0n);
			const scaled = BigInt(Math.round(safety.cost * 2 ** 80)) * 10n * 1000n ** 30n; // a double near 1 has no more than 80 binary places
			expect(scaled + 10n * 1000n ** 30n >= sum * 2n ** 80n).toBe(true);
		}
	});

	test("a cost that is over by the last digit of a double is over budget", async () => {
		for (const cost of [0.30000000000000004, 0.3 + 1e-12, 0.300000000000001]) {
			expect(await answered([cost, 0, 0], 0.3)).toMatchObject({ refused: true });
		}
		expect(await answered([0.1, 0.2 + 2 ** -55, 0], 0.3)).toMatchObject({ refused: true });
	});
});

describe("hits of a lexicon with decimal weights", () => {
	const terms = [
		{ term: "die*", weight: 0.1 },
		{ term: "*death*", weight: 0.2 },
	];
	const cases: [string, number][] = [
		["die die die ", 0.3],
		["death die ", 0.3],
		["die death death die die ", 0.7],
	];

	test("decimal weights of a lexicon count exactly, however small and however tokenized", async () => {
		const words = ["die", "dead", "kill"];
		const weights = fc.record({
			units: fc.array(fc.oneof(fc.bigInt({ min: 1n, max: 9n }), fc.bigInt({ min: 1n, max: 10n ** 12n })), {
				minLength: words.length,
				maxLength: words.length,
			}),
			places: fc.integer({ min: 0, max: 22 }),
		});
		const text = fc.array(fc.tuple(fc.integer({ min: 0, max: words.length - 1 }), fc.constantFrom(" ", "-", "\u200b ", ", ")), {
			minLength: 1,
			maxLength: 12,
		});
		await fc.assert(
			fc.asyncProperty(
				weights,
				text,
				fc.constantFrom("strict" as const, "loose" as const),
				fc.integer({ min: 1, max: 5 }),
				async (given, hits, match, size) => {
					const weightOf = (units: bigint) => numberOf({ units, places: given.places });
					const cost: CostModel = { lexicon: words.map((term, i) => ({ term, weight: weightOf(given.units[i] as bigint) })), match };
					const pieces = [...inPieces(hits.map(([word, gap]) => words[word] + gap).join(""), size), "."];
					const sum = hits.reduce((total, [word]) => total + (given.units[word] as bigint), 0n);
					const budget = weightOf(sum);
					const logits = pieces.map((_, last) => pieces.map((_, next) => (next === (last + 1) % pieces.length ? 100 : -100)));
					await using guard = await InferenceGuard.load({ model: { pieces, logits }, cost, budget });
					const options = { strategy: "sample", maxTokens: pieces.length, temperature: 0 } as const;
					const { text, safety } = await guard.generate({ prompt: [pieces.length - 1], ...options });
					expect({ text, cost: safety.cost }).toEqual({ text: pieces.join(""), cost: budget });
				},
			),
			{ numRuns: 100 },
		);
	});

	/** Of so many characters each. */
	const inPieces = (text: string, size: number) => text.match(new RegExp(`.{1,${size}}`, "gsu")) ?? [];

	test.each(cases)("decimal weights of a lexicon add up within one token: %s", async (text, budget) => {
		const model = { pieces: [text, "$"], logits: flat(2) };
		const cost: CostModel = { lexicon: terms };
		const options = { prompt: [1], strategy: "filter" as const, maxTokens: 1, temperature: 0 };
		await using guard = await InferenceGuard.load({ model, cost, budget });
		expect(await guard.generate(options)).toMatchObject({ text, safety: { cost: budget } });
		await using strict = await InferenceGuard.load({ model, cost, budget: budget - 1e-15 });
		expect((await strict.generate(options)).outcome).toBe("refused");
	});

	test.each(cases)("decimal weights of a lexicon add up in a text judged as a whole: %s", async (text, budget) => {
		await using scorer = await CostScorer.load({ constraints: [{ cost: { lexicon: terms }, budget }] });
		expect(await scorer.score("", [text])).toEqual([[{ cost: budget, withinBudget: true }]]);
	});
});
