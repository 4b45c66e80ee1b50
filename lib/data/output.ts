// Writing results so that a reader never sees half of one.
import { randomBytes } from "node:crypto";
import { access, constants, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { InferenceGuardError, WriteError } from "../errors.js";

/** Fails before any work is done where a result could not be written later. Errors: WRITE_FAILED. */
export async function expectWritable(path: string): Promise<void> {
	try {
		await access(dirname(path), constants.W_OK);
	} catch (cause) {
		throw new WriteError(`expected a folder that can be written for ${path}, got: ${(cause as Error).message}`, { cause });
	}
	const found = await stat(path).catch(() => undefined);
	if (found?.isDirectory()) throw new WriteError(`expected the path of a file to write, got the folder ${path}; add a file name`);
}

/** Lets `write` fill a temporary file beside `path`, then puts it in place in one step. Errors: WRITE_FAILED. */
export async function replaceFile(path: string, write: (temporary: string) => Promise<void> | void): Promise<void> {
	const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
	try {
		await write(temporary);
		await rename(temporary, path);
	} catch (cause) {
		await rm(temporary, { force: true });
		if (InferenceGuardError.isInstance(cause)) throw cause;
		throw new WriteError(`expected to write ${path}, got: ${(cause as Error).message}; check the folder and the free space`, { cause });
	}
}

/** Lets `work` use a folder of its own, which is gone afterwards. Errors: WRITE_FAILED, and those of `work`. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
	const folder = await mkdtemp(join(tmpdir(), "inferenceguard-")).catch((cause) => {
		throw new WriteError(`expected a temporary folder to write in, got: ${cause.message}; check ${tmpdir()}`, { cause });
	});
	try {
		return await work(folder);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

/** Writes a text file in one step. */
export async function replaceText(path: string, text: string): Promise<void> {
	await replaceFile(path, (temporary) => writeFile(temporary, text));
}

/** Writes an object as indented JSON. */
export async function writeJson(path: string, value: unknown): Promise<void> {
	await replaceText(path, `${JSON.stringify(value, null, "\t")}\n`);
}
