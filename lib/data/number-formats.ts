// Converts the number formats of tensors: from those of checkpoints to single precision, and from there to those of GGUF files.

/** Rounds to half precision, ties to even. `bits` holds each value's sign, exponent and mantissa. */
function halfOf(bits: number): number {
	const sign = (bits >>> 16) & 0x8000;
	const rest = bits & 0x7fffffff;
	if (rest >= 0x7f800000) return sign | (rest > 0x7f800000 ? 0x7e00 : 0x7c00);
	if (rest >= 0x477ff000) return sign | 0x7c00; // rounds to infinity
	if (rest >= 0x38800000) return sign | ((rest - 0x38000000 + 0xfff + ((rest >>> 13) & 1)) >>> 13);
	if (rest <= 0x33000000) return sign; // rounds to zero
	const shift = 126 - (rest >>> 23); // subnormal: the hidden bit becomes part of the mantissa
	const mantissa = (rest & 0x7fffff) | 0x800000;
	const kept = mantissa >>> shift;
	const dropped = mantissa & ((1 << shift) - 1);
	const tie = 1 << (shift - 1);
	return sign | (kept + (dropped > tie || (dropped === tie && (kept & 1) === 1) ? 1 : 0));
}

export function toHalf(values: Float32Array): Uint16Array {
	const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
	const halves = new Uint16Array(bits.length);
	for (let i = 0; i < bits.length; i++) halves[i] = halfOf(bits[i] as number);
	return halves;
}

/** The single-precision value of every half. */
function halfTable(): Float32Array {
	return Float32Array.from({ length: 65536 }, (_, half) => {
		const sign = half & 0x8000 ? -1 : 1;
		const exponent = (half >>> 10) & 0x1f;
		const mantissa = half & 0x3ff;
		if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
		return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
	});
}

let table: Float32Array | undefined;

export function fromHalf(values: Uint16Array): Float32Array {
	const known = (table ??= halfTable());
	const singles = new Float32Array(values.length);
	for (let i = 0; i < values.length; i++) singles[i] = known[values[i] as number] as number;
	return singles;
}

export function fromBrainHalf(values: Uint16Array): Float32Array {
	const bits = new Uint32Array(values.length);
	for (let i = 0; i < values.length; i++) bits[i] = (values[i] as number) << 16;
	return new Float32Array(bits.buffer);
}

/** Blocks of 32 values: the scale in half precision, then a signed byte each. */
export function toQ8(values: Float32Array): Uint8Array {
	const blocks = values.length / 32;
	const bytes = new Int8Array(blocks * 34);
	const scales = new Float32Array(blocks);
	for (let block = 0; block < blocks; block++) {
		let top = 0;
		for (let i = 0; i < 32; i++) top = Math.max(top, Math.abs(values[block * 32 + i] as number));
		scales[block] = top / 127;
		for (let i = 0; i < 32; i++) bytes[block * 34 + 2 + i] = top === 0 ? 0 : Math.round(((values[block * 32 + i] as number) / top) * 127);
	}
	toHalf(scales).forEach((scale, block) => {
		bytes[block * 34] = scale;
		bytes[block * 34 + 1] = scale >>> 8;
	});
	return new Uint8Array(bytes.buffer);
}
