// Owns the folder of rollouts: a manifest and shards of records. A shard is a header and frames (length, CRC-32, record) in order; the
// frames alone show where a killed run stopped. The same options give the same bytes, so shards from several machines can be copied
// together.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { parseJson } from "../data/json.js";
import { type Lock, lockFile } from "../data/lock.js";
import { jsonFile, replaceFiles, writeFailure } from "../data/output.js";
import { readText } from "../data/text-file.js";
import { InvalidRolloutsError, WriteError } from "../errors.js";
import { constraintIdentity } from "../files/fingerprint.js";

const count = z
	.number()
	.int()
	.min(0)
	.max(2 ** 31);
const positive = count.min(1);

const manifestSchema = z
	.strictObject({
		format: z.literal("inferenceguard.rollouts"),
		version: z.literal(3),
		modelHash: z.string(),
		constraints: z.array(constraintIdentity),
		rewardHash: z.string(),
		promptsHash: z.string(),
		prompts: positive,
		/** One per prompt. */
		splits: z.array(z.enum(["train", "validation", "test"])),
		responses: positive,
		maxTokens: positive,
		stride: positive,
		temperature: z.number(),
		topLogProbabilities: count,
		seed: z.number().int(),
		/** Sizes of a stored position. */
		shape: z.strictObject({ hidden: count, summary: positive, constraints: count, mean: positive.optional() }),
		/** Layers whose means are kept; absent: none. */
		meanLayers: z.array(count).min(1).optional(),
		/** The date that the chat template read; absent: none. */
		now: z.string().optional(),
		promptsPerBatch: positive,
		batchesPerShard: positive,
		sequences: positive,
		cells: z.number().int(),
	})
	.refine(({ splits, prompts }) => splits.length === prompts, "expected one split per prompt")
	.refine(({ shape, constraints }) => shape.constraints === constraints.length, "expected the constraints of the shape")
	.refine(({ shape, meanLayers = [] }) => {
		const { mean = 0 } = shape;
		return meanLayers.length === 0 ? mean === 0 : mean > 0 && mean % meanLayers.length === 0;
	}, "expected means of the layers named");

/** The content of a folder of rollouts, and how it was made. */
export type RolloutManifest = z.output<typeof manifestSchema>;

/** Entries that follow from the others and the option `batch`. */
const planned: (keyof RolloutManifest)[] = ["shape", "promptsPerBatch", "batchesPerShard", "sequences", "cells"];

const manifestName = "manifest.json";
const magic = Buffer.from("IGROLL\x00\x02", "latin1");
const frameHeaderBytes = 12; // length, CRC-32, number of the batch within the shard

const shardPath = (folder: string, shard: number) => join(folder, `shard-${String(shard).padStart(5, "0")}.rollouts`);

function shardHeader(manifest: RolloutManifest, shard: number): Buffer {
	const { format, version, modelHash, constraints, rewardHash, ...options } = manifest;
	const optionsHash = createHash("sha256").update(JSON.stringify(options)).digest("hex");
	const json = Buffer.from(JSON.stringify({ format, version, shard, modelHash, constraints, rewardHash, optionsHash }));
	const length = Buffer.alloc(4);
	length.writeUInt32LE(json.length);
	return Buffer.concat([magic, length, json]);
}

function frame(record: Uint8Array, batch: number): Buffer {
	const header = Buffer.alloc(frameHeaderBytes);
	header.writeUInt32LE(record.length, 0);
	header.writeUInt32LE(crc32(record), 4);
	header.writeUInt32LE(batch, 8);
	return Buffer.concat([header, record]);
}

