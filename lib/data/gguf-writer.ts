// Writes GGUF files.
import { closeSync, openSync, writeSync } from "node:fs";

const valueTypes = { u8: 0, u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, string: 8 } as const;
const arrayType = 9;
const alignment = 32;

/** Types of tensors: the number of the type, the values per block, and the block's size in bytes. */
const tensorTypes = {
	f32: { id: 0, values: 1, bytes: 4 },
	f16: { id: 1, values: 1, bytes: 2 },
	q8_0: { id: 8, values: 32, bytes: 34 },
} as const;

type ValueType = keyof typeof valueTypes;
export type GgufTensorType = keyof typeof tensorTypes;

/** A type that ends with `[]` is an array. */
export type GgufEntry = [key: string, type: ValueType | `${ValueType}[]` | (string & {}), value: unknown];

export interface GgufTensor {
	name: string;
	/** Fastest dimension first. */
	shape: number[];
	type: GgufTensorType;
	/** Called once, when the tensor is about to be written. */
	data: () => Uint8Array;
}

function u32(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
}

function u64(value: number): Buffer {
	const bytes = Buffer.alloc(8);
	bytes.writeBigUInt64LE(BigInt(value));
	return bytes;
}

function encodeString(text: string): Buffer {
	const bytes = Buffer.from(text, "utf8");
	return Buffer.concat([u64(bytes.length), bytes]);
}

function encodeValue(type: ValueType, value: unknown): Buffer {
	const bytes = Buffer.alloc(4);
	switch (type) {
		case "string":
			return encodeString(value as string);
		case "bool":
			return Buffer.from([value ? 1 : 0]);
		case "u8":
			return Buffer.from([value as number]);
		case "u16":
			bytes.writeUInt16LE(value as number);
			return bytes.subarray(0, 2);
		case "u32":
			return u32(value as number);
		case "i32":
			bytes.writeInt32LE(value as number);
			return bytes;
		case "f32":
			bytes.writeFloatLE(value as number);
			return bytes;
	}
}

function encodeEntry([key, type, value]: GgufEntry): Buffer {
	if (!type.endsWith("[]")) {
		const single = type as ValueType;
		return Buffer.concat([encodeString(key), u32(valueTypes[single]), encodeValue(single, value)]);
	}
	const of = type.slice(0, -2) as ValueType;
	const values = value as ArrayLike<unknown>;
	const elements = of === "u8" ? [Buffer.from(values as ArrayLike<number>)] : Array.from(values, (element) => encodeValue(of, element));
	return Buffer.concat([encodeString(key), u32(arrayType), u32(valueTypes[of]), u64(values.length), ...elements]);
}

const padded = (size: number) => Math.ceil(size / alignment) * alignment;

function byteSize({ shape, type }: GgufTensor): number {
	const { values, bytes } = tensorTypes[type];
	return (shape.reduce((product, d) => product * d, 1) / values) * bytes;
}

function headerOf(metadata: GgufEntry[], tensors: GgufTensor[]): Buffer {
	const parts = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.length), ...metadata.map(encodeEntry)];
	let offset = 0;
	for (const tensor of tensors) {
		const { name, shape, type } = tensor;
		parts.push(encodeString(name), u32(shape.length), ...shape.map(u64), u32(tensorTypes[type].id), u64(offset));
		offset += padded(byteSize(tensor));
	}
	return Buffer.concat(parts);
}

function writeAll(file: number, bytes: Uint8Array): number {
	for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
	return bytes.length;
}

/** Writes a GGUF file one tensor at a time, so that only one is in memory. Returns the file's size in bytes. */
export function writeGguf(path: string, { metadata, tensors }: { metadata: GgufEntry[]; tensors: GgufTensor[] }): number {
	const file = openSync(path, "w");
	const writePadded = (bytes: Uint8Array) => writeAll(file, bytes) + writeAll(file, Buffer.alloc(padded(bytes.length) - bytes.length));
	try {
		return tensors.reduce((written, { data }) => written + writePadded(data()), writePadded(headerOf(metadata, tensors)));
	} finally {
		closeSync(file);
	}
}
