import stdlibQuantile from "@stdlib/stats-base-dists-beta-quantile";
import fc from "fast-check";
import { jStat } from "jstat";
import { describe, expect, test } from "vitest";
import { betaProbability, betaQuantile } from "../lib/data/beta.js";
import { intervalMethod } from "../lib/data/metrics.js";
import { randomNumbers } from "../lib/data/random.js";
import {
	binomialTail,
	clopperPearsonInterval,
	clopperPearsonUpper,
	fixedSequenceTest,
	meanInterval,
	wilsonInterval,
} from "../lib/data/statistics.js";

const sizes = [1, 2, 3, 7, 10, 59, 100, 299, 1000, 4603, 10_000, 100_000];
const deltas = [0.5, 0.2, 0.05, 0.01, 1e-3, 1e-4, 1e-5, 1e-6];

/** Counts from none to all of `of`, thin in the middle. */
const countsOf = (of: number) => {
	const shares = [0, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.9, 0.999, 1].map((share) => Math.round(share * of));
	return [...new Set([...shares, 1, 2, of - 1].filter((count) => count >= 0 && count <= of))];
};

const cases = sizes.flatMap((of) => countsOf(of).flatMap((count) => deltas.map((delta) => ({ count, of, delta }))));

const relative = (found: number, expected: number) => Math.abs(found / expected - 1);
const worst = (errors: number[]) => errors.reduce((a, b) => (b <= a ? a : b), 0);

describe("beta quantiles", () => {
	test("beta quantiles agree with @stdlib wherever Clopper-Pearson asks", () => {
		const inner = cases.filter(({ count, of }) => count > 0 && count < of);
		const lower = inner.map(({ count, of, delta }) =>
			relative(betaQuantile(delta, count, of - count + 1), stdlibQuantile(delta, count, of - count + 1)),
		);
		// 1 - delta is rounded, which is seen at the smallest deltas
		const upper = inner.map(({ count, of, delta }) =>
			relative(clopperPearsonUpper(count, of, delta), stdlibQuantile(1 - delta, count + 1, of - count)),
		);
		expect(inner.length).toBeGreaterThan(500);
		expect(worst(lower)).toBeLessThan(1e-11);
		expect(worst(upper)).toBeLessThan(1e-10);
	});

	test("beta quantiles agree with jstat where it is accurate", () => {
		const errors = [10, 100, 1000].flatMap((of) =>
			[1, 2, 5].flatMap((count) =>
				[0.5, 0.05, 0.01, 1e-3].map((delta) =>
					relative(clopperPearsonUpper(count, of, delta), jStat.beta.inv(1 - delta, count + 1, of - count)),
				),
			),
		);
		expect(worst(errors)).toBeLessThan(1e-8);
	});

	test("beta quantiles have their closed forms, however small they are", () => {
		for (const n of sizes) {
			for (const delta of deltas) {
				expect(relative(betaQuantile(delta, 1, n), -Math.expm1(Math.log1p(-delta) / n))).toBeLessThan(1e-12);
				expect(relative(betaQuantile(delta, 1, n, "upper"), -Math.expm1(Math.log(delta) / n))).toBeLessThan(1e-12);
				expect(relative(betaQuantile(delta, n, 1), delta ** (1 / n))).toBeLessThan(1e-12);
			}
		}
		expect(relative(betaQuantile(1e-300, 1, 1), 1e-300)).toBeLessThan(1e-12);
		// the arcsine law
		for (const p of [1e-6, 0.01, 0.3, 0.5])
			expect(relative(betaQuantile(p, 0.5, 0.5), Math.sin((Math.PI * p) / 2) ** 2)).toBeLessThan(1e-12);
		expect([0, 1].map((p) => [betaQuantile(p, 3, 4), betaQuantile(p, 3, 4, "upper")])).toEqual([
			[0, 1],
			[1, 0],
		]);
	});

	const parameters = { a: fc.double({ min: 0.5, max: 1e4, noNaN: true }), b: fc.double({ min: 0.5, max: 1e4, noNaN: true }) };

	test("beta quantiles invert the probabilities", () => {
		fc.assert(
			fc.property(fc.record({ ...parameters, p: fc.double({ min: 1e-9, max: 0.5, noNaN: true }) }), ({ a, b, p }) => {
				// where x is next to 1, its own rounding is seen in the upper tail
				const x = betaQuantile(p, a, b);
				if (1 - x > 1e-4) expect(relative(betaProbability(x, a, b), p)).toBeLessThan(1e-9);
				const y = betaQuantile(p, a, b, "upper");
				if (1 - y > 1e-4) expect(relative(betaProbability(y, a, b, "upper"), p)).toBeLessThan(1e-9);
			}),
		);
	});

	test("beta tails mirror each other and sum to one", () => {
		// shares whose 1 - x is exact
		const exactly = fc.nat(2 ** 30).map((i) => i / 2 ** 30);
		fc.assert(
			fc.property(fc.record({ ...parameters, x: exactly }), ({ a, b, x }) => {
				expect(betaProbability(x, a, b) + betaProbability(x, a, b, "upper")).toBeCloseTo(1, 14);
				expect(betaProbability(x, a, b)).toBeCloseTo(betaProbability(1 - x, b, a, "upper"), 11);
			}),
		);
	});
});

