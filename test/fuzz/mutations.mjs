// Changes to sound inputs, drawn from a generator, so that a seed and a number say which input it was.
import { byteSize, tensorTypes, types } from "./gguf.mjs";

/** @typedef {() => number} Random from 0 to 1 */

export const below = (random, n) => Math.floor(random() * n);
export const pick = (random, list) => list[below(random, list.length)];

const integers = [
	0,
	1,
	2,
	3,
	5,
	7,
	31,
	33,
	255,
	256,
	65535,
	65536,
	2 ** 24,
	2 ** 31 - 1,
	2 ** 31,
	2 ** 32 - 1,
	2n ** 63n - 1n,
	2n ** 64n - 1n,
];
const reals = [0, -0, 1, -1, 1e-30, 1e30, 3.4e38, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

const words = {
	"tokenizer.ggml.model": ["llama", "bert", "gpt2", "t5", "rwkv", "none", "no_vocab", "plamo2", "gemma4", "test", "hybriddna", "whitespace", ""],
	"tokenizer.ggml.pre": ["default", "llama-bpe", "gpt-2", "qwen2", "deepseek-llm", "modern-bert", "tekken", "kimi-k2", "gpt-4o", "whatever", ""],
	"general.architecture": ["llama", "bert", "t5", "mamba", "rwkv7", "gemma4-assistant", "dflash", "eagle3", "clip", "wavtokenizer-dec", ""],
}; // biome-ignore format: tables
const texts = [
	"",
	" ",
	"\0",
	"x".repeat(5000),
	"\xff\xfe",
	"linear",
	"yarn",
	"longrope",
	"none",
	"{% for x in range(9) %}{{ x }}{% endfor %}",
];

const specialTokens = ["bos", "eos", "unknown", "seperator", "padding", "cls", "mask", "eot"].map(
	(name) => `tokenizer.ggml.${name}_token_id`,
);
const flags = ["add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix"].map((name) => `tokenizer.ggml.${name}`);

/** Another number in place of this one. */
function otherNumber(random, value, type) {
	if (type === types.bool) return 1 - Number(value);
	if (type === types.f32 || type === types.f64) return random() < 0.7 ? pick(random, reals) : Number(value) * pick(random, [2, -1, 0.5]);
	if (typeof value === "bigint") return pick(random, [0n, 1n, 2n ** 32n, 2n ** 63n, value + 1n, value * 2n]);
	return random() < 0.5 ? pick(random, integers) : Math.trunc(value * pick(random, [2, 0.5, 3])) + pick(random, [0, 1, -1]);
}

const other = (random, value, type, key) => (type === types.string ? pick(random, words[key] ?? texts) : otherNumber(random, value, type));

const entryChanges = [
	(random, entries, i) => {
		const { type, of, value, key } = entries[i];
		const at = below(random, value.length ?? 1);
		if (type !== types.array) entries[i] = { ...entries[i], value: other(random, value, type, key) };
		else if (value.length > 0) entries[i] = { ...entries[i], value: value.with(at, other(random, value[at], of, key)) };
	},
	(_random, entries, i) => entries.splice(i, 1),
	(random, entries, i) => {
		const { type, of, value } = entries[i];
		const single = type === types.array ? (value[0] ?? 0) : value;
		const another = pick(random, Object.values(types));
		if (another === types.array) entries[i] = { ...entries[i], type: another, of: of ?? type, value: Array(below(random, 5)).fill(single) };
		else entries[i] = { ...entries[i], type: another, value: single };
	},
	(random, entries, i) => {
		const { type, value } = entries[i];
		if (type !== types.array) return;
		const length = pick(random, [0, 1, value.length - 1, value.length + 1, value.length * 2]);
		entries[i] = { ...entries[i], value: Array.from({ length }, (_, k) => value[k % Math.max(1, value.length)] ?? 0) };
	},
	(random, entries, i) => entries.splice(i, 0, entries[below(random, entries.length)]),
	(random, entries) => entries.push({ key: pick(random, specialTokens), type: types.u32, value: pick(random, integers) }),
	(random, entries) => entries.push({ key: pick(random, flags), type: types.bool, value: below(random, 2) }),
	(random, entries) =>
		entries.push({ key: "general.alignment", type: types.u32, value: pick(random, [0, 1, 4, 8, 16, 24, 64, 4096, 2 ** 31]) }),
	(random, entries) => {
		const arch = entries.find(({ key }) => key === "general.architecture")?.value;
		entries.push({ key: "general.name", type: types.string, value: `${arch}${pick(random, texts)}` });
	},
];

/** A tensor of another type or shape, with as many bytes as that takes. */
function refilled(tensor, type, shape) {
	const size = Math.min(byteSize(type, shape), 1 << 22);
	const data = Buffer.alloc(size);
	for (let at = 0; at < size && tensor.data.length > 0; at += tensor.data.length) Buffer.from(tensor.data).copy(data, at);
	return { ...tensor, type, shape, data };
}

/** A change before may have taken all dimensions away. */
const withRows = (tensor) => (tensor.shape.length > 0 ? tensor : { ...tensor, shape: [1] });

const tensorChanges = [
	(random, tensors, i) => {
		tensors[i] = refilled(tensors[i], pick(random, [...tensorTypes.keys()]), tensors[i].shape);
	},
	(_random, tensors, i) => tensors.splice(i, 1),
	(random, tensors, i) => {
		const { shape, type } = withRows(tensors[i]);
		const at = below(random, shape.length);
		const before = Number(shape[at]);
		const size = pick(random, [0, 1, 2, 3, before - 1, before + 1, before * 2, before / 2]);
		tensors[i] = refilled(tensors[i], type, shape.with(at, Math.max(0, Math.trunc(size))));
	},
	(random, tensors, i) => {
		const { shape, type } = tensors[i];
		const turned = pick(random, [shape.toReversed(), [...shape, 1], [...shape, 2], shape.slice(1), [1, ...shape]]);
		tensors[i] = refilled(tensors[i], type, turned.slice(0, 5));
	},
	(random, tensors, i) => {
		const { shape } = withRows(tensors[i]);
		tensors[i] = { ...tensors[i], shape: shape.with(0, pick(random, [2n ** 31n, 2n ** 40n, 2n ** 63n - 1n, 2n ** 64n - 1n])) };
	},
	(random, tensors, i) => {
		tensors[i] = { ...tensors[i], offset: pick(random, [0, 1, 32, 2n ** 40n, 2n ** 64n - 32n]) };
	},
	(random, tensors, i) => {
		tensors[i] = {
			...tensors[i],
			name: pick(random, [`${tensors[i].name}x`, tensors[below(random, tensors.length)].name, "", "x".repeat(70)]),
		};
	},
	(random, tensors, i) => {
		const data = Buffer.from(tensors[i].data);
		const value = pick(random, reals);
		for (let at = 0; at + 4 <= data.length; at += 4) if (random() < 0.5) data.writeFloatLE(value, at);
		tensors[i] = { ...tensors[i], data };
	},
	(random, tensors, i) => {
		const data = Buffer.from(tensors[i].data);
		for (let k = 0; k < data.length; k++) if (random() < 0.05) data[k] = below(random, 256);
		tensors[i] = { ...tensors[i], data };
	},
];

/** Some changes to the fields of a GGUF file. */
export function changedGguf(random, { version, entries, tensors }) {
	const changed = { version, entries: [...entries], tensors: [...tensors] };
	for (let n = 1 + below(random, 3); n > 0; n--) {
		const kind = random();
		if (kind < 0.02) changed.version = pick(random, [0, 1, 2, 4, 0x03000000]);
		else if (kind < 0.6 && changed.entries.length > 0) {
			const i = below(random, changed.entries.length);
			pick(random, [entryChanges[0], entryChanges[0], entryChanges[0], ...entryChanges])(random, changed.entries, i);
		} else if (changed.tensors.length > 0) pick(random, tensorChanges)(random, changed.tensors, below(random, changed.tensors.length));
	}
	return changed;
}

const byteChanges = [
	(random, bytes) => {
		bytes[below(random, bytes.length)] ^= 1 << below(random, 8);
		return bytes;
	},
	(random, bytes) => {
		bytes[below(random, bytes.length)] = below(random, 256);
		return bytes;
	},
	(random, bytes) => bytes.subarray(0, below(random, bytes.length)),
	(random, bytes) => {
		const [from, to, n] = [below(random, bytes.length), below(random, bytes.length), below(random, 64)];
		return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from, from + n), bytes.subarray(to)]);
	},
	(random, bytes) => {
		const [from, n] = [below(random, bytes.length), below(random, 64)];
		return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + n)]);
	},
	(random, bytes) => {
		const at = below(random, bytes.length);
		bytes.fill(pick(random, [0, 0xff, 0x7f, 0x80]), at, Math.min(bytes.length, at + pick(random, [1, 2, 4, 8, 32])));
		return bytes;
	},
];

