// The architectures of classifiers that can be converted: the computation of each, and the places of its tensors.
import { z } from "zod";
import type { GgufEntry } from "../data/gguf-writer.js";

/** A tensor of the checkpoint and its place in the GGUF file. */
export interface TensorPlace {
	from: string;
	to: string;
	/** Slowest dimension first. */
	shape: number[];
	/** The token embedding and the layers' matrices may be packed; all other tensors stay in single precision. */
	packs?: boolean;
	/** Number of first rows to leave out. */
	skips?: number;
	optional?: boolean;
}

export interface Architecture {
	/** llama.cpp's name for it. */
	name: "bert" | "modern-bert";
	/** Hyperparameters; the keys lack the architecture's name. */
	entries: GgufEntry[];
	tensors: TensorPlace[];
	head: { activation: "tanh" | "relu" | "gelu"; pooling: "cls" | "mean" };
	tokenTypes: number;
}

const size = z.int().min(1);
const gelu = z.literal(["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"]); // llama.cpp computes all of these the same way

const matrix = (from: string, to: string, rows: number, columns: number): TensorPlace => ({
	from: `${from}.weight`,
	to: `${to}.weight`,
	shape: [rows, columns],
	packs: true,
});
const exact = (place: TensorPlace): TensorPlace => ({ ...place, packs: false });
const vector = (from: string, to: string, n: number): TensorPlace => ({ from, to, shape: [n] });
const linear = (from: string, to: string, rows: number, columns: number) => [
	matrix(from, to, rows, columns),
	vector(`${from}.bias`, `${to}.bias`, rows),
];
const norm = (from: string, to: string, n: number) => [
	vector(`${from}.weight`, `${to}.weight`, n),
	vector(`${from}.bias`, `${to}.bias`, n),
];
const headLayer = (from: string, to: string, rows: number, columns: number) => linear(from, to, rows, columns).map(exact);

interface Shape {
	width: number;
	inner: number;
	layers: number;
	heads: number;
	context: number;
	epsilon: number;
}

const hyperparameters = ({ width, inner, layers, heads, context, epsilon }: Shape): GgufEntry[] => [
	["context_length", "u32", context],
	["embedding_length", "u32", width],
	["feed_forward_length", "u32", inner],
	["block_count", "u32", layers],
	["attention.head_count", "u32", heads],
	["attention.layer_norm_epsilon", "f32", epsilon],
	["attention.causal", "bool", false],
];

/** Sizes with the same name in all of them. */
const commonSizes = {
	vocab_size: size,
	hidden_size: size,
	num_hidden_layers: size,
	num_attention_heads: size,
	intermediate_size: size,
	max_position_embeddings: size,
};

export const bertConfig = z.object({
	...commonSizes,
	type_vocab_size: size.default(2),
	layer_norm_eps: z.number().min(0).default(1e-12),
	hidden_act: gelu.default("gelu"),
	position_embedding_type: z.literal("absolute").nullish(),
	pad_token_id: z.int().min(0).nullish(),
});

const layerNames = {
	"attention.self.query": "attn_q",
	"attention.self.key": "attn_k",
	"attention.self.value": "attn_v",
	"attention.output.dense": "attn_output",
};

/** The body of BERT, RoBERTa and XLM-RoBERTa. The positions of the latter two begin after the padding's. */
export function bertBody(prefix: string, config: z.output<typeof bertConfig>, skips: number) {
	const { hidden_size: width, intermediate_size: inner, vocab_size, type_vocab_size } = config;
	const at = (name: string) => `${prefix}.embeddings.${name}`;
	const tensors = [
		matrix(at("word_embeddings"), "token_embd", vocab_size, width),
		{ ...exact(matrix(at("position_embeddings"), "position_embd", config.max_position_embeddings, width)), skips },
		exact(matrix(at("token_type_embeddings"), "token_types", type_vocab_size, width)),
		...norm(at("LayerNorm"), "token_embd_norm", width),
	];
	for (let i = 0; i < config.num_hidden_layers; i++) {
		const from = `${prefix}.encoder.layer.${i}`;
		for (const [name, to] of Object.entries(layerNames)) tensors.push(...linear(`${from}.${name}`, `blk.${i}.${to}`, width, width));
		tensors.push(
			...norm(`${from}.attention.output.LayerNorm`, `blk.${i}.attn_output_norm`, width),
			...linear(`${from}.intermediate.dense`, `blk.${i}.ffn_up`, inner, width),
			...linear(`${from}.output.dense`, `blk.${i}.ffn_down`, width, inner),
			...norm(`${from}.output.LayerNorm`, `blk.${i}.layer_output_norm`, width),
		);
	}
	const entries = hyperparameters({
		width,
		inner,
		layers: config.num_hidden_layers,
		heads: config.num_attention_heads,
		context: config.max_position_embeddings - skips,
		epsilon: config.layer_norm_eps,
	});
	return { name: "bert" as const, entries, tensors, tokenTypes: type_vocab_size };
}

