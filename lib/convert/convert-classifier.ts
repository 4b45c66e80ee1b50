// Converts a classifier of transformers to GGUF.
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { check, choice, path } from "../base/check.js";
import { type GgufEntry, type GgufTensor, type GgufTensorType, writeGguf } from "../data/gguf-writer.js";
import { toHalf, toQ8 } from "../data/number-formats.js";
import { expectWritable, replaceFiles } from "../data/output.js";
import { InvalidModelError, ModelNotFoundError, UnsupportedModelError } from "../errors.js";
import { type Architecture, architectures, isUnused, type TensorPlace } from "./architectures.js";
import { parseJson, readCheckpoint, type StoredTensor } from "./safetensors.js";
import { tokenizerEntries } from "./tokenizers.js";

const convertSchema = z.strictObject({
	folder: path("the path of a folder"),
	out: path("a path"),
	type: choice(["f32", "f16", "q8_0"]).default("f16"),
});

const checkConvertOptions = (given: unknown) => check(convertSchema, given);

/** Options of {@link convertClassifier}. */
export interface ConvertOptions {
	/** Folder of a classifier saved by transformers: config.json, safetensors and the tokenizer. */
	folder: string;
	/** Path of the GGUF file; an existing file is replaced. */
	out: string;
	/** Type of the token embedding and the layers' matrices: `"f32"`, `"f16"` (default) or `"q8_0"`. Everything else is in single precision. */
	type?: "f32" | "f16" | "q8_0";
}

/** Facts about the file that {@link convertClassifier} wrote. */
export interface ConvertedClassifier {
	/** Name of the class in transformers. */
	architecture: string;
	/** In the order of the head's outputs. */
	labels: string[];
	/** Whether the labels are independent of one another; otherwise they are a choice. */
	multiLabel: boolean;
	/** Tokens of the longest text it reads. */
	contextLength: number;
}

const classifierConfig = z.looseObject({
	architectures: z.array(z.string()).min(1),
	id2label: z.record(z.string(), z.union([z.string(), z.number().transform(String)])).nullish(),
	problem_type: z.string().nullish(),
	_name_or_path: z.string().nullish(),
});

function readConfig(folder: string) {
	const path = join(folder, "config.json");
	if (!existsSync(path)) {
		throw new ModelNotFoundError(`expected the folder of a Hugging Face model, but there is no config.json in ${folder}; check the path`);
	}
	const parsed = classifierConfig.safeParse(parseJson(path));
	if (parsed.success) return parsed.data;
	throw new InvalidModelError(`expected the configuration of a classifier in ${path}, got: ${z.prettifyError(parsed.error)}`);
}

/** Names in the order of their numbers; `LABEL_0` and so on if there are none. */
function labelsOf(id2label: Record<string, string> | null | undefined, classes: number): string[] {
	return Array.from({ length: classes }, (_, i) => id2label?.[i] ?? `LABEL_${i}`);
}

function architectureOf(folder: string, config: z.output<typeof classifierConfig>, classes: number): Architecture {
	const name = config.architectures[0] as string;
	try {
		return (architectures[name] as (typeof architectures)[string])(config, classes);
	} catch (cause) {
		if (!(cause instanceof z.ZodError)) throw cause;
		throw new UnsupportedModelError(
			`expected a ${name} that llama.cpp can compute, but the config.json of ${folder} says otherwise: ${z.prettifyError(cause)}`,
			{ cause },
		);
	}
}

/** A norm's weight and bias may have their old names. */
export function stored(tensors: Map<string, StoredTensor>, name: string): StoredTensor | undefined {
	return tensors.get(name) ?? tensors.get(name.replace(/\.weight$/, ".gamma").replace(/\.bias$/, ".beta"));
}

function packed(values: Float32Array, type: GgufTensorType): Uint8Array {
	if (type === "q8_0") return toQ8(values);
	const { buffer, byteOffset, byteLength } = type === "f16" ? toHalf(values) : values;
	return new Uint8Array(buffer, byteOffset, byteLength);
}

