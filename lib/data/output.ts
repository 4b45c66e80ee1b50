// Writes results so that a reader never sees half of one.
import { randomBytes } from "node:crypto";
import { access, constants, mkdtemp, open, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { InferenceGuardError, WriteError } from "../errors.js";

/** A file to be written. */
export interface NewFile {
	path: string;
	/** Fills a temporary file, and returns the size in bytes that it should have. */
	write: (temporary: string) => Promise<number> | number;
}

/** The error with a code for a failure to write. */
export function writeFailure(path: string, cause: unknown): InferenceGuardError {
	if (InferenceGuardError.isInstance(cause)) return cause;
	return new WriteError(`expected to write ${path}, got: ${(cause as Error).message}; check the folder and the free space`, { cause });
}

/** The path to write: a link's target, so that the link stays. Errors: WRITE_FAILED if something other than a file is there. */
async function placeOf(path: string): Promise<string> {
	const found = await stat(path).catch(() => undefined);
	if (found === undefined) return path;
	if (found.isDirectory()) throw new WriteError(`expected the path of a file to write, got the folder ${path}; add a file name`);
	if (!found.isFile()) throw new WriteError(`expected the path of a file to write, got ${path}, a device, pipe or socket; name a file`);
	return realpath(path);
}

/** Fails before any work is done if a result could not be written later. Errors: WRITE_FAILED. */
export async function expectWritable(path: string): Promise<void> {
	const place = await placeOf(path);
	try {
		if (!(await stat(dirname(place))).isDirectory()) throw new Error("a file there");
		await access(dirname(place), constants.W_OK);
	} catch (cause) {
		throw new WriteError(`expected a folder that can be written for ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

/** Errors: one that says how many of the bytes are on disk. */
async function expectWhole(path: string, bytes: number): Promise<void> {
	const file = await open(path, "r+");
	try {
		await file.sync();
		const { size } = await file.stat();
		if (size !== bytes) throw new Error(`${size} of ${bytes} bytes`);
	} finally {
		await file.close();
	}
}

/**
 * Writes files that belong together. Each is written to a temporary file in the same folder. Once all of them are complete and on disk,
 * each is moved into place in one step. Errors: WRITE_FAILED, and those of `write`; then the old files stay, and nothing else is left.
 */
export async function replaceFiles(...files: NewFile[]): Promise<void> {
	const moves: { path: string; from: string; to: string }[] = [];
	try {
		for (const { path, write } of files) {
			try {
				const to = await placeOf(path);
				const from = `${to}.${randomBytes(6).toString("hex")}.tmp`;
				moves.push({ path, from, to });
				await expectWhole(from, await write(from));
			} catch (cause) {
				throw writeFailure(path, cause);
			}
		}
		for (const { path, from, to } of moves) {
			await rename(from, to).catch((cause) => {
				throw writeFailure(path, cause);
			});
		}
	} catch (error) {
		for (const { from } of moves) await rm(from, { force: true }).catch(() => {});
		throw error;
	}
}

/** A new temporary folder. Errors: WRITE_FAILED. */
export async function makeTemporaryFolder(): Promise<string> {
	try {
		return await mkdtemp(join(tmpdir(), "inferenceguard-"));
	} catch (cause) {
		throw new WriteError(`expected a temporary folder to write in, got: ${(cause as Error).message}; check ${tmpdir()}`, { cause });
	}
}

/** Gives `work` a folder of its own and removes it afterwards. Errors: WRITE_FAILED, and those of `work`. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
	const folder = await makeTemporaryFolder();
	try {
		return await work(folder);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

/** A text file to be written. */
export function textFile(path: string, text: string): NewFile {
	const write = async (temporary: string) => {
		await writeFile(temporary, text);
		return Buffer.byteLength(text);
	};
	return { path, write };
}

/** A file of indented JSON to be written. */
export const jsonFile = (path: string, value: unknown): NewFile => textFile(path, `${JSON.stringify(value, null, "\t")}\n`);