/** ln of binomial probabilities by summing logs. */
function binomialProbabilities(n: number, p: number): number[] {
	const found = [n * Math.log1p(-p)];
	for (let k = 1; k <= n; k++) found.push((found[k - 1] as number) + Math.log((n - k + 1) / k) + Math.log(p) - Math.log1p(-p));
	return found.map(Math.exp);
}

describe("Clopper-Pearson", () => {
	test("Clopper-Pearson gives the published values", () => {
		expect(clopperPearsonUpper(1, 100, 0.05)).toBeCloseTo(0.0466, 4);
		expect(clopperPearsonUpper(3, 1000, 0.01)).toBeCloseTo(0.01, 4);
		expect(clopperPearsonInterval(0, 10, 0.05)[1]).toBeCloseTo(0.3085, 4);
		expect(clopperPearsonInterval(10, 10, 0.05)[0]).toBeCloseTo(0.6915, 4);
	});

	test("Clopper-Pearson needs the known sizes of a clean run", () => {
		const known = [
			[0.05, 0.05, 59],
			[0.01, 0.05, 299],
			[0.005, 0.05, 598],
			[0.001, 0.05, 2995],
			[0.01, 0.01, 459],
			[0.001, 0.001, 6905],
		] as const;
		for (const [epsilon, delta, of] of known) {
			expect(clopperPearsonUpper(0, of, delta)).toBeLessThanOrEqual(epsilon);
			expect(clopperPearsonUpper(0, of - 1, delta)).toBeGreaterThan(epsilon);
		}
	});

	test("Clopper-Pearson says nothing without data, and stays between 0 and 1", () => {
		expect(clopperPearsonUpper(0, 0, 0.05)).toBe(1);
		expect(clopperPearsonInterval(0, 0, 0.05)).toEqual([0, 1]);
		expect(clopperPearsonInterval(0, 5, 0.05)[0]).toBe(0);
		expect(clopperPearsonInterval(5, 5, 0.05)[1]).toBe(1);
	});

	test("Clopper-Pearson is the largest share that the test does not reject", () => {
		for (const { count, of, delta } of cases) {
			if (count === of) continue;
			expect(relative(binomialTail(count, of, clopperPearsonUpper(count, of, delta)), delta)).toBeLessThan(1e-6);
		}
	});

	test("Clopper-Pearson covers the true share as often as promised, at every share", () => {
		for (const of of [5, 40, 300]) {
			for (const delta of [0.1, 0.01]) {
				const uppers = Array.from({ length: of + 1 }, (_, count) => clopperPearsonUpper(count, of, delta));
				const intervals = Array.from({ length: of + 1 }, (_, count) => clopperPearsonInterval(count, of, delta));
				for (let share = 0.005; share < 1; share += 0.0173) {
					const mass = binomialProbabilities(of, share);
					const covered = (holds: (count: number) => boolean) => mass.reduce((sum, p, count) => sum + (holds(count) ? p : 0), 0);
					expect(covered((count) => share <= (uppers[count] as number))).toBeGreaterThanOrEqual(1 - delta - 1e-9);
					expect(covered((count) => share >= intervals[count]![0] && share <= intervals[count]![1])).toBeGreaterThanOrEqual(
						1 - delta - 1e-9,
					);
				}
			}
		}
	});

	test("Clopper-Pearson covers the true share in simulated evaluations", () => {
		const random = randomNumbers(7);
		const [runs, of, share, delta] = [4000, 120, 0.04, 0.1];
		let missed = 0;
		for (let run = 0; run < runs; run++) {
			let count = 0;
			for (let i = 0; i < of; i++) if (random() < share) count++;
			if (clopperPearsonUpper(count, of, delta) < share) missed++;
		}
		expect(missed / runs).toBeLessThanOrEqual(delta);
		expect(missed).toBeGreaterThan(0);
	});
});

