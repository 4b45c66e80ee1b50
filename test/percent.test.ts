import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { confidence, percentDown, percentUp } from "../lib/data/percent.js";

const share = fc.double({ min: 0, max: 1, noNaN: true });
const number = (text: string) => Number(text.replace(" %", ""));

describe("a share in words", () => {
	test.each([
		[0, "0 %", "0 %"],
		[1, "100 %", "100 %"],
		[0.07, "7 %", "7 %"],
		[0.049508, "4.95 %", "4.96 %"],
		[0.0000123456, "0.00123 %", "0.00124 %"],
		[0.99999, "99.9 %", "100 %"],
		[0.1 + 0.2, "30 %", "30.1 %"],
	])("the share %d in words is %s as a lower bound, or %s as an upper one", (value, down, up) => {
		expect([percentDown(value), percentUp(value)]).toEqual([down, up]);
	});

	test("a share in words is a bound on its side, to three significant digits", () => {
		fc.assert(
			fc.property(share, (value) => {
				const [low, high] = [number(percentDown(value)), number(percentUp(value))];
				expect(low / 100).toBeLessThanOrEqual(value * (1 + 1e-15));
				expect(high / 100).toBeGreaterThanOrEqual(value * (1 - 1e-15));
				expect(high - low).toBeLessThanOrEqual(value * 1.001);
				for (const one of [low, high]) expect(Number(one.toPrecision(3))).toBe(one);
			}),
		);
	});
});

test.each([
	[0.05, "95 %"],
	[0.1, "90 %"],
	[0.07, "93 %"],
	[0.021, "97.9 %"],
	[0.5, "50 %"],
	[0.0005, "99.95 %"],
	[0.00012345, "99.9876 %"],
	[1e-20, "99.999999999999999999 %"],
])("the confidence of δ = %d is %s", (delta, text) => {
	expect(confidence(delta)).toBe(text);
});
