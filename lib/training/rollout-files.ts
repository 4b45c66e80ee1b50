// The folder of rollouts: a manifest and shards of records. A shard is a header and frames (length, CRC-32, record), written in
// order; where a killed run stopped can be seen from the frames alone. The same options give the same bytes, so that shards
// made on several machines can be copied together.
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { InvalidRolloutsError, WriteError } from "../errors.js";
import { writeJson } from "./output.js";
import type { Split } from "./split.js";

/** A cost model and its budget, as rollouts and critics remember them. */
export interface ConstraintIdentity {
	hash: string;
	kind: "lexicon" | "tokenCosts" | "classifier" | "function";
	budget: number;
	discount: number;
	criterion: "anytime" | "terminal";
}

/** What a folder of rollouts holds and how it was made. */
export interface RolloutManifest {
	format: "inferenceguard.rollouts";
	version: 1;
	modelHash: string;
	constraints: ConstraintIdentity[];
	rewardHash: string;
	promptsHash: string;
	prompts: number;
	/** One per prompt, where the prompt file has a column `split`. */
	splits?: Split[];
	responses: number;
	maxTokens: number;
	stride: number;
	temperature: number;
	topLogProbabilities: number;
	seed: number;
	/** Numbers of a stored position. */
	shape: { hidden: number; summary: number; constraints: number };
	promptsPerBatch: number;
	batchesPerShard: number;
	sequences: number;
	cells: number;
}

const manifestName = "manifest.json";
const magic = Buffer.from("IGROLL\x00\x01", "latin1");
const frameHeaderBytes = 8;

const shardPath = (folder: string, shard: number) => join(folder, `shard-${String(shard).padStart(5, "0")}.rollouts`);

function shardHeader(manifest: RolloutManifest, shard: number): Buffer {
	const { format, version, modelHash, constraints, rewardHash, ...options } = manifest;
	const optionsHash = createHash("sha256").update(JSON.stringify(options)).digest("hex");
	const json = Buffer.from(JSON.stringify({ format, version, shard, modelHash, constraints, rewardHash, optionsHash }));
	const length = Buffer.alloc(4);
	length.writeUInt32LE(json.length);
	return Buffer.concat([magic, length, json]);
}

function frame(record: Uint8Array): Buffer {
	const header = Buffer.alloc(frameHeaderBytes);
	header.writeUInt32LE(record.length, 0);
	header.writeUInt32LE(crc32(record), 4);
	return Buffer.concat([header, record]);
}

