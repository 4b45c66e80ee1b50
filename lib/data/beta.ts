// The beta distribution: its tails by continued fraction (Abramowitz and Stegun 26.5.8) and its quantiles by Newton's method.

/** ln(n!) minus its approximation by Stirling (Loader 2000): by recurrence, up to where the series is exact to double precision. */
function stirlingError(n: number): number {
	let sum = 0;
	for (; n < 16; n++) sum += (n + 0.5) * Math.log1p(1 / n) - 1;
	const m = 1 / (n * n);
	return sum + (1 / 12 - m * (1 / 360 - m * (1 / 1260 - m * (1 / 1680 - m / 1188)))) / n;
}

/** k·ln(k / m) + m - k without cancellation if k is close to m (Loader 2000). */
function deviance(k: number, m: number): number {
	if (Math.abs(k - m) >= 0.1 * (k + m)) return k * Math.log(k / m) + m - k;
	const v = (k - m) / (k + m);
	let sum = (k - m) * v;
	let term = 2 * k * v;
	for (let j = 3; ; j += 2) {
		term *= v * v;
		const next = sum + term / j;
		if (next === sum) return sum;
		sum = next;
	}
}

/** x^a·y^b / B(a, b), which is density times x·y. Passing x and y = 1 - x keeps both exact if one is tiny. */
function kernel(x: number, y: number, a: number, b: number): number {
	const n = a + b;
	const exponent = stirlingError(n) - stirlingError(a) - stirlingError(b) - deviance(a, n * x) - deviance(b, n * y);
	return Math.sqrt((a * b) / (2 * Math.PI * n)) * Math.exp(exponent);
}

/** The continued fraction of the lower tail by Lentz's method; it converges in about sqrt(max(a, b)) steps left of the mean. */
function continuedFraction(x: number, a: number, b: number): number {
	const awayFromZero = (value: number) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
	let c = 1;
	let d = 1 / awayFromZero(1 - ((a + b) * x) / (a + 1));
	let fraction = d;
	for (let m = 1; m < 100_000; m++) {
		const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
		d = 1 / awayFromZero(1 + even * d);
		c = awayFromZero(1 + even / c);
		fraction *= d * c;
		const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 / awayFromZero(1 + odd * d);
		c = awayFromZero(1 + odd / c);
		fraction *= d * c;
		if (Math.abs(d * c - 1) < 1e-15) break;
	}
	return fraction;
}

function tails(x: number, y: number, a: number, b: number): { lower: number; upper: number; kernel: number } {
	if (x <= 0) return { lower: 0, upper: 1, kernel: 0 };
	if (y <= 0) return { lower: 1, upper: 0, kernel: 0 };
	const value = kernel(x, y, a, b);
	if (x <= (a + 1) / (a + b + 2)) {
		const lower = (value * continuedFraction(x, a, b)) / a;
		return { lower, upper: 1 - lower, kernel: value };
	}
	const upper = (value * continuedFraction(y, b, a)) / b;
	return { lower: 1 - upper, upper, kernel: value };
}

/** The tail of the distribution that a probability refers to. The smaller one keeps its precision. */
export type Tail = "lower" | "upper";

/** P(X <= x) for X ~ Beta(a, b), the regularised incomplete beta function I_x(a, b); the upper tail is P(X > x). */
export function betaProbability(x: number, a: number, b: number, tail: Tail = "lower"): number {
	return tails(x, 1 - x, a, b)[tail];
}

/**
 * The x whose tail of Beta(a, b), a and b > 0, has this probability, to a relative error of about 1e-12 for a + b up to 1e5 and
 * however small the quantile is.
 */
export function betaQuantile(probability: number, a: number, b: number, tail: Tail = "lower"): number {
	if (probability > 0.5) return betaQuantile(1 - probability, a, b, tail === "lower" ? "upper" : "lower");
	if (probability === 0) return tail === "lower" ? 0 : 1;
	// over u = ln(x / (1 - x)) the log of a tail is concave and almost linear far out, so Newton's method is fast and safe
	const slope = tail === "lower" ? 1 : -1;
	let [low, high] = [-745, 745];
	let u = Math.log(a / b);
	for (let i = 0; i < 200; i++) {
		const found = tails(1 / (1 + Math.exp(-u)), 1 / (1 + Math.exp(u)), a, b);
		const excess = Math.log(found[tail] / probability);
		if (excess * slope > 0) high = u;
		else low = u;
		const newton = u - (excess * slope * found[tail]) / found.kernel;
		const next = newton > low && newton < high ? newton : (low + high) / 2;
		if (Math.abs(next - u) <= 1e-15 * (1 + Math.abs(u))) break;
		u = next;
	}
	return 1 / (1 + Math.exp(-u));
}
