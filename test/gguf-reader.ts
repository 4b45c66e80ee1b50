import { readFileSync } from "node:fs";

export interface GgufTensor {
	/** Fastest dimension first. */
	shape: number[];
	values: Float32Array;
}

/** The single-precision value of an IEEE half. */
export function fromHalf(bits: number): number {
	const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 0x1f, bits & 0x3ff];
	return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** Numbers and tensors (f32 and f16) of a small GGUF file: an independent reading for tests. */
export function readGguf(path: string): { metadata: Map<string, unknown>; tensors: Map<string, GgufTensor> } {
	const file = readFileSync(path);
	let at = 8;
	const u32 = () => file.readUInt32LE((at += 4) - 4);
	const u64 = () => Number(file.readBigUInt64LE((at += 8) - 8));
	const text = () => {
		const length = u64();
		return file.toString("utf8", at, (at += length));
	};
	const value = (type: number): unknown => {
		if (type === 8) return text();
		if (type === 9) {
			const of = u32();
			return Array.from({ length: u64() }, () => value(of));
		}
		if (type === 7) return file[at++] === 1;
		if (type === 6) return file.readFloatLE((at += 4) - 4);
		if (type === 5) return file.readInt32LE((at += 4) - 4);
		if (type === 4) return u32();
		if (type === 12) return file.readDoubleLE((at += 8) - 8);
		if (type === 10 || type === 11) return u64();
		throw new Error(`GGUF value type ${type}`);
	};
	const [tensorCount, entryCount] = [u64(), u64()];
	const metadata = new Map(Array.from({ length: entryCount }, () => [text(), value(u32())]));
	const described = Array.from({ length: tensorCount }, () => ({
		name: text(),
		shape: Array.from({ length: u32() }, u64),
		type: u32(),
		offset: u64(),
	}));
	const data = Math.ceil(at / 32) * 32;
	const tensors = new Map(
		described.map(({ name, shape, type, offset }) => {
			const size = shape.reduce((product, d) => product * d, 1);
			const read = (i: number) =>
				type === 0 ? file.readFloatLE(data + offset + 4 * i) : fromHalf(file.readUInt16LE(data + offset + 2 * i));
			if (type > 1) throw new Error(`GGUF tensor type ${type}`);
			return [name, { shape, values: Float32Array.from({ length: size }, (_, i) => read(i)) }];
		}),
	);
	return { metadata, tensors };
}