function ggufTensor(folder: string, found: StoredTensor, place: TensorPlace, wished: GgufTensorType): GgufTensor {
	const { from, to, shape, packs, skips = 0 } = place;
	if (found.shape.join() !== shape.join()) {
		throw new InvalidModelError(
			`expected the tensor ${from} of ${folder} to have the shape ${shape}, as its config.json says, got ${found.shape}`,
		);
	}
	const [rows = 1, columns = 1] = shape;
	const type = !packs ? "f32" : wished === "q8_0" && columns % 32 !== 0 ? "f16" : wished;
	return {
		name: to,
		shape: shape.length === 1 ? [rows] : [columns, rows - skips],
		type,
		data: () => packed(found.read().subarray(skips * columns), type),
	};
}

function ggufTensors(folder: string, places: TensorPlace[], tensors: Map<string, StoredTensor>, type: GgufTensorType): GgufTensor[] {
	const known = new Set(places.map(({ from }) => from.replace(/\.(?:weight|bias)$/, "")));
	const unknown = [...tensors.keys()].find((name) => !known.has(name.replace(/\.(?:weight|bias|gamma|beta)$/, "")) && !isUnused(name));
	if (unknown !== undefined) {
		throw new UnsupportedModelError(
			`expected a classifier as transformers has it, but ${folder} also has the tensor ${unknown}; choose another model`,
		);
	}
	return places.map((place) => {
		const found = stored(tensors, place.from);
		if (!found) throw new InvalidModelError(`expected the tensor ${place.from} in ${folder}, got none; save the whole classifier again`);
		return ggufTensor(folder, found, place, type);
	});
}

const fileTypes = { f32: 0, f16: 1, q8_0: 7 };

/**
 * Converts a classifier of Hugging Face transformers to a GGUF file for `cost: { sequenceClassifier: out }`: BERT, RoBERTa, XLM-RoBERTa,
 * DistilBERT and ModernBERT for sequence classification, with weights as safetensors and without Python. The file keeps the whole head, with
 * the activation and the pooling of its architecture, its labels, and whether they are independent (`problem_type`). A classifier that
 * llama.cpp would compute or tokenise differently from transformers is refused. It runs on the calling thread: 5 to 10 s per gigabyte of
 * weights.
 *
 * Errors: INVALID_OPTION, MODEL_NOT_FOUND, INVALID_MODEL, UNSUPPORTED_MODEL, WRITE_FAILED.
 */
export async function convertClassifier(given: ConvertOptions): Promise<ConvertedClassifier> {
	const { folder, out, type } = checkConvertOptions(given);
	await expectWritable(out);
	const config = readConfig(folder);
	const name = config.architectures[0] as string;
	if (!Object.hasOwn(architectures, name)) {
		throw new UnsupportedModelError(
			`expected one of ${Object.keys(architectures).join(", ")}, but ${folder} is a ${name}; choose another model`,
		);
	}
	const checkpoint = readCheckpoint(folder);
	const output = checkpoint.get("classifier.weight") ?? checkpoint.get("classifier.out_proj.weight");
	if (!output?.shape[0])
		throw new InvalidModelError(`expected a classifier's head (classifier.weight) in ${folder}, got none; save the whole classifier again`);
	const labels = labelsOf(config.id2label, output.shape[0]);
	const multiLabel = config.problem_type === "multi_label_classification";
	const architecture = architectureOf(folder, config, labels.length);
	const tensors = ggufTensors(folder, architecture.tensors, checkpoint, type);
	const vocabularySize = architecture.tensors[0]?.shape[0] as number;
	const own = (key: string, ...rest: [string, unknown]): GgufEntry => [`${architecture.name}.${key}`, ...rest];
	const metadata: GgufEntry[] = [
		["general.architecture", "string", architecture.name],
		["general.name", "string", basename(config._name_or_path || resolve(folder))],
		["general.file_type", "u32", fileTypes[type]],
		...architecture.entries.map(([key, ...rest]) => own(key, ...rest)),
		own("classifier.output_labels", "string[]", labels),
		["inferenceguard.classifier.activation", "string", architecture.head.activation],
		["inferenceguard.classifier.pooling", "string", architecture.head.pooling],
		["inferenceguard.classifier.multi_label", "bool", multiLabel],
		["tokenizer.ggml.token_type_count", "u32", architecture.tokenTypes],
		...tokenizerEntries(folder, vocabularySize),
	];
	await replaceFiles({ path: out, write: (temporary) => writeGguf(temporary, { metadata, tensors }) });
	const contextLength = architecture.entries.find(([key]) => key === "context_length")?.[2] as number;
	return { architecture: name, labels, multiLabel, contextLength };
}