describe("Wilson's interval", () => {
	test("Wilson's interval gives published values", () => {
		// Newcombe 1998, table I
		const published = [
			[81, 263, 0.2553, 0.3662],
			[15, 148, 0.0624, 0.1605],
			[0, 20, 0, 0.1611],
			[1, 29, 0.0061, 0.1718],
		] as const;
		for (const [count, of, low, high] of published) {
			const [found, foundHigh] = wilsonInterval(count, of)!;
			expect(found).toBeCloseTo(low, 4);
			expect(foundHigh).toBeCloseTo(high, 4);
		}
		expect(wilsonInterval(0, 0)).toBeNull();
		expect(wilsonInterval(4, 4)![1]).toBe(1);
	});

	test("Wilson's interval covers about 95 %, averaged over shares", () => {
		for (const of of [20, 100, 500]) {
			const intervals = Array.from({ length: of + 1 }, (_, count) => wilsonInterval(count, of)!);
			let sum = 0;
			let shares = 0;
			for (let share = 0.02; share < 0.98; share += 0.00731, shares++) {
				sum += binomialProbabilities(of, share).reduce(
					(covered, p, count) => covered + (share >= intervals[count]![0] && share <= intervals[count]![1] ? p : 0),
					0,
				);
			}
			expect(Math.abs(sum / shares - 0.95)).toBeLessThan(0.01);
		}
	});
});

describe("the interval of a mean", () => {
	/** Responses that depend on their prompt, three each. */
	const drawn = (random: () => number) => {
		const groups = Array.from({ length: 40 }, (_, i) => [`p${i}`, `p${i}`, `p${i}`]).flat();
		const ofPrompt = Array.from({ length: 40 }, () => random());
		return { groups, values: groups.map((_, i) => (ofPrompt[Math.floor(i / 3)] as number) + 0.1 * (random() - 0.5)) };
	};

	test("the interval of a mean covers the mean of prompts, not of independent responses", () => {
		const random = randomNumbers(3);
		const runs = 120;
		const covers = (interval: [number, number] | null) => (interval![0] <= 0.5 && interval![1] >= 0.5 ? 1 : 0);
		let [byPrompt, byResponse] = [0, 0];
		for (let run = 0; run < runs; run++) {
			const { groups, values } = drawn(random);
			byPrompt += covers(meanInterval(values, groups, run));
			byResponse += covers(
				meanInterval(
					values,
					groups.map((_, i) => String(i)),
					run,
				),
			);
		}
		expect(byPrompt / runs).toBeGreaterThan(0.89);
		expect(byPrompt / runs).toBeLessThan(0.99);
		expect(byResponse / runs).toBeLessThan(0.85);
	});

	test("the interval of a mean is fixed by its seed, and null for few prompts", () => {
		const { groups, values } = drawn(randomNumbers(1));
		expect(meanInterval(values, groups, 5)).toEqual(meanInterval(values, groups, 5));
		expect(meanInterval(values.slice(0, 27), groups.slice(0, 27))).toBeNull();
		expect(meanInterval([], [])).toBeNull();
	});
});

