// A BERT of random weights in Hugging Face's layout.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomNumbers } from "../lib/data/random.js";

const [width, inner, layers, heads, positions] = [32, 64, 2, 2, 384];

export const smallBertConfig = {
	model_type: "bert",
	architectures: ["BertModel"],
	hidden_act: "gelu",
	hidden_size: width,
	intermediate_size: inner,
	num_hidden_layers: layers,
	num_attention_heads: heads,
	max_position_embeddings: positions,
	type_vocab_size: 2,
	layer_norm_eps: 1e-12,
	position_embedding_type: "absolute",
};

const letters = [..."abcdefghijklmnopqrstuvwxyz"];
const specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

function safetensors(tensors: Map<string, { shape: number[]; values: Float32Array }>): Buffer {
	let end = 0;
	const entries = [...tensors].map(([name, { shape, values }]) => {
		const begin = end;
		end += values.byteLength;
		return [name, { dtype: "F32", shape, data_offsets: [begin, end] }];
	});
	const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(header.length));
	return Buffer.concat([length, header, ...[...tensors.values()].map(({ values }) => Buffer.from(values.buffer))]);
}

/** Writes one whose vocabulary has these words and all letters. */
export function writeSmallBert(folder: string, words: readonly string[], config: object = {}, prefix = ""): string {
	const random = randomNumbers(5);
	const vocabulary = [...specials, ".", ",", ...words, ...letters, ...letters.map((letter) => `##${letter}`)];
	const tensors = new Map<string, { shape: number[]; values: Float32Array }>();
	const add = (name: string, shape: number[], scale: number, mean = 0) => {
		const size = shape.reduce((product, n) => product * n, 1);
		const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
		tensors.set(prefix + name, { shape, values: Float32Array.from({ length: size }, () => mean + scale * normal()) });
	};
	const linear = (name: string, rows: number, columns: number) => {
		add(`${name}.weight`, [rows, columns], columns ** -0.5);
		add(`${name}.bias`, [rows], 0.1);
	};
	const norm = (name: string) => {
		add(`${name}.weight`, [width], 0.1, 1);
		add(`${name}.bias`, [width], 0.1);
	};
	add("embeddings.word_embeddings.weight", [vocabulary.length, width], 1);
	add("embeddings.position_embeddings.weight", [positions, width], 0.1);
	add("embeddings.token_type_embeddings.weight", [2, width], 0.1);
	norm("embeddings.LayerNorm");
	for (let i = 0; i < layers; i++) {
		const at = (name: string) => `encoder.layer.${i}.${name}`;
		for (const name of ["self.query", "self.key", "self.value", "output.dense"]) linear(at(`attention.${name}`), width, width);
		norm(at("attention.output.LayerNorm"));
		linear(at("intermediate.dense"), inner, width);
		linear(at("output.dense"), width, inner);
		norm(at("output.LayerNorm"));
	}
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "model.safetensors"), safetensors(tensors));
	writeFileSync(join(folder, "vocab.txt"), vocabulary.map((piece) => `${piece}\n`).join(""));
	writeFileSync(join(folder, "config.json"), JSON.stringify({ ...smallBertConfig, vocab_size: vocabulary.length, ...config }));
	return folder;
}
