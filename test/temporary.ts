import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { randomTensor, vocabulary, writeRandomLlama } from "../bench/gguf.mjs";
import { writeGguf } from "../lib/data/gguf-writer.js";

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-test-"));
	afterAll(() => rmSync(folder, { recursive: true, force: true }));
	return folder;
}

/** A llama model of random weights, a few hundred kilobytes. */
export function smallModel(folder: string, options: Parameters<typeof writeRandomLlama>[1] = {}): string {
	return smallModelParts(folder, options)[0] as string;
}

/** Its parts, with the option `parts`. */
export function smallModelParts(folder: string, options: Parameters<typeof writeRandomLlama>[1] = {}): string[] {
	const path = join(folder, `model-${Math.random().toString(36).slice(2)}.gguf`);
	return writeRandomLlama(path, { dim: 64, layers: 2, heads: 4, ffn: 128, vocab: 512, context: 256, type: "f32", ...options });
}

function constantTensor(name: string, shape: number[], value: number) {
	const size = shape.reduce((a, b) => a * b);
	return { name, shape, type: "f32" as const, data: () => Buffer.from(new Float32Array(size).fill(value).buffer) };
}

/** A Gemma 3 model of random weights, whose layers see a window of 16 tokens but for every sixth. */
export function smallSlidingModel(folder: string, context = 512): string {
	const path = join(folder, `gemma3-${context}.gguf`);
	const [dim, heads, headDim, ffn, vocab] = [64, 4, 16, 128, 512];
	const ones = (name: string, width: number) => constantTensor(name, [width], 1);
	const layer = (i: number) => [
		...["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"].map((name) => ones(`blk.${i}.${name}.weight`, dim)),
		...["attn_q_norm", "attn_k_norm"].map((name) => ones(`blk.${i}.${name}.weight`, headDim)),
		...["attn_q", "attn_k", "attn_v", "attn_output"].map((name) => randomTensor(`blk.${i}.${name}.weight`, [dim, heads * headDim])),
		randomTensor(`blk.${i}.ffn_gate.weight`, [dim, ffn]),
		randomTensor(`blk.${i}.ffn_up.weight`, [dim, ffn]),
		randomTensor(`blk.${i}.ffn_down.weight`, [ffn, dim]),
	];
	writeGguf(path, {
		metadata: [
			["general.architecture", "string", "gemma3"],
			["gemma3.context_length", "u32", context],
			["gemma3.embedding_length", "u32", dim],
			["gemma3.block_count", "u32", 6],
			["gemma3.feed_forward_length", "u32", ffn],
			["gemma3.attention.head_count", "u32", heads],
			["gemma3.attention.head_count_kv", "u32", heads],
			["gemma3.attention.key_length", "u32", headDim],
			["gemma3.attention.value_length", "u32", headDim],
			["gemma3.attention.sliding_window", "u32", 16],
			["gemma3.attention.layer_norm_rms_epsilon", "f32", 1e-6],
			...vocabulary(vocab),
		] as [string, string, unknown][],
		tensors: [
			randomTensor("token_embd.weight", [dim, vocab]),
			ones("output_norm.weight", dim),
			...Array.from({ length: 6 }, (_, i) => layer(i)).flat(),
		],
	});
	return path;
}

/** A Mamba model of random weights: recurrent, so that its sequences can be forked but not cut back. */
export function smallRecurrentModel(
	folder: string,
	context = 256,
	type: "f32" | "q8_0" = "f32",
	metadata: [string, string, unknown][] = [],
): string {
	const path = join(folder, `mamba-${type}-${context}.gguf`);
	const [dim, inner, state, rank, kernel, vocab] = [32, 64, 8, 4, 4, 512];
	const layer = (i: number) => [
		constantTensor(`blk.${i}.attn_norm.weight`, [dim], 1),
		randomTensor(`blk.${i}.ssm_in.weight`, [dim, 2 * inner], type),
		randomTensor(`blk.${i}.ssm_conv1d.weight`, [kernel, inner]),
		constantTensor(`blk.${i}.ssm_conv1d.bias`, [inner], 0),
		randomTensor(`blk.${i}.ssm_x.weight`, [inner, rank + 2 * state]),
		randomTensor(`blk.${i}.ssm_dt.weight`, [rank, inner]),
		constantTensor(`blk.${i}.ssm_dt.bias`, [inner], 0.1),
		constantTensor(`blk.${i}.ssm_a`, [state, inner], -0.5),
		constantTensor(`blk.${i}.ssm_d`, [inner], 1),
		randomTensor(`blk.${i}.ssm_out.weight`, [inner, dim], type),
	];
	writeGguf(path, {
		metadata: [
			["general.architecture", "string", "mamba"],
			["mamba.context_length", "u32", context],
			["mamba.embedding_length", "u32", dim],
			["mamba.feed_forward_length", "u32", 0],
			["mamba.attention.head_count", "u32", 0],
			["mamba.block_count", "u32", 2],
			["mamba.ssm.conv_kernel", "u32", kernel],
			["mamba.ssm.inner_size", "u32", inner],
			["mamba.ssm.state_size", "u32", state],
			["mamba.ssm.time_step_rank", "u32", rank],
			["mamba.attention.layer_norm_rms_epsilon", "f32", 1e-5],
			...vocabulary(vocab),
			...metadata,
		] as [string, string, unknown][],
		tensors: [randomTensor("token_embd.weight", [dim, vocab]), constantTensor("output_norm.weight", [dim], 1), ...layer(0), ...layer(1)],
	});
	return path;
}
