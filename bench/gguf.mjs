// Writes small GGUF files: random-weight llama models for the benchmarks, and odd ones for the tests.
import { closeSync, openSync, writeSync } from "node:fs";

const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };
const tensorTypes = { f32: 0, q8_0: 8 };
const alignment = 32;

function encodeString(text) {
	const bytes = Buffer.from(text, "utf8");
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(bytes.length));
	return Buffer.concat([length, bytes]);
}

function encodeNumber(type, value) {
	const bytes = Buffer.alloc(4);
	if (type === "f32") bytes.writeFloatLE(value);
	else if (type === "i32") bytes.writeInt32LE(value);
	else bytes.writeUInt32LE(value);
	return bytes;
}

function encodeValue(type, value) {
	if (type === "string") return encodeString(value);
	if (type === "bool") return Buffer.from([value ? 1 : 0]);
	return encodeNumber(type, value);
}

function u64(value) {
	const bytes = Buffer.alloc(8);
	bytes.writeBigUInt64LE(BigInt(value));
	return bytes;
}

/**
 * @param {string} path
 * @param {{ metadata: [key: string, type: string, value: any][], tensors: { name: string, shape: number[], type: "f32" | "q8_0", data: () => Buffer }[] }} file
 *   types are u32, i32, f32, bool, string, or one of them with [] behind it; shapes are in ggml's order
 */
export function writeGguf(path, { metadata, tensors }) {
	const sizes = tensors.map(({ shape, type }) => {
		const n = shape.reduce((product, d) => product * d, 1);
		return type === "f32" ? n * 4 : (n / 32) * 34;
	});
	const padded = (size) => Math.ceil(size / alignment) * alignment;
	const header = [Buffer.from("GGUF"), encodeNumber("u32", 3), u64(tensors.length), u64(metadata.length)];
	for (const [key, type, value] of metadata) {
		header.push(encodeString(key));
		if (!type.endsWith("[]")) {
			header.push(encodeNumber("u32", valueTypes[type]), encodeValue(type, value));
			continue;
		}
		const of = type.slice(0, -2);
		header.push(encodeNumber("u32", valueTypes.array), encodeNumber("u32", valueTypes[of]), u64(value.length));
		for (const element of value) header.push(encodeValue(of, element));
	}
	let offset = 0;
	tensors.forEach(({ name, shape, type }, i) => {
		header.push(
			encodeString(name),
			encodeNumber("u32", shape.length),
			...shape.map(u64),
			encodeNumber("u32", tensorTypes[type]),
			u64(offset),
		);
		offset += padded(sizes[i]);
	});
	const file = openSync(path, "w");
	try {
		const head = Buffer.concat(header);
		writeSync(file, head);
		writeSync(file, Buffer.alloc(padded(head.length) - head.length));
		tensors.forEach(({ data }, i) => {
			const bytes = data();
			writeSync(file, bytes);
			writeSync(file, Buffer.alloc(padded(sizes[i]) - bytes.length));
		});
	} finally {
		closeSync(file);
	}
}

/** One step of xorshift32: the same weights on every machine. */
function xorshift(x) {
	x ^= x << 13;
	x ^= x >>> 17;
	return x ^ (x << 5);
}

/** IEEE half precision of a positive normal number */
function half(value) {
	const exponent = Math.floor(Math.log2(value));
	const mantissa = Math.round((value / 2 ** exponent - 1) * 1024);
	return ((exponent + 15) << 10) + mantissa;
}

/** Weights drawn from where the generator stands. */
function randomWeights(shape, type, generator) {
	const n = shape.reduce((product, d) => product * d, 1);
	const deviation = 1 / Math.sqrt(shape[0]);
	let x = generator.state;
	if (type === "f32") {
		const values = new Float32Array(n);
		for (let i = 0; i < n; i++) {
			x = xorshift(x);
			values[i] = ((x >>> 0) / 2 ** 31 - 1) * Math.sqrt(3) * deviation;
		}
		generator.state = x;
		return Buffer.from(values.buffer);
	}
	const bytes = new Int8Array((n / 32) * 34);
	const scale = half((deviation * Math.sqrt(3)) / 127);
	for (let at = 0; at < bytes.length; at += 34) {
		bytes[at] = scale;
		bytes[at + 1] = scale >> 8;
		for (let i = 2; i < 34; i++) {
			x = xorshift(x);
			bytes[at + i] = ((x >>> 0) % 255) - 127;
		}
	}
	generator.state = x;
	return Buffer.from(bytes.buffer);
}