/** Some changes to bytes of which nothing is known. */
export function changedBytes(random, given) {
	let bytes = Buffer.from(given);
	for (let n = 1 + below(random, 4); n > 0 && bytes.length > 0; n--) bytes = pick(random, byteChanges)(random, bytes);
	return bytes;
}

export const fragments = [
	"\0", "\ufeff", "\r", "\u2028", "\ud800", "\"", "'", ",", "\t", "\\", "{", "}", "[", "]", "null", "true", "NaN", "-0", "1e999", "1e-999",
	"99999999999999999999", "__proto__", "constructor", "toString", "<script>", "\x1b[2J", "&a [*a, *a]", "*", "!!js/function x", "<<: *a", "? :", "- - -",
	"[".repeat(3000), "{\"a\":".repeat(2000), "a: ".repeat(50), "é".normalize("NFD"), "\u202e", "\u{1f468}\u200d\u{1f469}", "x".repeat(20000),
]; // biome-ignore format: a list

const textChanges = [
	(random, text) => {
		const at = below(random, text.length + 1);
		return text.slice(0, at) + pick(random, fragments) + text.slice(at);
	},
	(random, text) => text.replace(pick(random, [/-?\d+(\.\d+)?/, /"[^"]*"/, /true|false|null/]), () => pick(random, fragments)),
	(random, text) => {
		const lines = text.split("\n");
		const [from, to] = [below(random, lines.length), below(random, lines.length)];
		return lines.toSpliced(to, below(random, 2), lines[from]).join("\n");
	},
	(random, text) => text.slice(0, below(random, text.length)),
	(random, text) => {
		const [from, n] = [below(random, text.length), below(random, 30)];
		return text.slice(0, from) + text.slice(from + n);
	},
	(random, text) => {
		const [from, n] = [below(random, text.length), below(random, 200)];
		return text + text.slice(from, from + n).repeat(pick(random, [1, 2, 50]));
	},
];

/** Some changes to a text, or to its bytes. */
export function changedText(random, given) {
	if (random() < 0.25) return changedBytes(random, given);
	let text = given.toString("utf8");
	for (let n = 1 + below(random, 4); n > 0; n--) text = pick(random, textChanges)(random, text);
	const encoding = random() < 0.1 ? pick(random, ["utf16le", "latin1"]) : "utf8";
	return Buffer.from(text, encoding);
}
