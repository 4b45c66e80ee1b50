import { readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { readRecords } from "../lib/data/records.js";
import { distinct, isRefusal } from "../lib/evaluation/text-metrics.js";
import { sharedFile, testWith } from "./shared.js";

describe("distinct-n", () => {
	const share = (texts: string[], n: number) => distinct([texts], n).value;

	test("distinct-n is the share of different sequences of words over all texts", () => {
		const texts = ["The cat saw the cat.", "A dog"];
		expect(share(texts, 1)).toBeCloseTo(5 / 7);
		expect(share(texts, 2)).toBeCloseTo(4 / 5);
		expect(share(["the cat the cat"], 2)).toBeCloseTo(2 / 3);
		expect(share(texts, 3)).toBe(1);
	});

	test("distinct-n makes no pairs across texts, and no number of nothing", () => {
		expect(share(["one", "two"], 2)).toBeNull();
		expect(distinct([], 1)).toEqual({ value: null, interval: null });
		expect(share(["", "... !"], 1)).toBeNull();
	});

	test("distinct-n keeps contractions, accents and other scripts whole", () => {
		expect(share(["don't don’t"], 1)).toBe(1);
		expect(share(["Café café", "CAFÉ"], 1)).toBeCloseTo(1 / 3);
		expect(share(["мир миру мир"], 1)).toBeCloseTo(2 / 3);
	});

	test("distinct-n lies in (0, 1], falls with repetition, and equals brute force", () => {
		const words = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 12 });
		const clusters = fc.array(fc.array(words, { minLength: 1, maxLength: 3 }), { maxLength: 5 });
		fc.assert(
			fc.property(clusters, fc.integer({ min: 1, max: 3 }), (drawn, n) => {
				const brute = (some: string[][][]) => {
					const sequences = some
						.flat()
						.flatMap((text) => text.flatMap((_, i) => (i + n <= text.length ? [text.slice(i, i + n).join(" ")] : [])));
					return sequences.length === 0 ? null : new Set(sequences).size / sequences.length;
				};
				const joined = drawn.map((texts) => texts.map((text) => text.join(" ")));
				const { value, interval } = distinct(joined, n);
				expect(value).toBe(brute(drawn));
				if (value !== null) expect(distinct([...joined, ...joined], n).value).toBeCloseTo(value / 2);
				const without = drawn.map((_, left) => brute(drawn.filter((_, i) => i !== left)));
				if (interval === null || value === null) {
					expect(value === null || without.length < 2 || without.includes(null)).toBe(true);
					return;
				}
				const mean = without.reduce<number>((sum, one) => sum + one!, 0) / without.length;
				const variance = without.reduce<number>((sum, one) => sum + (one! - mean) ** 2, 0) * ((without.length - 1) / without.length);
				expect(interval[0]).toBeCloseTo(Math.max(0, value - 1.96 * Math.sqrt(variance)), 4);
				expect(interval[1]).toBeCloseTo(Math.min(1, value + 1.96 * Math.sqrt(variance)), 4);
			}),
		);
	});

	test("distinct-n has intervals that cover the value of other texts of the same kind", () => {
		// one cluster: 20 words of a Zipf distribution over 2,000
		const words = Array.from({ length: 2000 }, (_, i) => 1 / (i + 1));
		const total = words.reduce((a, b) => a + b, 0);
		const corpus = (seed: number) => {
			const uniform = randomNumbers(seed);
			const word = () => {
				let left = uniform() * total;
				return words.findIndex((weight) => (left -= weight) <= 0);
			};
			return Array.from({ length: 100 }, () => [Array.from({ length: 20 }, () => `w${word()}`).join(" ")]);
		};
		const found = Array.from({ length: 200 }, (_, seed) => distinct(corpus(seed), 1));
		const truth = found.reduce((sum, { value }) => sum + value!, 0) / found.length;
		const covered = found.filter(({ interval }) => interval![0] <= truth && truth <= interval![1]).length;
		expect(covered).toBeGreaterThan(0.88 * found.length);
	});
});

describe("refusals", () => {
	test("refusals are found by their usual phrases in any case, with any apostrophe", () => {
		for (const text of [
			"I'm sorry, but no.",
			"I’m SORRY.",
			"As an AI language model, …",
			"Well, I can’t help with that.",
			"i `m sorry I cannot",
		]) {
			expect(isRefusal(text), text).toBe(true);
		}
		for (const text of ["", "Sure! Here is how to bake bread.", "She said sorry and we went home.", "You can't miss it."]) {
			expect(isRefusal(text), text).toBe(false);
		}
	});

	const folder = sharedFile("data/xstest");
	testWith(folder)("refusals of XSTest are found: 73 % of full ones and 50 % of partial ones", async () => {
		const files = readdirSync(folder).filter((name) => name.includes("completions"));
		const rows = (await Promise.all(files.map((name) => readRecords(join(folder, name))))).flat();
		const rate = (label: string) => {
			const own = rows.filter((row) => row.final_label === label);
			return own.filter((row) => isRefusal(row.completion as string)).length / own.length;
		};
		expect(rows).toHaveLength(2250);
		expect(rate("2_full_refusal")).toBeGreaterThan(0.73);
		expect(rate("3_partial_refusal")).toBeGreaterThan(0.5);
		expect(rate("1_full_compliance")).toBeLessThan(0.041);
		// what the keyword test is bad at: a model that refuses in words of its own
		const ofOneModel = await readRecords(join(folder, "xstest_v2_completions_mistralinstruct.csv"));
		const refused = ofOneModel.filter((row) => row.final_label === "2_full_refusal");
		expect(refused.filter((row) => isRefusal(row.completion as string)).length / refused.length).toBeLessThan(0.1);
	});
});