/**
 * A tensor of random weights, the same for the same name.
 * @param {string} name
 * @param {number[]} shape
 * @param {"f32" | "q8_0"} [type]
 */
export function randomTensor(name, shape, type = "f32") {
	const generator = { state: [...name].reduce((seed, character) => (seed * 31 + character.charCodeAt(0)) | 0, 7) | 1 };
	return { name, shape, type, data: () => randomWeights(shape, type, generator) };
}

/** SentencePiece-style vocabulary: unknown, BOS, EOS, bytes, then made-up words. */
export function vocabulary(size) {
	const tokens = ["<unk>", "<s>", "</s>"];
	const types = [2, 3, 3];
	for (let byte = 0; byte < 256; byte++) {
		tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
		types.push(6);
	}
	while (tokens.length < size) {
		tokens.push(`▁w${tokens.length}`);
		types.push(1);
	}
	return [
		["tokenizer.ggml.model", "string", "llama"],
		["tokenizer.ggml.tokens", "string[]", tokens],
		["tokenizer.ggml.scores", "f32[]", tokens.map((_, i) => -i)],
		["tokenizer.ggml.token_type", "i32[]", types],
		["tokenizer.ggml.bos_token_id", "u32", 1],
		["tokenizer.ggml.eos_token_id", "u32", 2],
	];
}

/**
 * A llama model of random weights with tied embeddings. The defaults make 44 million parameters;
 * `sharpness` is what its logits are multiplied with.
 * @param {string} path
 * @param {{ dim?: number, layers?: number, heads?: number, kvHeads?: number, ffn?: number, vocab?: number, context?: number, ropeBase?: number, type?: "f32" | "q8_0", seed?: number, sharpness?: number, metadata?: [string, string, any][] }} [shape]
 */
export function writeRandomLlama(
	path,
	{
		dim = 512,
		layers = 8,
		heads = 8,
		kvHeads = heads,
		ffn = 1536,
		vocab = 32000,
		context = 4096,
		ropeBase = 10000,
		type = "q8_0",
		seed = 1,
		sharpness = 1,
		metadata = [],
	} = {},
) {
	const generator = { state: seed | 1 };
	const kvDim = (dim / heads) * kvHeads;
	const weights = (name, shape) => ({ name, shape, type, data: () => randomWeights(shape, type, generator) });
	const same = (name, value) => ({ name, shape: [dim], type: "f32", data: () => Buffer.from(new Float32Array(dim).fill(value).buffer) });
	const ones = (name) => same(name, 1);
	const tensors = [weights("token_embd.weight", [dim, vocab]), same("output_norm.weight", sharpness)];
	for (let layer = 0; layer < layers; layer++) {
		const name = (part) => `blk.${layer}.${part}.weight`;
		tensors.push(
			ones(name("attn_norm")),
			weights(name("attn_q"), [dim, dim]),
			weights(name("attn_k"), [dim, kvDim]),
			weights(name("attn_v"), [dim, kvDim]),
			weights(name("attn_output"), [dim, dim]),
			ones(name("ffn_norm")),
			weights(name("ffn_gate"), [dim, ffn]),
			weights(name("ffn_up"), [dim, ffn]),
			weights(name("ffn_down"), [ffn, dim]),
		);
	}
	writeGguf(path, {
		metadata: [
			["general.architecture", "string", "llama"],
			["llama.vocab_size", "u32", vocab],
			["llama.context_length", "u32", context],
			["llama.embedding_length", "u32", dim],
			["llama.block_count", "u32", layers],
			["llama.feed_forward_length", "u32", ffn],
			["llama.attention.head_count", "u32", heads],
			["llama.attention.head_count_kv", "u32", kvHeads],
			["llama.attention.layer_norm_rms_epsilon", "f32", 1e-5],
			["llama.rope.dimension_count", "u32", dim / heads],
			...(ropeBase === 10000 ? [] : [["llama.rope.freq_base", "f32", ropeBase]]), // 10000 is what a file without it means
			...vocabulary(vocab),
			...metadata,
		],
		tensors,
	});
}
