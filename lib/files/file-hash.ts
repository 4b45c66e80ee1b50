// Computes the SHA-256 of files of any size, on a thread of its own, and only once. The result is kept, in this process and in the user's
// cache, together with the file system's data about the files.
import { createHash } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { z } from "zod";
import { moduleFile } from "../base/package-files.js";
import { jsonFile, replaceFiles } from "../data/output.js";
import { InvalidModelError } from "../errors.js";
import { abortedBy } from "../native/worker.js";
import { cacheFolder } from "./cache-folder.js";

const fileState = z.strictObject({
	path: z.string(),
	size: z.number(),
	/** Nanoseconds, as text, because a number cannot hold all digits. */
	modified: z.string(),
	/** When content, size or anything else about the file changed; a program cannot set it. */
	changed: z.string(),
	inode: z.string(),
});

const keptHash = z.strictObject({ files: z.array(fileState), sha256: z.string().regex(/^[0-9a-f]{64}$/) });

type FileState = z.output<typeof fileState>;

async function stateOf(given: string): Promise<FileState | undefined> {
	const path = resolve(given);
	const found = await stat(path, { bigint: true }).catch(() => undefined);
	if (found === undefined) return undefined;
	return { path, size: Number(found.size), modified: `${found.mtimeNs}`, changed: `${found.ctimeNs}`, inode: `${found.ino}` };
}

/** The states of files at one moment; a file may be missing. */
export class FileStates {
	private constructor(
		readonly paths: readonly string[],
		readonly states: readonly (FileState | undefined)[],
	) {}

	static async of(paths: readonly string[]): Promise<FileStates> {
		return new FileStates(paths, await Promise.all(paths.map(stateOf)));
	}

	/** Errors: INVALID_MODEL if one of them has been changed, replaced or removed since. */
	async expectUnchanged(): Promise<void> {
		const { states } = await FileStates.of(this.paths);
		const changed = this.paths.find((_, i) => JSON.stringify(states[i]) !== JSON.stringify(this.states[i]));
		if (changed === undefined) return;
		throw new InvalidModelError(`expected ${changed} to stay as it was while it was read, but it was changed or replaced; load it again`);
	}
}

export interface HashOptions {
	/** Called with the share that has been read, 0..1. */
	onProgress?: ((share: number) => void) | undefined;
	signal?: AbortSignal | undefined;
}

const known = new Map<string, string>();

const cachePath = (files: readonly FileState[]) => {
	const name = createHash("sha256").update(JSON.stringify(files.map(({ path }) => path)));
	return join(cacheFolder(), "hashes", `${name.digest("hex")}.json`);
};

/** The cached hash of files in this state; undefined: none that can be read. */
async function cachedHash(files: readonly FileState[]): Promise<string | undefined> {
	try {
		const kept = keptHash.parse(JSON.parse(await readFile(cachePath(files), "utf8")));
		return JSON.stringify(kept.files) === JSON.stringify(files) ? kept.sha256 : undefined;
	} catch {
		return undefined;
	}
}

/** If the cache cannot be written, the next process computes the hash again. */
async function keepHash(files: FileState[], sha256: string): Promise<void> {
	try {
		await mkdir(join(cacheFolder(), "hashes"), { recursive: true });
		await replaceFiles(jsonFile(cachePath(files), { files, sha256 } satisfies z.input<typeof keptHash>));
	} catch {}
}

const unreadable = (path: string, why: string, cause?: unknown) =>
	new InvalidModelError(`expected to read ${path}, got: ${why}; check the file`, { cause });

function computeHash(files: readonly FileState[], { onProgress, signal }: HashOptions): Promise<string> {
	const total = files.reduce((sum, { size }) => sum + size, 0);
	const workerData = files.map(({ path }) => path);
	const thread = new Worker(moduleFile("files/hash-worker.js"), { workerData, execArgv: [] });
	let read = 0;
	return new Promise<string>((resolve, reject) => {
		const abort = () => signal && reject(abortedBy(signal));
		signal?.addEventListener("abort", abort, { once: true });
		thread.on("message", (said: number | string) => {
			if (typeof said === "string") return resolve(said);
			read += said;
			onProgress?.(Math.min(1, read / total)); // a file that grows is reported at the end
		});
		thread.on("error", (cause) => reject(unreadable(workerData.join(", "), (cause as Error).message, cause)));
		thread.on("exit", () => {
			signal?.removeEventListener("abort", abort);
			reject(unreadable(workerData.join(", "), "the end of the thread that reads"));
		});
	}).finally(() => thread.terminate());
}

/**
 * SHA-256 over all bytes of the files, in order; for a single file, the output of `sha256sum`. Errors: INVALID_MODEL if they cannot be read
 * or are changed meanwhile, ABORTED.
 */
export async function hashFiles(paths: readonly string[], options: HashOptions = {}): Promise<string> {
	const { onProgress, signal } = options;
	if (signal?.aborted) throw abortedBy(signal);
	const before = await FileStates.of(paths);
	const files = before.states.map((state, i) => {
		if (state === undefined) throw unreadable(paths[i] as string, "no file");
		return state;
	});
	const key = JSON.stringify(files);
	const found = known.get(key) ?? (await cachedHash(files));
	const hash = found ?? (await computeHash(files, options));
	await before.expectUnchanged();
	if (found === undefined) await keepHash(files, hash);
	known.set(key, hash);
	onProgress?.(1);
	return hash;
}
