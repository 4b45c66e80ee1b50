// Reads safetensors files: one, or several that an index joins. All contents of a header are checked before use.
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { parseJson as readJson } from "../data/json.js";
import { fromBrainHalf, fromHalf } from "../data/number-formats.js";
import { readText } from "../data/text-file.js";
import { InvalidModelError, ModelNotFoundError } from "../errors.js";

const largestHeader = 100_000_000; // bytes; the safetensors library's limit
const largestRead = 2 ** 30; // bytes
const numberBytes = { F32: 4, F16: 2, BF16: 2 } as const;

const entry = z.object({
	dtype: z.string(),
	shape: z.array(z.int().min(0)),
	data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});
const index = z.object({ weight_map: z.record(z.string(), z.string()) });

export interface StoredTensor {
	/** Slowest dimension first. */
	shape: number[];
	read(): Float32Array;
}

function damaged(path: string, what: string): InvalidModelError {
	return new InvalidModelError(`expected a safetensors file, but ${path} ${what}; download or save the model again`);
}

function readBytes(path: string, position: number, length: number): Buffer {
	const bytes = Buffer.alloc(length);
	const file = openSync(path, "r");
	try {
		for (let at = 0; at < length; ) {
			const n = readSync(file, bytes, at, Math.min(length - at, largestRead), position + at);
			if (n === 0) throw damaged(path, "is truncated");
			at += n;
		}
	} finally {
		closeSync(file);
	}
	return bytes;
}

/** Names, types, shapes and places. The places have to fill the file without gaps or overlaps. */
function headerOf(path: string): { begin: number; entries: [string, z.output<typeof entry>][] } {
	const { size } = statSync(path);
	if (size < 8) throw damaged(path, "is too short for a header");
	const length = Number(readBytes(path, 0, 8).readBigUInt64LE());
	if (length > largestHeader || length > size - 8) throw damaged(path, `has a header of ${length} bytes, more than it holds`);
	let header: unknown;
	try {
		header = readJson(readBytes(path, 8, length).toString("utf8"));
	} catch {
		throw damaged(path, "has a header that is no JSON");
	}
	if (typeof header !== "object" || header === null) throw damaged(path, "has a header that names no tensors");
	const entries = Object.entries(header)
		.filter(([name]) => name !== "__metadata__")
		.map(([name, value]): [string, z.output<typeof entry>] => {
			const parsed = entry.safeParse(value);
			if (!parsed.success) throw damaged(path, `describes the tensor ${name} wrongly`);
			return [name, parsed.data];
		})
		.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
	let end = 0;
	for (const [name, { data_offsets }] of entries) {
		if (data_offsets[0] !== end || data_offsets[1] < end) throw damaged(path, `has the tensor ${name} at a place that is not its own`);
		end = data_offsets[1];
	}
	if (end !== size - 8 - length) throw damaged(path, `should hold ${end} bytes of tensors, but has ${size - 8 - length}`);
	return { begin: 8 + length, entries };
}

function tensorOf(path: string, begin: number, name: string, { dtype, shape, data_offsets }: z.output<typeof entry>): StoredTensor {
	const [from, to] = data_offsets;
	const read = () => {
		if (!Object.hasOwn(numberBytes, dtype)) throw damaged(path, `has the tensor ${name} as ${dtype}, not as F32, F16 or BF16`);
		const width = numberBytes[dtype as keyof typeof numberBytes];
		if (shape.reduce((product, d) => product * d, 1) * width !== to - from) {
			throw damaged(path, `has the tensor ${name} in another size than its shape says`);
		}
		const { buffer, byteOffset } = readBytes(path, begin + from, to - from);
		if (dtype === "F32") return new Float32Array(buffer, byteOffset, (to - from) / 4);
		const half = new Uint16Array(buffer, byteOffset, (to - from) / 2);
		return dtype === "F16" ? fromHalf(half) : fromBrainHalf(half);
	};
	return { shape, read };
}

function tensorsOf(path: string): Map<string, StoredTensor> {
	const { begin, entries } = headerOf(path);
	return new Map(entries.map(([name, value]) => [name, tensorOf(path, begin, name, value)]));
}

/** The files that an index joins; all have to be in the same folder. */
function shardsOf(path: string): string[] {
	const parsed = index.safeParse(parseJson(path));
	if (!parsed.success)
		throw new InvalidModelError(`expected an index of safetensors files, but ${path} is not one; download the model again`);
	const names = [...new Set(Object.values(parsed.data.weight_map))];
	return names.map((name) => {
		const shard = join(dirname(path), basename(name));
		if (basename(name) !== name || !existsSync(shard)) {
			throw new ModelNotFoundError(
				`expected the file ${name}, which ${path} names, in the same folder, got none; download the model again`,
			);
		}
		return shard;
	});
}

/** The content of a JSON file. Errors: INVALID_MODEL. */
export function parseJson(path: string): unknown {
	try {
		return readJson(readText(path));
	} catch (cause) {
		throw new InvalidModelError(`expected JSON in ${path}, got: ${(cause as Error).message}; download the model again`, { cause });
	}
}

/** All tensors of a Hugging Face folder, by name. Errors: MODEL_NOT_FOUND, INVALID_MODEL. */
export function readCheckpoint(folder: string): Map<string, StoredTensor> {
	const single = join(folder, "model.safetensors");
	if (existsSync(single)) return tensorsOf(single);
	const joined = join(folder, "model.safetensors.index.json");
	if (existsSync(joined)) return new Map(shardsOf(joined).flatMap((path) => [...tensorsOf(path)]));
	const pickled = existsSync(join(folder, "pytorch_model.bin")) || existsSync(join(folder, "pytorch_model.bin.index.json"));
	throw new ModelNotFoundError(
		pickled
			? `expected weights as safetensors, but ${folder} has pytorch_model.bin alone; save them with transformers: ` +
					`AutoModelForSequenceClassification.from_pretrained("${folder}").save_pretrained("${folder}")`
			: `expected model.safetensors in ${folder}, got no weights; download the whole model`,
	);
}