function bert(given: unknown, classes: number): Architecture {
	const config = bertConfig.parse(given);
	const { tensors, ...body } = bertBody("bert", config, 0);
	const head = [
		...headLayer("bert.pooler.dense", "cls", config.hidden_size, config.hidden_size),
		...headLayer("classifier", "cls.output", classes, config.hidden_size),
	];
	return { ...body, tensors: [...tensors, ...head], head: { activation: "tanh", pooling: "cls" } };
}

function roberta(given: unknown, classes: number): Architecture {
	const config = bertConfig.parse(given);
	const { tensors, ...body } = bertBody("roberta", config, (config.pad_token_id ?? 1) + 1);
	const head = [
		...headLayer("classifier.dense", "cls", config.hidden_size, config.hidden_size),
		...headLayer("classifier.out_proj", "cls.output", classes, config.hidden_size),
	];
	return { ...body, tensors: [...tensors, ...head], head: { activation: "tanh", pooling: "cls" } };
}

const distilBertConfig = z.object({
	vocab_size: size,
	dim: size,
	n_layers: size,
	n_heads: size,
	hidden_dim: size,
	max_position_embeddings: size,
	activation: gelu.default("gelu"),
});

function distilBert(given: unknown, classes: number): Architecture {
	const config = distilBertConfig.parse(given);
	const { dim: width, hidden_dim: inner, n_layers: layers, n_heads: heads, max_position_embeddings: context } = config;
	const tensors = [
		matrix("distilbert.embeddings.word_embeddings", "token_embd", config.vocab_size, width),
		exact(matrix("distilbert.embeddings.position_embeddings", "position_embd", context, width)),
		...norm("distilbert.embeddings.LayerNorm", "token_embd_norm", width),
	];
	for (let i = 0; i < layers; i++) {
		const from = `distilbert.transformer.layer.${i}`;
		for (const [name, to] of Object.entries({ q_lin: "attn_q", k_lin: "attn_k", v_lin: "attn_v", out_lin: "attn_output" })) {
			tensors.push(...linear(`${from}.attention.${name}`, `blk.${i}.${to}`, width, width));
		}
		tensors.push(
			...norm(`${from}.sa_layer_norm`, `blk.${i}.attn_output_norm`, width),
			...linear(`${from}.ffn.lin1`, `blk.${i}.ffn_up`, inner, width),
			...linear(`${from}.ffn.lin2`, `blk.${i}.ffn_down`, width, inner),
			...norm(`${from}.output_layer_norm`, `blk.${i}.layer_output_norm`, width),
		);
	}
	tensors.push(...headLayer("pre_classifier", "cls", width, width), ...headLayer("classifier", "cls.output", classes, width));
	const entries = hyperparameters({ width, inner, layers, heads, context, epsilon: 1e-12 });
	return { name: "bert", entries, tensors, head: { activation: "relu", pooling: "cls" }, tokenTypes: 1 };
}

const rope = z.object({ rope_type: z.literal("default").default("default"), rope_theta: z.number().positive() });
const modernBertConfig = z.object({
	...commonSizes,
	norm_eps: z.number().min(0).default(1e-5),
	hidden_activation: gelu.default("gelu"),
	classifier_activation: z.literal("gelu").default("gelu"),
	classifier_pooling: z.enum(["cls", "mean"]).default("cls"),
	attention_bias: z.literal(false).default(false),
	mlp_bias: z.literal(false).default(false),
	norm_bias: z.literal(false).default(false),
	classifier_bias: z.literal(false).default(false),
	local_attention: size.default(128),
	global_attn_every_n_layers: size.default(3),
	layer_types: z.array(z.string()).nullish(),
	rope_scaling: z.null().optional(),
	global_rope_theta: z.number().positive().default(160000),
	local_rope_theta: z.number().positive().nullable().default(10000),
	rope_parameters: z.object({ full_attention: rope, sliding_attention: rope }).nullish(),
});

