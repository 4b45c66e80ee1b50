// Makes small GGUF models of random weights for the benchmarks and the tests.
import { writeGguf } from "../dist/data/gguf-writer.js";

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
 * `sharpness` is what its logits are multiplied with. In several parts `name.gguf` becomes `name-00001-of-00002.gguf` and so on. Returns the
 * paths.
 * @param {string} path
 * @param {{ dim?: number, layers?: number, heads?: number, kvHeads?: number, ffn?: number, vocab?: number, context?: number, ropeBase?: number, type?: "f32" | "q8_0", seed?: number, sharpness?: number, parts?: number, metadata?: [string, string, any][] }} [shape]
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
		parts = 1,
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
	const described = [
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
	];
	const split = (number) =>
		parts === 1
			? []
			: [
					["split.no", "u16", number],
					["split.count", "u16", parts],
					["split.tensors.count", "i32", tensors.length],
				];
	const numbered = (number) => String(number).padStart(5, "0");
	const paths = Array.from({ length: parts }, (_, i) =>
		parts === 1 ? path : path.replace(/\.gguf$/, `-${numbered(i + 1)}-of-${numbered(parts)}.gguf`),
	);
	const each = Math.ceil(tensors.length / parts);
	for (const [i, part] of paths.entries()) {
		const own = tensors.slice(i * each, (i + 1) * each);
		const metadata = i === 0 ? [...described, ...split(0)] : [described[0], ...split(i)];
		writeGguf(part, { metadata, tensors: own });
	}
	return paths;
}
