// The tokens that a model gets of a prompt.

import { nativeSpec } from "../lib/guard/load-spec.js";
import { NativeGuard } from "../lib/guard/native-guard.js";
import type { Prompt } from "../lib/index.js";
import { checkLoadOptions } from "../lib/options/load.js";
import { type PromptReading, readPrompt } from "../lib/prompt/chat.js";
import { readGguf } from "./gguf-reader.js";

/** A loaded model that reads prompts. */
export async function promptReader(model: string) {
	const native = new NativeGuard(await nativeSpec(checkLoadOptions({ model, constraints: [], threads: 1 })), undefined, () => {});
	const info = await native.opened;
	return {
		async tokensOf(prompt: Prompt, reading?: PromptReading): Promise<number[]> {
			const { native: read } = await readPrompt(prompt, info, reading);
			const [tokens] = await native.run("tokenize", [read]);
			return Array.from(tokens as Int32Array);
		},
		[Symbol.asyncDispose]: () => native.close(),
	};
}

/** The text of tokens of a SentencePiece vocabulary. */
export function textOf(tokens: readonly number[], vocabulary: readonly string[]): string {
	const pieces = tokens.map((token) => {
		const text = vocabulary[token] as string;
		const byte = /^<0x([0-9A-F]{2})>$/.exec(text)?.[1];
		return byte === undefined ? Buffer.from(text.replaceAll("▁", " ")) : Buffer.from([Number.parseInt(byte, 16)]);
	});
	return Buffer.concat(pieces).toString("utf8");
}

/** A vocabulary file of llama.cpp with its markers and shortest texts, as a model's, and its chat template. */
export function markersOf(path: string) {
	const { metadata } = readGguf(path);
	const value = <T>(key: string) => metadata.get(`tokenizer.ggml.${key}`) as T | undefined;
	const all = value<string[]>("tokens") ?? [];
	const types = value<number[]>("token_type") ?? [];
	const kept = all.flatMap((text, i) => (types[i] !== 1 || [...text].length <= 2 ? [i] : []));
	const texts = kept.map((i) => all[i] as string);
	const known = new Set(texts);
	const merges = value<string[]>("merges")?.filter((merge) =>
		[...merge.split(" "), merge.replace(" ", "")].every((text) => known.has(text)),
	);
	const place = (key: string) => kept.indexOf(value<number>(key) ?? -1);
	const scores = value<number[]>("scores");
	const entries: [string, string, unknown][] = [
		["model", "string", value("model")],
		["pre", "string", value("pre")],
		["tokens", "string[]", texts],
		["token_type", "i32[]", kept.map((i) => types[i])],
		["scores", "f32[]", scores && kept.map((i) => scores[i])],
		["merges", "string[]", merges],
		["bos_token_id", "u32", place("bos_token_id")],
		["eos_token_id", "u32", place("eos_token_id")],
		["add_bos_token", "bool", value("add_bos_token")],
		["add_space_prefix", "bool", value("add_space_prefix")],
	];
	return {
		texts,
		metadata: entries
			.filter(([, , given]) => given !== undefined)
			.map(([key, type, given]): [string, string, unknown] => [`tokenizer.ggml.${key}`, type, given]),
		chatTemplate: metadata.get("tokenizer.chat_template"),
	};
}