type ModernBertConfig = z.output<typeof modernBertConfig>;

/** The period of the layers with global attention, counted from the first layer. */
function globalPeriod({ layer_types, global_attn_every_n_layers }: ModernBertConfig): number {
	if (!layer_types) return global_attn_every_n_layers;
	const second = layer_types.indexOf("full_attention", 1);
	return second < 0 ? layer_types.length : second;
}

const isPeriodic = (config: ModernBertConfig) =>
	config.layer_types?.every((type, i) => (type === "full_attention") === (i % globalPeriod(config) === 0)) ?? true;

function modernBert(given: unknown, classes: number): Architecture {
	const config = modernBertConfig
		.refine(isPeriodic, { path: ["layer_types"], error: "expected full attention at regular layers" })
		.parse(given);
	const { hidden_size: width, intermediate_size: inner, num_hidden_layers: layers, num_attention_heads: heads } = config;
	const plain = (from: string, to: string): TensorPlace => vector(`${from}.weight`, `${to}.weight`, width);
	const tensors = [
		matrix("model.embeddings.tok_embeddings", "token_embd", config.vocab_size, width),
		plain("model.embeddings.norm", "token_embd_norm"),
		plain("model.final_norm", "output_norm"),
	];
	for (let i = 0; i < layers; i++) {
		const from = `model.layers.${i}`;
		if (i > 0) tensors.push(plain(`${from}.attn_norm`, `blk.${i}.attn_norm`));
		tensors.push(
			matrix(`${from}.attn.Wqkv`, `blk.${i}.attn_qkv`, 3 * width, width),
			matrix(`${from}.attn.Wo`, `blk.${i}.attn_output`, width, width),
			plain(`${from}.mlp_norm`, `blk.${i}.ffn_norm`),
			matrix(`${from}.mlp.Wi`, `blk.${i}.ffn_up`, 2 * inner, width),
			matrix(`${from}.mlp.Wo`, `blk.${i}.ffn_down`, width, inner),
		);
	}
	tensors.push(
		exact(matrix("head.dense", "cls", width, width)),
		plain("head.norm", "cls.norm"),
		...headLayer("classifier", "cls.output", classes, width),
	);
	const theta = config.rope_parameters;
	const entries: GgufEntry[] = [
		...hyperparameters({ width, inner, layers, heads, context: config.max_position_embeddings, epsilon: config.norm_eps }),
		["attention.sliding_window", "u32", config.local_attention],
		["attention.sliding_window_pattern", "u32", globalPeriod(config)],
		["rope.scaling.type", "string", "none"],
		["rope.freq_base", "f32", theta?.full_attention.rope_theta ?? config.global_rope_theta],
		["rope.freq_base_swa", "f32", theta?.sliding_attention.rope_theta ?? config.local_rope_theta ?? config.global_rope_theta],
		["vocab_size", "u32", config.vocab_size],
	];
	return { name: "modern-bert", entries, tensors, head: { activation: "gelu", pooling: config.classifier_pooling }, tokenTypes: 1 };
}

/** By the class in `architectures` of config.json. Each throws a ZodError for what llama.cpp cannot compute. */
export const architectures: Readonly<Record<string, (config: unknown, classes: number) => Architecture>> = {
	BertForSequenceClassification: bert,
	RobertaForSequenceClassification: roberta,
	XLMRobertaForSequenceClassification: roberta,
	DistilBertForSequenceClassification: distilBert,
	ModernBertForSequenceClassification: modernBert,
};

/** Tensors that a classifier does not compute with: buffers, and heads of the pretraining. */
export const isUnused = (name: string) => /position_ids$|inv_freq$|^cls\.|^lm_head\.|^vocab_|^roberta\.pooler\.|^decoder\./.test(name);
