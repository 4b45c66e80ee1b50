// Intervals and tests for counts and measurements.

import { betaProbability, betaQuantile } from "./beta.js";
import { groupedInterval, type Interval } from "./metrics.js";

/**
 * One-sided upper bound on a share, from `count` of `of` cases: the true share is above it with probability at most `delta` (Clopper and
 * Pearson 1934). 1 without cases.
 */
export function clopperPearsonUpper(count: number, of: number, delta: number): number {
	return count >= of ? 1 : betaQuantile(delta, count + 1, of - count, "upper");
}

/** Two-sided interval that misses the true share with probability at most `delta`, half of it on each side. */
export function clopperPearsonInterval(count: number, of: number, delta: number): Interval {
	const low = count === 0 ? 0 : betaQuantile(delta / 2, count, of - count + 1);
	return [low, clopperPearsonUpper(count, of, delta / 2)];
}

/** The 0.975 quantile of the normal distribution. */
const z = 1.959963984540054;

/** 95 % score interval of a share (Wilson 1927): near 95 % on average, not at least 95 %. Null without cases. */
export function wilsonInterval(count: number, of: number): Interval | null {
	if (of === 0) return null;
	const share = count / of;
	const scale = 1 + z ** 2 / of;
	const centre = (share + z ** 2 / (2 * of)) / scale;
	const half = (z / scale) * Math.sqrt((share * (1 - share)) / of + z ** 2 / (4 * of ** 2));
	return [count === 0 ? 0 : centre - half, count === of ? 1 : centre + half];
}

/** 95 % interval of a mean, see {@link groupedInterval}. Values of one group (the responses to one prompt) are not independent. Null below 10 groups. */
export function meanInterval(values: ArrayLike<number>, groups: readonly string[], seed = 0): Interval | null {
	const numbers = new Map([...new Set(groups)].map((group, i) => [group, i]));
	const mean = (rows: number[]) => rows.reduce((sum, row) => sum + (values[row] as number), 0) / rows.length;
	return groupedInterval(
		groups.map((group) => numbers.get(group) as number),
		mean,
		seed,
	);
}

/**
 * P(Bin(of, epsilon) <= count): the p-value of the hypothesis that the true share is above epsilon (Angelopoulos et al. 2021,
 * "Learn then Test").
 */
export function binomialTail(count: number, of: number, epsilon: number): number {
	return count >= of ? 1 : betaProbability(epsilon, count + 1, of - count, "upper");
}

/**
 * How many hypotheses are rejected at level `delta` before the first one that is not. The order of the tests is fixed before the data are
 * seen. The probability of any wrong rejection is at most `delta`, for any number of hypotheses (Angelopoulos et al. 2021, fixed-sequence
 * testing).
 */
export function fixedSequenceTest(pValues: readonly number[], delta: number): number {
	const failure = pValues.findIndex((p) => !(p <= delta));
	return failure < 0 ? pValues.length : failure;
}
