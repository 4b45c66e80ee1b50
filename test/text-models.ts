// Tiny models in real architectures, written as GGUF, and a plain forward pass over the same weights to compare with.
import { join } from "node:path";
import { writeGguf } from "../lib/data/gguf-writer.js";
import { randomNumbers } from "../lib/data/random.js";

type Metadata = [key: string, type: string, value: unknown][];

export interface Tensor {
	/** Fastest dimension first. */
	shape: number[];
	values: Float32Array;
}

export type Weights = Record<string, Tensor>;

export interface TextModel {
	path: string;
	vocabulary: string[];
	weights: Weights;
	/** Of the last token: the final-norm hidden state and the logits. */
	forward(tokens: ArrayLike<number>): { hidden: number[]; logits: number[] };
}

export interface Shape {
	dim: number;
	layers: number;
	heads: number;
	ffn: number;
	context: number;
}

const usual: Shape = { dim: 32, layers: 2, heads: 2, ffn: 48, context: 4096 };
const epsilon = 1e-5;

/** A SentencePiece vocabulary of bytes, whole words (with all their beginnings, so that merging finds them) and control tokens. */
export function sentencePieces({ controls = [] as string[], defined = [] as string[], words = [] as string[] } = {}) {
	const tokens: [text: string, type: number][] = [
		["<unk>", 2],
		["<s>", 3],
		["</s>", 3],
	];
	for (let byte = 0; byte < 256; byte++) tokens.push([`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, 6]);
	const known = new Set(tokens.map(([text]) => text));
	const add = (text: string, type: number) => {
		if (!known.has(text)) tokens.push([text, type]);
		known.add(text);
	};
	for (const control of controls) add(control, 3);
	for (const text of defined) add(text, 4);
	add("▁", 1);
	for (const word of words) for (let n = 2; n <= word.length; n++) add(word.slice(0, n), 1);
	for (const word of words) add(word, 1);
	const texts = tokens.map(([text]) => text);
	const metadata: Metadata = [
		["tokenizer.ggml.model", "string", "llama"],
		["tokenizer.ggml.tokens", "string[]", texts],
		["tokenizer.ggml.scores", "f32[]", tokens.map(([text]) => text.length)],
		["tokenizer.ggml.token_type", "i32[]", tokens.map(([, type]) => type)],
		["tokenizer.ggml.bos_token_id", "u32", Math.max(1, texts.indexOf("<bos>"), texts.indexOf("<|begin_of_text|>"))],
		["tokenizer.ggml.eos_token_id", "u32", 2],
		["tokenizer.ggml.add_bos_token", "bool", !texts.includes("<|im_start|>") && !texts.includes("<|start_of_role|>")],
		["tokenizer.ggml.add_space_prefix", "bool", false],
	];
	return { texts, metadata };
}

/** A vocabulary of word pieces, as BERT has it. */
export function wordPieces(words: string[]) {
	const texts = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...words.map((word) => `▁${word}`)];
	for (const letter of "abcdefghijklmnopqrstuvwxyz.,'") texts.push(...[`▁${letter}`, letter].filter((text) => !texts.includes(text)));
	const metadata: Metadata = [
		["tokenizer.ggml.model", "string", "bert"],
		["tokenizer.ggml.tokens", "string[]", texts],
		["tokenizer.ggml.token_type", "i32[]", texts.map((_, i) => (i < 5 ? 3 : 1))],
		["tokenizer.ggml.token_type_count", "u32", 2],
		["tokenizer.ggml.padding_token_id", "u32", 0],
		["tokenizer.ggml.unknown_token_id", "u32", 1],
		["tokenizer.ggml.bos_token_id", "u32", 2],
		["tokenizer.ggml.seperator_token_id", "u32", 3],
		["tokenizer.ggml.mask_token_id", "u32", 4],
	];
	return { texts, metadata };
}

export type Vocabulary = ReturnType<typeof sentencePieces>;

function tensorOf(shape: number[], value: (i: number) => number): Tensor {
	return { shape, values: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i)) };
}

export const zeros = (...shape: number[]) => tensorOf(shape, () => 0);
export const ones = (...shape: number[]) => tensorOf(shape, () => 1);

/** Weights drawn alike on every machine. */
export function randomTensors(seed: number) {
	const random = randomNumbers(seed);
	return (...shape: number[]) => tensorOf(shape, () => ((2 * random() - 1) * 1.7) / Math.sqrt(shape[0] as number));
}

function save(path: string, arch: string, metadata: Metadata, weights: Weights): void {
	const tensors = Object.entries(weights).map(([name, { shape, values }]) => ({
		name,
		shape,
		type: "f32" as const,
		data: () => Buffer.from(values.buffer),
	}));
	writeGguf(path, { metadata: [["general.architecture", "string", arch], ...metadata], tensors });
}

/** Rows of W times x; W has shape [in, out]. */
function times({ shape: [n = 0, m = 0], values }: Tensor, x: ArrayLike<number>, bias?: Tensor): number[] {
	return Array.from({ length: m }, (_, o) => {
		let sum = bias?.values[o] ?? 0;
		for (let i = 0; i < n; i++) sum += (values[o * n + i] as number) * (x[i] as number);
		return sum;
	});
}

const row = ({ shape: [n = 0], values }: Tensor, i: number) => Array.from(values.subarray(i * n, (i + 1) * n));
const plus = (a: number[], b: number[], scale = 1) => a.map((x, i) => x + scale * (b[i] as number));
const mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;

function rmsNorm(x: number[], weight: Tensor): number[] {
	const scale = 1 / Math.sqrt(mean(x.map((v) => v * v)) + epsilon);
	return x.map((v, i) => v * scale * (weight.values[i] as number));
}

function layerNorm(x: number[], weight: Tensor, bias?: Tensor): number[] {
	const center = mean(x);
	const scale = 1 / Math.sqrt(mean(x.map((v) => (v - center) ** 2)) + epsilon);
	return x.map((v, i) => (v - center) * scale * (weight.values[i] as number) + (bias?.values[i] ?? 0));
}

const silu = (x: number) => x / (1 + Math.exp(-x));
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Rotary positions of one head; pairs lie side by side (`llama`) or half a head apart (`neox`). */
function rotate(x: number[], position: number, style: "llama" | "neox"): number[] {
	const out = [...x];
	for (let i = 0; i < x.length / 2; i++) {
		const angle = position * 10000 ** ((-2 * i) / x.length);
		const [a, b] = style === "llama" ? [2 * i, 2 * i + 1] : [i, i + x.length / 2];
		out[a] = (x[a] as number) * Math.cos(angle) - (x[b] as number) * Math.sin(angle);
		out[b] = (x[a] as number) * Math.sin(angle) + (x[b] as number) * Math.cos(angle);
	}
	return out;
}

function attend(q: number[], keys: number[][], values: number[][], scale: number, softcap?: number): number[] {
	const raw = keys.map((k) => scale * k.reduce((sum, x, i) => sum + x * (q[i] as number), 0));
	const logits = softcap ? raw.map((x) => softcap * Math.tanh(x / softcap)) : raw;
	const top = Math.max(...logits);
	const shares = logits.map((x) => Math.exp(x - top));
	const total = shares.reduce((a, b) => a + b, 0);
	return q.map((_, i) => values.reduce((sum, v, t) => sum + ((shares[t] as number) / total) * (v[i] as number), 0));
}

const headsOf = (x: number[], heads: number) =>
	Array.from({ length: heads }, (_, h) => x.slice((h * x.length) / heads, ((h + 1) * x.length) / heads));

interface CausalStyle {
	rope: "llama" | "neox";
	act: (x: number) => number;
	qkNorm: boolean;
	postNorms: boolean;
	embeddingScale: number;
	residualScale: number;
	attentionScale: number;
	attentionCap?: number;
	logits: (x: number) => number;
	metadata: Metadata;
}

export type CausalArch = "llama" | "gemma2" | "qwen3" | "granite";

function styleOf(arch: CausalArch, { dim, heads }: Shape): CausalStyle {
	const plain: CausalStyle = {
		rope: "llama",
		act: silu,
		qkNorm: false,
		postNorms: false,
		embeddingScale: 1,
		residualScale: 1,
		attentionScale: 1 / Math.sqrt(dim / heads),
		logits: (x) => x,
		metadata: [["llama.rope.dimension_count", "u32", dim / heads]],
	};
	switch (arch) {
		case "llama":
			return plain;
		case "qwen3":
			return { ...plain, rope: "neox", qkNorm: true, metadata: [] };
		case "gemma2":
			return {
				...plain,
				rope: "neox",
				act: gelu,
				postNorms: true,
				embeddingScale: Math.sqrt(dim),
				attentionCap: 50,
				logits: (x) => 30 * Math.tanh(x / 30),
				metadata: [
					["gemma2.attn_logit_softcapping", "f32", 50],
					["gemma2.final_logit_softcapping", "f32", 30],
					["gemma2.attention.sliding_window", "u32", 4096],
				],
			};
		case "granite":
			return {
				...plain,
				embeddingScale: 12,
				residualScale: 0.22,
				attentionScale: 0.125,
				logits: (x) => x / 2,
				metadata: [
					["granite.logit_scale", "f32", 2],
					["granite.residual_scale", "f32", 0.22],
					["granite.embedding_scale", "f32", 12],
					["granite.attention.scale", "f32", 0.125],
				],
			};
	}
}

function causalWeights(arch: CausalArch, shape: Shape, vocab: number, seed: number): Weights {
	const { dim, layers, heads, ffn } = shape;
	const random = randomTensors(seed);
	const weights: Weights = { "token_embd.weight": random(dim, vocab), "output_norm.weight": ones(dim) };
	if (arch !== "gemma2") weights["output.weight"] = random(dim, vocab);
	for (let i = 0; i < layers; i++) {
		const add = (name: string, tensor: Tensor) => {
			weights[`blk.${i}.${name}.weight`] = tensor;
		};
		add("attn_norm", ones(dim));
		for (const part of ["attn_q", "attn_k", "attn_v", "attn_output"]) add(part, random(dim, dim));
		if (arch === "qwen3") for (const part of ["attn_q_norm", "attn_k_norm"]) add(part, ones(dim / heads));
		if (arch === "gemma2") for (const part of ["post_attention_norm", "post_ffw_norm"]) add(part, ones(dim));
		add("ffn_norm", ones(dim));
		add("ffn_gate", random(dim, ffn));
		add("ffn_up", random(dim, ffn));
		add("ffn_down", random(ffn, dim));
	}
	return weights;
}

function causalForward(arch: CausalArch, shape: Shape, weights: Weights, tokens: ArrayLike<number>) {
	const style = styleOf(arch, shape);
	const { heads, layers } = shape;
	const w = (name: string) => weights[`${name}.weight`] as Tensor;
	let states = Array.from(tokens, (token) => row(w("token_embd"), token).map((x) => x * style.embeddingScale));
	for (let i = 0; i < layers; i++) {
		const l = (name: string) => w(`blk.${i}.${name}`);
		const normed = states.map((x) => rmsNorm(x, l("attn_norm")));
		const project = (part: "q" | "k") =>
			normed.map((x, t) =>
				headsOf(times(l(`attn_${part}`), x), heads).map((head) =>
					rotate(style.qkNorm ? rmsNorm(head, l(`attn_${part}_norm`)) : head, t, style.rope),
				),
			);
		const [q, k] = [project("q"), project("k")];
		const v = normed.map((x) => headsOf(times(l("attn_v"), x), heads));
		const first = i === layers - 1 ? states.length - 1 : 0; // only the last token's output is needed of the last layer
		states = states.map((x, t) => {
			if (t < first) return x;
			const attended = Array.from({ length: heads }, (_, h) => {
				const of = (all: number[][][]) => all.slice(0, t + 1).map((token) => token[h] as number[]);
				return attend(q[t]?.[h] as number[], of(k), of(v), style.attentionScale, style.attentionCap);
			}).flat();
			const output = times(l("attn_output"), attended);
			const after = plus(x, style.postNorms ? rmsNorm(output, l("post_attention_norm")) : output, style.residualScale);
			const inner = rmsNorm(after, l("ffn_norm"));
			const up = times(l("ffn_up"), inner);
			const gated = times(l("ffn_gate"), inner).map((g, j) => style.act(g) * (up[j] as number));
			const down = times(l("ffn_down"), gated);
			return plus(after, style.postNorms ? rmsNorm(down, l("post_ffw_norm")) : down, style.residualScale);
		});
	}
	const hidden = rmsNorm(states.at(-1) as number[], w("output_norm"));
	const logits = times(weights["output.weight"] ?? w("token_embd"), hidden).map(style.logits);
	return { hidden, logits };
}

let count = 0;

export interface CausalOptions extends Partial<Shape> {
	vocabulary: Vocabulary;
	seed?: number;
	/** Replaces weights. */
	weights?: (shape: Shape, vocabulary: string[]) => Weights;
	metadata?: Metadata;
}

/** A model that reads left to right. */
export function causalModel(folder: string, arch: CausalArch, options: CausalOptions): TextModel {
	const { vocabulary, seed = 1, weights: own, metadata = [], ...given } = options;
	const shape = { ...usual, ...given };
	const { dim, layers, heads, ffn, context } = shape;
	const weights = { ...causalWeights(arch, shape, vocabulary.texts.length, seed), ...own?.(shape, vocabulary.texts) };
	const path = join(folder, `${arch}-${count++}.gguf`);
	const header: Metadata = [
		[`${arch}.vocab_size`, "u32", vocabulary.texts.length],
		[`${arch}.context_length`, "u32", context],
		[`${arch}.embedding_length`, "u32", dim],
		[`${arch}.block_count`, "u32", layers],
		[`${arch}.feed_forward_length`, "u32", ffn],
		[`${arch}.attention.head_count`, "u32", heads],
		[`${arch}.attention.head_count_kv`, "u32", heads],
		[`${arch}.attention.key_length`, "u32", dim / heads],
		[`${arch}.attention.value_length`, "u32", dim / heads],
		[`${arch}.attention.layer_norm_rms_epsilon`, "f32", epsilon],
		...styleOf(arch, shape).metadata,
		...vocabulary.metadata,
		...metadata,
	];
	save(path, arch, header, weights);
	return { path, vocabulary: vocabulary.texts, weights, forward: (tokens) => causalForward(arch, shape, weights, tokens) };
}

export interface ClassifierModel {
	path: string;
	vocabulary: string[];
	/** Logits of the classes. */
	classify(tokens: ArrayLike<number>): number[];
}

export interface ClassifierOptions extends Partial<Shape> {
	vocabulary: Vocabulary;
	labels?: string[];
	seed?: number;
	weights?: (shape: Shape, vocabulary: string[]) => Weights;
	/** Leaves tensors out. */
	without?: RegExp;
	/** Of the head: bert is read with tanh, modern-bert with GELU, where the file does not say. */
	activation?: "none";
}

const without = (weights: Weights, pattern: RegExp | undefined) =>
	Object.fromEntries(Object.entries(weights).filter(([name]) => !pattern?.test(name)));

function bertWeights({ dim, layers, ffn, context }: Shape, vocab: number, classes: number, seed: number): Weights {
	const random = randomTensors(seed);
	const weights: Weights = {
		"token_embd.weight": random(dim, vocab),
		"token_types.weight": random(dim, 2),
		"position_embd.weight": random(dim, context),
		"token_embd_norm.weight": ones(dim),
		"token_embd_norm.bias": random(dim),
		"cls.weight": random(dim, dim),
		"cls.bias": random(dim),
		"cls.output.weight": random(dim, classes),
		"cls.output.bias": random(classes),
	};
	for (let i = 0; i < layers; i++) {
		const add = (name: string, n: number, m: number) => {
			weights[`blk.${i}.${name}.weight`] = random(n, m);
			weights[`blk.${i}.${name}.bias`] = random(m);
		};
		for (const part of ["attn_q", "attn_k", "attn_v", "attn_output"]) add(part, dim, dim);
		add("ffn_up", dim, ffn);
		add("ffn_down", ffn, dim);
		for (const part of ["attn_output_norm", "layer_output_norm"]) {
			weights[`blk.${i}.${part}.weight`] = ones(dim);
			weights[`blk.${i}.${part}.bias`] = random(dim);
		}
	}
	return weights;
}

function bertClassify({ dim, layers, heads }: Shape, weights: Weights, tokens: ArrayLike<number>): number[] {
	const w = (name: string) => weights[name] as Tensor;
	let states = Array.from(tokens, (token, t) => {
		const embedded = plus(row(w("token_embd.weight"), token), row(w("token_types.weight"), 0));
		return layerNorm(plus(embedded, row(w("position_embd.weight"), t)), w("token_embd_norm.weight"), w("token_embd_norm.bias"));
	});
	for (let i = 0; i < layers; i++) {
		const linear = (name: string, x: number[]) => times(w(`blk.${i}.${name}.weight`), x, w(`blk.${i}.${name}.bias`));
		const norm = (name: string, x: number[]) => layerNorm(x, w(`blk.${i}.${name}.weight`), w(`blk.${i}.${name}.bias`));
		const [q, k, v] = ["attn_q", "attn_k", "attn_v"].map((part) => states.map((x) => headsOf(linear(part, x), heads)));
		states = states.map((x, t) => {
			const attended = Array.from({ length: heads }, (_, h) => {
				const of = (all: number[][][] | undefined) => (all ?? []).map((token) => token[h] as number[]);
				return attend(q?.[t]?.[h] as number[], of(k), of(v), 1 / Math.sqrt(dim / heads));
			}).flat();
			const after = norm("attn_output_norm", plus(linear("attn_output", attended), x));
			return norm("layer_output_norm", plus(linear("ffn_down", linear("ffn_up", after).map(gelu)), after));
		});
	}
	const first = states[0] as number[];
	const pooled = weights["cls.weight"] ? times(w("cls.weight"), first, w("cls.bias")).map(Math.tanh) : first;
	return times(w("cls.output.weight"), pooled, w("cls.output.bias"));
}

function modernBertWeights({ dim, layers, ffn }: Shape, vocab: number, classes: number, seed: number): Weights {
	const random = randomTensors(seed);
	const weights: Weights = {
		"token_embd.weight": random(dim, vocab),
		"token_embd_norm.weight": ones(dim),
		"output_norm.weight": ones(dim),
		"cls.weight": random(dim, dim),
		"cls.norm.weight": ones(dim),
		"cls.output.weight": random(dim, classes),
		"cls.output.bias": random(classes),
	};
	for (let i = 0; i < layers; i++) {
		if (i > 0) weights[`blk.${i}.attn_norm.weight`] = ones(dim);
		weights[`blk.${i}.attn_qkv.weight`] = random(dim, 3 * dim);
		weights[`blk.${i}.attn_output.weight`] = random(dim, dim);
		weights[`blk.${i}.ffn_norm.weight`] = ones(dim);
		weights[`blk.${i}.ffn_up.weight`] = random(dim, 2 * ffn);
		weights[`blk.${i}.ffn_down.weight`] = random(ffn, dim);
	}
	return weights;
}

function modernBertClassify({ dim, layers, heads, ffn }: Shape, weights: Weights, tokens: ArrayLike<number>): number[] {
	const w = (name: string) => weights[`${name}.weight`] as Tensor;
	let states = Array.from(tokens, (token) => layerNorm(row(w("token_embd"), token), w("token_embd_norm")));
	for (let i = 0; i < layers; i++) {
		const l = (name: string) => w(`blk.${i}.${name}`);
		const projected = states.map((x) => times(l("attn_qkv"), i > 0 ? layerNorm(x, l("attn_norm")) : x));
		const part = (p: number, rotated: boolean) =>
			projected.map((x, t) => headsOf(x.slice(p * dim, (p + 1) * dim), heads).map((head) => (rotated ? rotate(head, t, "neox") : head)));
		const [q, k, v] = [part(0, true), part(1, true), part(2, false)];
		states = states.map((x, t) => {
			const attended = Array.from({ length: heads }, (_, h) => {
				const of = (all: number[][][]) => all.map((token) => token[h] as number[]);
				return attend(q[t]?.[h] as number[], of(k), of(v), 1 / Math.sqrt(dim / heads));
			}).flat();
			const after = plus(times(l("attn_output"), attended), x);
			const up = times(l("ffn_up"), layerNorm(after, l("ffn_norm")));
			const gated = up.slice(0, ffn).map((g, j) => gelu(g) * (up[ffn + j] as number));
			return plus(times(l("ffn_down"), gated), after);
		});
	}
	const normed = states.map((x) => layerNorm(x, w("output_norm")));
	const pooled = Array.from({ length: dim }, (_, i) => mean(normed.map((x) => x[i] as number)));
	const head = layerNorm(times(w("cls"), pooled).map(gelu), w("cls.norm"));
	return times(w("cls.output"), head, weights["cls.output.bias"]);
}

/** A BERT or ModernBERT with a classification head. */
export function encoderModel(folder: string, arch: "bert" | "modern-bert", options: ClassifierOptions): ClassifierModel {
	const { vocabulary, labels, seed = 1, weights: own, without: left, activation, ...given } = options;
	const shape = { ...usual, context: 256, ...given };
	const make = arch === "bert" ? bertWeights : modernBertWeights;
	const drawn = make(shape, vocabulary.texts.length, labels?.length ?? 1, seed);
	const weights = without({ ...drawn, ...own?.(shape, vocabulary.texts) }, left);
	const path = join(folder, `${arch}-${count++}.gguf`);
	const header: Metadata = [
		[`${arch}.context_length`, "u32", shape.context],
		[`${arch}.embedding_length`, "u32", shape.dim],
		[`${arch}.block_count`, "u32", shape.layers],
		[`${arch}.feed_forward_length`, "u32", shape.ffn],
		[`${arch}.attention.head_count`, "u32", shape.heads],
		[`${arch}.attention.layer_norm_epsilon`, "f32", epsilon],
		[`${arch}.attention.causal`, "bool", false],
		[`${arch}.pooling_type`, "u32", 4],
		...(labels ? ([[`${arch}.classifier.output_labels`, "string[]", labels]] as Metadata) : []),
		...(activation ? ([["inferenceguard.classifier.activation", "string", activation]] as Metadata) : []),
		...vocabulary.metadata,
	];
	save(path, arch, header, weights);
	const classify = arch === "bert" ? bertClassify : modernBertClassify;
	return { path, vocabulary: vocabulary.texts, classify: (tokens) => classify(shape, weights, tokens) };
}

/** A Qwen3 with a classification head; its classes are a softmax already. */
export function qwenClassifier(
	folder: string,
	{ vocabulary, labels = ["safe", "unsafe"], seed = 1, without: left }: ClassifierOptions,
): ClassifierModel {
	const shape = { ...usual };
	const head = randomTensors(seed + 100)(shape.dim, labels.length);
	const model = causalModel(folder, "qwen3", {
		vocabulary,
		seed,
		weights: () => (left?.test("cls.output.weight") ? ({} as Weights) : { "cls.output.weight": head }),
		metadata: [
			["qwen3.pooling_type", "u32", 4],
			["qwen3.classifier.output_labels", "string[]", labels],
		],
	});
	return { path: model.path, vocabulary: model.vocabulary, classify: (tokens) => times(head, model.forward(tokens).hidden) };
}

/** The linear head of a score model. */
export function scoreHead(folder: string, weights: Weights): string {
	const path = join(folder, `head-${count++}.gguf`);
	save(path, "score", [], weights);
	return path;
}

/**
 * Weights of a llama model of one layer that answers `unsafe` where one of some words stands anywhere before, and `safe` otherwise:
 * attention that looks at all tokens alike brings the share of such words to the last position.
 */
export function wordDetector(words: string[], safe: string, unsafe: string): NonNullable<CausalOptions["weights"]> {
	return ({ dim, ffn }, vocabulary) => {
		const rows = (fill: (token: string) => Record<number, number>) => {
			const tensor = zeros(dim, vocabulary.length);
			vocabulary.forEach((token, i) => {
				for (const [d, value] of Object.entries(fill(token))) tensor.values[i * dim + Number(d)] = value;
			});
			return tensor;
		};
		const single = (out: number, from: number, value: number) => {
			const tensor = zeros(dim, dim);
			tensor.values[out * dim + from] = value;
			return tensor;
		};
		return {
			"token_embd.weight": rows((token): Record<number, number> => (words.includes(token) ? { 0: 1, 1: 1 } : { 0: 1 })),
			"output.weight": rows((token): Record<number, number> => (token === safe ? {} : token === unsafe ? { 0: -1, 2: 2 } : { 0: -3 })),
			"blk.0.attn_q.weight": zeros(dim, dim),
			"blk.0.attn_k.weight": zeros(dim, dim),
			"blk.0.attn_v.weight": single(0, 1, 1),
			"blk.0.attn_output.weight": single(2, 0, 2000),
			"blk.0.ffn_down.weight": zeros(ffn, dim),
		};
	};
}
