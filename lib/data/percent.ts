// Words shares with three significant digits, never better than they are.

/** Three significant digits d, and the power of ten of the first: d·10^(power - 2). */
function threeDigits(share: number, round: (value: number) => number): { digits: number; power: number } {
	const [mantissa, power] = share.toExponential().split("e");
	return { digits: round(Number(`${mantissa}e2`)), power: Number(power) };
}

function percent(share: number, round: (value: number) => number): string {
	const { digits, power } = threeDigits(share, round);
	return `${Number(`${digits}e${power}`)} %`;
}

/** An upper bound. */
export const percentUp = (share: number) => percent(share, Math.ceil);

/** A lower bound. */
export const percentDown = (share: number) => percent(share, Math.floor);

/** 1 − δ, δ rounded up. */
export function confidence(delta: number): string {
	const { digits, power } = threeDigits(delta, Math.ceil);
	const places = -power;
	const scaled = String(100n * 10n ** BigInt(places) - BigInt(digits));
	return `${`${scaled.slice(0, -places)}.${scaled.slice(-places)}`.replace(/\.?0+$/, "")} %`;
}
