// Checks the base model of an encoder's training.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { bertBody, bertConfig } from "../convert/architectures.js";
import { stored } from "../convert/convert-classifier.js";
import { parseJson, readCheckpoint } from "../convert/safetensors.js";
import { tokenizerEntries } from "../convert/tokenizers.js";
import { InvalidModelError, ModelNotFoundError, UnsupportedModelError } from "../errors.js";

const fewestPositions = 358; // of [CLS], 100 word pieces of a prompt, [SEP] and a window of 256 of a response
const packed = z.int().min(32).multipleOf(32); // weights are packed in blocks of 32

const baseConfig = bertConfig
	.extend({
		model_type: z.literal("bert"),
		hidden_act: z.literal("gelu").default("gelu"),
		layer_norm_eps: z.literal(1e-12).default(1e-12),
		hidden_size: packed,
		intermediate_size: packed,
		max_position_embeddings: z.int().min(fewestPositions),
		is_decoder: z.literal(false).nullish(),
	})
	.refine(({ hidden_size, num_attention_heads }) => hidden_size % num_attention_heads === 0, {
		path: ["hidden_size"],
		error: "expected a multiple of num_attention_heads",
	});

type BaseConfig = z.output<typeof baseConfig>;

const another = "choose another base, such as all-MiniLM-L6-v2";

function readConfig(folder: string): BaseConfig {
	const parsed = baseConfig.safeParse(parseJson(join(folder, "config.json")));
	if (parsed.success) return parsed.data;
	throw new UnsupportedModelError(
		`expected a BERT with gelu and absolute positions as the base, but the config.json of ${folder} says otherwise: ` +
			`${z.prettifyError(parsed.error)}; ${another}`,
	);
}

function checkTensors(folder: string, config: BaseConfig): void {
	const tensors = readCheckpoint(folder);
	for (const { from, shape } of bertBody("bert", config, 0).tensors) {
		const name = from.slice("bert.".length);
		const found = stored(tensors, name) ?? stored(tensors, from);
		if (found?.shape.join() === shape.join()) continue;
		const got = found === undefined ? "none" : `one of the shape ${found.shape}`;
		throw new InvalidModelError(
			`expected a tensor ${name} of the shape ${shape} in ${folder}, as its config.json says, got ${got}; download the model again`,
		);
	}
}

/** The judge splits words like an uncased BERT, with the lines of vocab.txt. */
function checkTokenizer(folder: string, { vocab_size }: BaseConfig): void {
	const entries = new Map(tokenizerEntries(folder, vocab_size).map(([key, , value]) => [key.replace("tokenizer.ggml.", ""), value]));
	if (entries.get("model") !== "bert" || !entries.get("normalizer.lowercase") || !entries.get("normalizer.strip_accents")) {
		throw new UnsupportedModelError(
			`expected a tokenizer of word pieces that lower-cases and strips accents, but that of ${folder} does not; ${another}`,
		);
	}
	const tokens = entries.get("tokens") as string[];
	const lines = readFileSync(join(folder, "vocab.txt"), "utf8").split("\n").slice(0, -1);
	const isSame = (line: string, token: string | undefined) =>
		token === line || token === (line.startsWith("##") ? line.slice(2) : `▁${line}`);
	if (lines.length !== vocab_size || !lines.every((line, id) => isSame(line, tokens[id]))) {
		throw new UnsupportedModelError(
			`expected the ${vocab_size} tokens of the tokenizer in vocab.txt, one per line and in their order, but that of ${folder} has others; ${another}`,
		);
	}
	const ends = { bos_token_id: "[CLS]", eos_token_id: "[SEP]", unknown_token_id: "[UNK]" };
	for (const [key, name] of Object.entries(ends)) {
		const id = entries.get(key);
		if (typeof id === "number" && tokens[id] === name) continue;
		throw new UnsupportedModelError(`expected ${name} as the ${key} of the tokenizer of ${folder}, got another token; ${another}`);
	}
}

/** The number of a base's layers. Errors: MODEL_NOT_FOUND, INVALID_MODEL, UNSUPPORTED_MODEL. */
export function checkEncoderBase(folder: string): { layers: number } {
	for (const name of ["config.json", "model.safetensors", "vocab.txt"]) {
		if (existsSync(join(folder, name))) continue;
		throw new ModelNotFoundError(
			`expected config.json, model.safetensors and vocab.txt of a BERT in ${folder}, got no ${name}; download the whole model, ` +
				"or save it with transformers (save_pretrained of model and tokenizer)",
		);
	}
	const config = readConfig(folder);
	checkTensors(folder, config);
	checkTokenizer(folder, config);
	return { layers: config.num_hidden_layers };
}