/** The whole records behind a shard's header, and where the last of them ends. */
function wholeFrames(bytes: Buffer, header: Buffer): { records: Buffer[]; end: number } {
	const records: Buffer[] = [];
	let end = header.length;
	while (end + frameHeaderBytes <= bytes.length) {
		const begin = end + frameHeaderBytes;
		const record = bytes.subarray(begin, begin + bytes.readUInt32LE(end));
		if (begin + bytes.readUInt32LE(end) > bytes.length || crc32(record) !== bytes.readUInt32LE(end + 4)) break;
		records.push(record);
		end = begin + record.length;
	}
	return { records, end };
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
	try {
		return await readFile(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}

/** Reads the manifest of a folder. Errors: INVALID_ROLLOUTS. */
export async function readManifest(folder: string): Promise<RolloutManifest> {
	const path = join(folder, manifestName);
	let manifest: RolloutManifest;
	try {
		manifest = JSON.parse(await readFile(path, "utf8"));
	} catch (cause) {
		throw new InvalidRolloutsError(
			`expected rollouts in ${folder}, got: ${(cause as Error).message}; make them with \`inferenceguard rollouts\``,
			{ cause },
		);
	}
	if (manifest.format !== "inferenceguard.rollouts" || manifest.version !== 1) {
		throw new InvalidRolloutsError(`expected rollouts of format version 1 in ${folder}, got ${manifest.format} ${manifest.version}`);
	}
	return manifest;
}

/** Writes the manifest, or checks that the folder was begun with the same one. Errors: INVALID_ROLLOUTS, WRITE_FAILED. */
export async function claimFolder(folder: string, manifest: RolloutManifest): Promise<void> {
	try {
		await mkdir(folder, { recursive: true });
	} catch (cause) {
		throw new WriteError(`expected to write into ${folder}, got: ${(cause as Error).message}`, { cause });
	}
	const names = await readdir(folder);
	if (!names.includes(manifestName)) return writeJson(join(folder, manifestName), manifest);
	const found = await readManifest(folder);
	const differing = (Object.keys({ ...found, ...manifest }) as (keyof RolloutManifest)[]).filter(
		(key) => JSON.stringify(found[key]) !== JSON.stringify(manifest[key]),
	);
	if (differing.length > 0) {
		throw new InvalidRolloutsError(
			`expected to go on with the rollouts in ${folder}, but they were made with another ${differing.join(", ")}; choose another folder`,
		);
	}
}

/** A shard that records are added to. Two runs on one shard write the same bytes to the same places. */
export class ShardWriter {
	readonly #path: string;
	readonly #header: Buffer;
	#end = 0;
	/** Records that the shard holds already. */
	records = 0;

	constructor(folder: string, manifest: RolloutManifest, shard: number) {
		this.#path = shardPath(folder, shard);
		this.#header = shardHeader(manifest, shard);
	}

	/** Finds where the shard ends, and cuts off what a killed run left half-written. Errors: INVALID_ROLLOUTS. */
	async resume(): Promise<void> {
		const bytes = await readIfThere(this.#path);
		const begun = bytes !== undefined && bytes.length >= this.#header.length;
		if (begun && !bytes.subarray(0, this.#header.length).equals(this.#header)) {
			throw new InvalidRolloutsError(`${this.#path} belongs to other rollouts; remove it or choose another folder`);
		}
		const file = await open(this.#path, bytes === undefined ? "w" : "r+");
		try {
			if (!begun) await file.write(this.#header, 0, this.#header.length, 0);
			const { records, end } = wholeFrames(begun ? bytes : this.#header, this.#header);
			await file.truncate(end);
			this.#end = end;
			this.records = records.length;
		} finally {
			await file.close();
		}
	}

	async append(record: Uint8Array): Promise<void> {
		const bytes = frame(record);
		const file = await open(this.#path, "r+");
		try {
			await file.write(bytes, 0, bytes.length, this.#end);
		} catch (cause) {
			throw new WriteError(`expected to write ${this.#path}, got: ${(cause as Error).message}; check the free space`, { cause });
		} finally {
			await file.close();
		}
		this.#end += bytes.length;
		this.records++;
	}
}

/** The number of batches and shards of a run. */
export function shardPlan({ prompts, promptsPerBatch, batchesPerShard }: RolloutManifest): { batches: number; shards: number } {
	const batches = Math.ceil(prompts / promptsPerBatch);
	return { batches, shards: Math.ceil(batches / batchesPerShard) };
}

/** All records of a folder; `missing` counts the batches that were not made yet. Errors: INVALID_ROLLOUTS. */
export async function readRollouts(folder: string): Promise<{ manifest: RolloutManifest; records: Buffer[]; missing: number }> {
	const manifest = await readManifest(folder);
	const { batches, shards } = shardPlan(manifest);
	const records: Buffer[] = [];
	for (let shard = 0; shard < shards; shard++) {
		const bytes = await readIfThere(shardPath(folder, shard));
		if (bytes === undefined) continue;
		const header = shardHeader(manifest, shard);
		if (!bytes.subarray(0, header.length).equals(header)) {
			throw new InvalidRolloutsError(`${shardPath(folder, shard)} belongs to other rollouts or is damaged; remove it and make it again`);
		}
		records.push(...wholeFrames(bytes, header).records);
	}
	if (records.length === 0)
		throw new InvalidRolloutsError(`expected rollouts in ${folder}, got none; run \`inferenceguard rollouts\` first`);
	return { manifest, records, missing: batches - records.length };
}
