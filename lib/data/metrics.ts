// Measures the quality of predicted probabilities and values.
import { betaQuantile } from "./beta.js";
import { randomNumbers } from "./random.js";

/** The number, or null if it is not finite. */
export const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** Area under the ROC curve (ties count half); NaN if only one class occurs or a score is NaN. */
export function auc(scores: ArrayLike<number>, labels: ArrayLike<number>): number {
	if (Array.prototype.some.call(scores, Number.isNaN)) return Number.NaN;
	const order = Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => (scores[a] as number) - (scores[b] as number));
	let rankSum = 0;
	let positives = 0;
	for (let begin = 0; begin < order.length; ) {
		let end = begin;
		while (end < order.length && scores[order[end] as number] === scores[order[begin] as number]) end++;
		const meanRank = (begin + end + 1) / 2;
		for (let i = begin; i < end; i++) {
			if (labels[order[i] as number] === 1) {
				rankSum += meanRank;
				positives++;
			}
		}
		begin = end;
	}
	const negatives = order.length - positives;
	return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

export interface CalibrationBin {
	/** Mean predicted probability. */
	predicted: number;
	/** Share of positives. */
	observed: number;
	count: number;
}

const calibrationBins = 15;

/** The calibration curve over 15 bins of equal width (Guo et al. 2017); empty bins are left out. */
export function calibrationCurve(probabilities: ArrayLike<number>, labels: ArrayLike<number>): CalibrationBin[] {
	const bins = Array.from({ length: calibrationBins }, () => ({ predicted: 0, observed: 0, count: 0 }));
	for (let i = 0; i < probabilities.length; i++) {
		const p = probabilities[i] as number;
		const bin = bins[Math.min(calibrationBins - 1, Math.floor(p * calibrationBins))] as CalibrationBin;
		bin.predicted += p;
		bin.observed += labels[i] as number;
		bin.count++;
	}
	return bins
		.filter(({ count }) => count > 0)
		.map(({ predicted, observed, count }) => ({ predicted: predicted / count, observed: observed / count, count }));
}

/** Expected calibration error over the bins of {@link calibrationCurve}. */
export function expectedCalibrationError(probabilities: ArrayLike<number>, labels: ArrayLike<number>): number {
	return calibrationCurve(probabilities, labels).reduce(
		(sum, { predicted, observed, count }) => sum + (Math.abs(predicted - observed) * count) / probabilities.length,
		0,
	);
}

/** Mean squared error: for probabilities and labels the Brier score. */
export function meanSquaredError(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
	let sum = 0;
	for (let i = 0; i < predictions.length; i++) sum += ((predictions[i] as number) - (targets[i] as number)) ** 2;
	return sum / predictions.length;
}

/** Share of labels on the predicted side of 0.5. */
export function accuracy(probabilities: ArrayLike<number>, labels: ArrayLike<number>): number {
	let right = 0;
	for (let i = 0; i < probabilities.length; i++) if ((probabilities[i] as number) > 0.5 === (labels[i] as number) > 0.5) right++;
	return right / probabilities.length;
}

const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

/** Pearson correlation; NaN if one side is constant. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
	const [meanA, meanB] = [mean(a), mean(b)];
	let [ab, aa, bb] = [0, 0, 0];
	for (let i = 0; i < a.length; i++) {
		const [da, db] = [(a[i] as number) - meanA, (b[i] as number) - meanB];
		ab += da * db;
		aa += da * da;
		bb += db * db;
	}
	return ab / Math.sqrt(aa * bb);
}

/** A 95 % interval. */
export type Interval = [low: number, high: number];

const bootstrapSamples = 400;
/** Fewer groups allow no conclusion about others. */
export const fewestGroups = 10;
/** Bootstrap percentiles of fewer groups are too narrow. */
const fewestResampled = 30;

/**
 * Method of an interval over groups: Student's t with the jackknife's standard error (fewer than 30 groups), or percentiles of a bootstrap.
 */
export type IntervalMethod = "t" | "bootstrap";

export function intervalMethod(groups: ArrayLike<unknown>): IntervalMethod {
	return new Set(Array.from(groups)).size < fewestResampled ? "t" : "bootstrap";
}

/** The 0.975 quantile of Student's t distribution. */
function studentQuantile(degrees: number): number {
	const x = betaQuantile(0.05, degrees / 2, 0.5);
	return Math.sqrt((degrees * (1 - x)) / x);
}

type Statistic = (rows: number[]) => number;

function jackknifeInterval(groups: number[][], statistic: Statistic): Interval | null {
	const without = groups.map((left) => statistic(groups.flatMap((rows) => (rows === left ? [] : rows))));
	const center = mean(without);
	const squares = without.reduce((sum, value) => sum + (value - center) ** 2, 0);
	const half = studentQuantile(groups.length - 1) * Math.sqrt(((groups.length - 1) / groups.length) * squares);
	const value = statistic(groups.flat());
	return Number.isFinite(half) && Number.isFinite(value) ? [value - half, value + half] : null;
}

function percentileInterval(groups: number[][], statistic: Statistic, seed: number): Interval | null {
	const random = randomNumbers(seed);
	const found: number[] = [];
	for (let i = 0; i < bootstrapSamples; i++) {
		const rows = groups.flatMap(() => groups[Math.floor(random() * groups.length)] as number[]);
		const value = statistic(rows);
		if (Number.isFinite(value)) found.push(value);
	}
	if (found.length === 0) return null;
	found.sort((a, b) => a - b);
	const at = (share: number) => found[Math.min(found.length - 1, Math.floor(share * found.length))] as number;
	return [at(0.025), at(0.975)];
}

/**
 * 95 % interval of a statistic over groups of rows (rows of one prompt are not independent), by {@link intervalMethod}. `statistic` gets
 * row numbers. Null below {@link fewestGroups} groups, and if the statistic is NaN or, with few groups, depends on a single one.
 */
export function groupedInterval(groups: ArrayLike<number>, statistic: Statistic, seed = 0): Interval | null {
	const members = new Map<number, number[]>();
	for (let i = 0; i < groups.length; i++) {
		const rows = members.get(groups[i] as number);
		if (rows) rows.push(i);
		else members.set(groups[i] as number, [i]);
	}
	const all = [...members.values()];
	if (all.length < fewestGroups) return null;
	return intervalMethod(groups) === "t" ? jackknifeInterval(all, statistic) : percentileInterval(all, statistic, seed);
}

/** The same for an area under a ROC curve, or another share. */
export function groupedShareInterval(groups: ArrayLike<number>, statistic: Statistic): Interval | null {
	const interval = groupedInterval(groups, statistic);
	return interval && [Math.max(0, interval[0]), Math.min(1, interval[1])];
}

/**
 * Share of pairs of equal names, and Cohen's κ (1960): the share beyond the one expected from the names' frequencies; null if that is 1.
 */
export function agreementOf(pairs: readonly (readonly [string, string])[]): { agreed: number; kappa: number | null } {
	const shareOf = (side: 0 | 1, name: string) => pairs.filter((pair) => pair[side] === name).length / pairs.length;
	const agreed = pairs.filter(([a, b]) => a === b).length / pairs.length;
	const names = new Set(pairs.map(([a]) => a));
	const chance = [...names].reduce((sum, name) => sum + shareOf(0, name) * shareOf(1, name), 0);
	return { agreed, kappa: chance === 1 ? null : (agreed - chance) / (1 - chance) };
}
