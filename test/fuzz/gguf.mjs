// Takes GGUF files apart and puts them together again, also as no writer would: every field can be changed on its own.

/**
 * @typedef {{ key: string, type: number, of?: number, value: any }} Entry
 * @typedef {{ name: string, shape: (number | bigint)[], type: number, data: Uint8Array, offset?: number | bigint }} Tensor without an
 *   offset it lies behind the one before
 * @typedef {{ version: number, entries: Entry[], tensors: Tensor[] }} Gguf
 */

export const types = { u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10, i64: 11, f64: 12 };

/** Bytes of a number, by its type. */
const widths = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** Types of tensors: how many bytes a block of how many values takes. */
export const tensorTypes = new Map([
	[0, [1, 4]], [1, [1, 2]], [2, [32, 18]], [3, [32, 20]], [6, [32, 22]], [7, [32, 24]], [8, [32, 34]], [9, [32, 36]],
	[10, [256, 84]], [11, [256, 110]], [12, [256, 144]], [13, [256, 176]], [14, [256, 210]], [15, [256, 292]], [16, [256, 66]],
	[17, [256, 74]], [18, [256, 98]], [19, [256, 50]], [20, [32, 18]], [21, [256, 110]], [22, [256, 82]], [23, [256, 136]],
	[24, [1, 1]], [25, [1, 2]], [26, [1, 4]], [27, [1, 8]], [28, [1, 8]], [29, [256, 56]], [30, [1, 2]], [34, [256, 54]],
	[35, [256, 66]], [39, [32, 17]],
]); // biome-ignore format: a table

const product = (shape) => shape.reduce((n, size) => n * Number(size), 1);

/** How many bytes a tensor of this type and shape takes. */
export function byteSize(type, shape) {
	const [values, bytes] = tensorTypes.get(type) ?? [1, 4];
	return Math.ceil(product(shape) / values) * bytes;
}

function numberAt(file, at, type) {
	switch (type) {
		case types.u8:
		case types.bool:
			return file.readUInt8(at);
		case types.i8:
			return file.readInt8(at);
		case types.u16:
			return file.readUInt16LE(at);
		case types.i16:
			return file.readInt16LE(at);
		case types.u32:
			return file.readUInt32LE(at);
		case types.i32:
			return file.readInt32LE(at);
		case types.f32:
			return file.readFloatLE(at);
		case types.f64:
			return file.readDoubleLE(at);
		default:
			return file.readBigUInt64LE(at);
	}
}

/**
 * @param {Buffer} file that is a sound one
 * @returns {Gguf}
 */
export function takeApart(file) {
	let at = 4;
	const number = (type) => {
		const value = numberAt(file, at, type);
		at += widths[type];
		return value;
	};
	const count = () => Number(number(types.u64));
	const text = () => {
		const length = count();
		at += length;
		return file.toString("latin1", at - length, at);
	};
	const single = (type) => (type === types.string ? text() : number(type));
	const version = number(types.u32);
	const [nTensors, nEntries] = [count(), count()];
	const entries = Array.from({ length: nEntries }, () => {
		const [key, type] = [text(), number(types.u32)];
		if (type !== types.array) return { key, type, value: single(type) };
		const of = number(types.u32);
		return { key, type, of, value: Array.from({ length: count() }, () => single(of)) };
	});
	const described = Array.from({ length: nTensors }, () => ({
		name: text(),
		shape: Array.from({ length: number(types.u32) }, count),
		type: number(types.u32),
		offset: count(),
	}));
	const begin = Math.ceil(at / 32) * 32;
	const tensors = described.map(({ name, shape, type, offset }) => {
		const data = file.subarray(begin + offset, begin + offset + byteSize(type, shape));
		return { name, shape, type, data };
	});
	return { version, entries, tensors };
}

function bytesOf(type, value) {
	if (type === types.string) {
		const bytes = Buffer.from(String(value), "latin1");
		return Buffer.concat([bytesOf(types.u64, bytes.length), bytes]);
	}
	const bytes = Buffer.alloc(8);
	if (type === types.f32) bytes.writeFloatLE(Number(value));
	else if (type === types.f64) bytes.writeDoubleLE(Number(value));
	else
		bytes.writeBigUInt64LE(
			BigInt.asUintN(64, typeof value === "bigint" ? value : BigInt(Math.trunc(Number.isFinite(Number(value)) ? Number(value) : 0))),
		);
	return bytes.subarray(0, widths[type] ?? 4);
}

const padded = (bytes, alignment) => Buffer.concat([bytes, Buffer.alloc(Math.ceil(bytes.length / alignment) * alignment - bytes.length)]);

/**
 * @param {Gguf} gguf
 * @returns {Buffer}
 */
export function putTogether({ version, entries, tensors }) {
	const u32 = (value) => bytesOf(types.u32, value);
	const u64 = (value) => bytesOf(types.u64, value);
	const text = (value) => bytesOf(types.string, value);
	const given = Number(entries.find(({ key, type }) => key === "general.alignment" && type === types.u32)?.value ?? 32);
	const alignment = given > 0 && given <= 4096 ? given : 32;
	const head = [Buffer.from("GGUF"), u32(version), u64(tensors.length), u64(entries.length)];
	for (const { key, type, of, value } of entries) {
		head.push(text(key), u32(type));
		if (type === types.array) head.push(u32(of), u64(value.length), ...value.map((one) => bytesOf(of, one)));
		else head.push(bytesOf(type, value));
	}
	const data = tensors.map((tensor) => padded(tensor.data, alignment));
	let end = 0;
	for (const [i, { name, shape, type, offset = end }] of tensors.entries()) {
		head.push(text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset));
		end += data[i].length;
	}
	return Buffer.concat([padded(Buffer.concat(head), alignment), ...data]);
}