/** The whole records after a shard's header, and the end of the last one. */
function wholeFrames(bytes: Buffer, header: Buffer): { records: Buffer[]; end: number } {
	const records: Buffer[] = [];
	let end = header.length;
	while (end + frameHeaderBytes <= bytes.length) {
		const [length, checksum, batch] = [bytes.readUInt32LE(end), bytes.readUInt32LE(end + 4), bytes.readUInt32LE(end + 8)];
		const begin = end + frameHeaderBytes;
		const record = bytes.subarray(begin, begin + length);
		if (length === 0 || begin + length > bytes.length || batch !== records.length || crc32(record) !== checksum) break;
		records.push(record);
		end = begin + length;
	}
	return { records, end };
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
	for (let done = 0; done < bytes.length; ) {
		done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
	}
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
	try {
		return await readFile(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw new InvalidRolloutsError(`expected to read ${path}, got: ${(error as Error).message}`, { cause: error });
	}
}

/** The date that the chat template of rollouts read, if the folder has any. Errors: INVALID_ROLLOUTS. */
export async function nowOfRollouts(folder: string): Promise<string | undefined> {
	return existsSync(join(folder, manifestName)) ? (await readManifest(folder)).now : undefined;
}

/** Reads the manifest of a folder. Errors: INVALID_ROLLOUTS. */
export async function readManifest(folder: string): Promise<RolloutManifest> {
	const path = join(folder, manifestName);
	try {
		return manifestSchema.parse(parseJson(readText(path)));
	} catch (cause) {
		const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
		throw new InvalidRolloutsError(
			`expected rollouts of this version in ${folder}, got: ${reason}; make them with \`inferenceguard rollouts\``,
			{ cause },
		);
	}
}

/** Writes the manifest, or checks that the folder has the same one. Errors: INVALID_ROLLOUTS, WRITE_FAILED. */
export async function claimFolder(folder: string, manifest: RolloutManifest): Promise<void> {
	let names: string[];
	try {
		await mkdir(folder, { recursive: true });
		names = await readdir(folder);
	} catch (cause) {
		throw new WriteError(`expected to write into ${folder}, got: ${(cause as Error).message}`, { cause });
	}
	if (!names.includes(manifestName)) return replaceFiles(jsonFile(join(folder, manifestName), manifest));
	const found = await readManifest(folder);
	const keys = Object.keys({ ...found, ...manifest }) as (keyof RolloutManifest)[];
	const all = keys.filter((key) => JSON.stringify(found[key]) !== JSON.stringify(manifest[key]));
	if (all.length === 0) return;
	const chosen = all.filter((key) => !planned.includes(key));
	const differing = chosen.length > 0 ? chosen.join(", ") : "batch";
	throw new InvalidRolloutsError(
		`expected to resume the rollouts in ${folder}, but they were made with another ${differing}; give the same options (see ${manifestName} there), or choose another folder`,
	);
}

/** A shard that one run adds records to. */
export class ShardWriter {
	readonly #path: string;
	readonly #header: Buffer;
	#lock: Lock | undefined;
	#end = 0;
	/** Records that the shard already has. */
	records = 0;

	constructor(folder: string, manifest: RolloutManifest, shard: number) {
		this.#path = shardPath(folder, shard);
		this.#header = shardHeader(manifest, shard);
	}

	/** Locks the shard, finds its end, and cuts off what a killed run left half-written. Errors: INVALID_ROLLOUTS, WRITE_FAILED. */
	async open(): Promise<void> {
		this.#lock = await lockFile(this.#path, InvalidRolloutsError);
		const bytes = await readIfThere(this.#path);
		const begun = bytes !== undefined && bytes.length >= this.#header.length;
		if (begun && !bytes.subarray(0, this.#header.length).equals(this.#header)) {
			throw new InvalidRolloutsError(`${this.#path} belongs to other rollouts; remove it or choose another folder`);
		}
		const { records, end } = wholeFrames(begun ? bytes : this.#header, this.#header);
		await this.#write(bytes === undefined ? "w" : "r+", async (file) => {
			if (!begun) await writeAt(file, this.#header, 0);
			await file.truncate(end);
		});
		this.#end = end;
		this.records = records.length;
	}

	/** Appends a record. When this resolves, it is on disk. Errors: WRITE_FAILED; then a later run cuts off what was written of it. */
	async append(record: Uint8Array): Promise<void> {
		const bytes = frame(record, this.records);
		await this.#write("r+", (file) => writeAt(file, bytes, this.#end));
		this.#end += bytes.length;
		this.records++;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#lock?.release();
	}

	async #write(flags: string, change: (file: FileHandle) => Promise<unknown>): Promise<void> {
		try {
			await this.#lock?.expectHeld();
			const file = await open(this.#path, flags);
			try {
				await change(file);
				await file.sync();
			} finally {
				await file.close();
			}
		} catch (cause) {
			throw writeFailure(this.#path, cause);
		}
	}
}

/** The number of batches and shards of a run. */
export function shardPlan({ prompts, promptsPerBatch, batchesPerShard }: RolloutManifest): { batches: number; shards: number } {
	const batches = Math.ceil(prompts / promptsPerBatch);
	return { batches, shards: Math.ceil(batches / batchesPerShard) };
}

/** The whole records of a folder, shard by shard. Errors: INVALID_ROLLOUTS. */
export async function* readShards(folder: string, manifest: RolloutManifest): AsyncGenerator<Uint8Array[]> {
	const { shards } = shardPlan(manifest);
	let found = false;
	for (let shard = 0; shard < shards; shard++) {
		const bytes = await readIfThere(shardPath(folder, shard));
		const header = shardHeader(manifest, shard);
		if (bytes === undefined || bytes.length < header.length) continue; // missing, or without a whole header
		if (!bytes.subarray(0, header.length).equals(header)) {
			throw new InvalidRolloutsError(`${shardPath(folder, shard)} belongs to other rollouts or is damaged; remove it and make it again`);
		}
		const { records } = wholeFrames(bytes, header);
		found ||= records.length > 0;
		yield records;
	}
	if (!found) throw new InvalidRolloutsError(`expected rollouts in ${folder}, got none; run \`inferenceguard rollouts\` first`);
}