describe("the interval of a mean of fewer than 30 prompts", () => {
	// 0.975 quantiles of Student's t distribution, as printed in tables
	const quantiles: [prompts: number, quantile: number][] = [[10, 2.262157], [11, 2.228139], [16, 2.13145], [21, 2.085963], [29, 2.048407]]; // biome-ignore format: a table

	test.each(quantiles)("the interval of a mean over %d prompts is Student's t, and named so", (prompts, quantile) => {
		const random = randomNumbers(prompts);
		const values = Array.from({ length: prompts }, random);
		const groups = values.map((_, i) => `p${i}`);
		const center = values.reduce((sum, value) => sum + value, 0) / prompts;
		const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (prompts - 1));
		const half = (quantile * deviation) / Math.sqrt(prompts);
		const [low, high] = meanInterval(values, groups) ?? [Number.NaN, Number.NaN];
		expect(low).toBeCloseTo(center - half, 5);
		expect(high).toBeCloseTo(center + half, 5);
		expect(intervalMethod(groups)).toBe("t");
	});

	test("the interval of a mean of few prompts covers it as often as it says", () => {
		const random = randomNumbers(9);
		const groups = Array.from({ length: 36 }, (_, i) => `p${Math.floor(i / 3)}`);
		let held = 0;
		for (let run = 0; run < 1500; run++) {
			const ofPrompt = Array.from({ length: 12 }, () => random() + random());
			const values = groups.map((_, i) => (ofPrompt[Math.floor(i / 3)] as number) + 0.1 * (random() - 0.5));
			const [low, high] = meanInterval(values, groups) ?? [1, 1];
			if (low <= 1 && high >= 1) held++;
		}
		expect(held / 1500).toBeGreaterThan(0.93);
		expect(held / 1500).toBeLessThan(0.97);
	});

	test("the interval of a mean of 30 prompts and more is a bootstrap, and named so", () => {
		expect(intervalMethod(Array.from({ length: 30 }, (_, i) => i))).toBe("bootstrap");
		expect(intervalMethod(Array.from({ length: 290 }, (_, i) => i % 29))).toBe("t");
	});
});

describe("learn then test", () => {
	test("learn then test uses the binomial tail as its p-value", () => {
		for (const [of, epsilon] of [
			[12, 0.3],
			[200, 0.05],
			[200, 0.9],
		] as const) {
			const mass = binomialProbabilities(of, epsilon);
			let sum = 0;
			for (let count = 0; count <= of; count++) {
				sum += mass[count] as number;
				expect(binomialTail(count, of, epsilon)).toBeCloseTo(sum, 10);
			}
		}
		expect(binomialTail(0, 5, 0)).toBe(1);
		expect(binomialTail(4, 5, 1)).toBe(0);
	});

	test("learn then test stops at the first failure", () => {
		expect(fixedSequenceTest([0.01, 0.05, 0.2, 0.001], 0.05)).toBe(2);
		expect(fixedSequenceTest([0.01, 0.02], 0.05)).toBe(2);
		expect(fixedSequenceTest([0.06, 0], 0.05)).toBe(0);
		expect(fixedSequenceTest([0.01, Number.NaN, 0.01], 0.05)).toBe(1);
		expect(fixedSequenceTest([], 0.05)).toBe(0);
	});

	test("learn then test passes a setting above epsilon in a share delta at most", () => {
		const random = randomNumbers(11);
		const [runs, of, epsilon, delta] = [3000, 150, 0.1, 0.1];
		// from the safest setting to the cheapest one; from the third on they are above epsilon
		const shares = [0.03, 0.07, 0.101, 0.101, 0.102, 0.103, 0.104, 0.11];
		let [wrong, wrongEach, right] = [0, 0, 0];
		for (let run = 0; run < runs; run++) {
			const pValues = shares.map((share) => {
				let count = 0;
				for (let i = 0; i < of; i++) if (random() < share) count++;
				return binomialTail(count, of, epsilon);
			});
			const passed = fixedSequenceTest(pValues, delta);
			if (passed > 2) wrong++;
			if (passed >= 1) right++;
			if (pValues.slice(2).some((p) => p <= delta)) wrongEach++;
		}
		expect(wrong / runs).toBeLessThanOrEqual(delta);
		expect(wrongEach / runs).toBeGreaterThan(delta);
		expect(right / runs).toBeGreaterThan(0.9);
	});
});
