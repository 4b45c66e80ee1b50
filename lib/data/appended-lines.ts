// Owns files of JSON Lines that one process at a time only appends to. A line that a killed run left unfinished is cut off when the file is
// opened again.
import { existsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { z } from "zod";
import { parseJson } from "./json.js";
import { type ErrorClass, type Lock, lockFile } from "./lock.js";
import { writeFailure } from "./output.js";
import { expectUtf8, readBytes } from "./text-file.js";

const lineFeed = 10;

function isWholeObject(text: string): boolean {
	try {
		return typeof JSON.parse(text) === "object";
	} catch {
		return false;
	}
}

/** The finished lines of a file, and their size in bytes. A last line without a line feed is finished if it is a whole object. */
export function finishedLines(file: Buffer): { lines: string[]; bytes: number } {
	const lines: string[] = [];
	let bytes = 0;
	for (let end = file.indexOf(lineFeed); end >= 0; end = file.indexOf(lineFeed, bytes)) {
		lines.push(file.toString("utf8", bytes, end));
		bytes = end + 1;
	}
	const rest = file.toString("utf8", bytes);
	return isWholeObject(rest) ? { lines: [...lines, rest], bytes: file.length } : { lines, bytes };
}

/** Reads a line. Errors: `Invalid`, with a message that says why it cannot be read. */
export function parseLine<S extends z.ZodType>(
	schema: S,
	line: string,
	Invalid: ErrorClass,
	message: (why: string) => string,
): z.output<S> {
	try {
		return schema.parse(parseJson(line));
	} catch (cause) {
		throw new Invalid(message(cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message), { cause });
	}
}

async function writing<T>(path: string, write: Promise<T>): Promise<T> {
	try {
		return await write;
	} catch (cause) {
		throw writeFailure(path, cause);
	}
}

/** An open file. */
export class AppendedLines {
	readonly #path: string;
	readonly #file: FileHandle;
	readonly #lock: Lock;
	/** Where the finished lines end. */
	#end: number;
	#lastWrite: Promise<void> = Promise.resolve();

	private constructor(path: string, file: FileHandle, lock: Lock, end: number) {
		this.#path = path;
		this.#file = file;
		this.#lock = lock;
		this.#end = end;
	}

	/**
	 * Opens or creates a file, and locks it until it is closed ({@link lockFile}). `read` gets its finished lines; if it throws, the file
	 * stays unchanged.
	 *
	 * Errors: WRITE_FAILED, `Invalid` if the file is in use or cannot be read, and what `read` throws.
	 */
	static async open<T>(path: string, Invalid: ErrorClass, read: (lines: string[]) => T): Promise<[AppendedLines, T]> {
		const lock = await lockFile(path, Invalid);
		try {
			return await AppendedLines.#openLocked(path, lock, Invalid, read);
		} catch (error) {
			await lock.release();
			throw error;
		}
	}

	static async #openLocked<T>(path: string, lock: Lock, Invalid: ErrorClass, read: (lines: string[]) => T): Promise<[AppendedLines, T]> {
		const { file: found, lines, bytes } = existsSync(path) ? readLines(path, Invalid) : { file: Buffer.alloc(0), lines: [], bytes: 0 };
		const unfinished = found.toString("utf8", bytes);
		if (unfinished !== "" && !unfinished.startsWith("{")) throw new Invalid(`expected ${path} to hold lines of JSON, got something else`);
		const content = read(lines);
		const file = await writing(path, open(path, "a"));
		const appended = new AppendedLines(path, file, lock, bytes);
		try {
			await writing(path, file.truncate(bytes));
			if (bytes > 0 && found[bytes - 1] !== lineFeed) await appended.#write("\n");
		} catch (error) {
			await file.close();
			throw error;
		}
		return [appended, content];
	}

	/**
	 * Appends a line. When this resolves, the operating system has it. Errors: WRITE_FAILED; then the file is unchanged, or another process
	 * has taken it over.
	 */
	append(value: unknown): Promise<void> {
		const write = this.#lastWrite.then(() => this.#write(`${JSON.stringify(value)}\n`));
		this.#lastWrite = write.catch(() => {});
		return write;
	}

	/** Errors: WRITE_FAILED if the lines have not reached the disk. */
	async close(): Promise<void> {
		await this.#lastWrite;
		try {
			await writing(this.#path, this.#file.sync());
		} finally {
			await this.#file.close();
			await this.#lock.release();
		}
	}

	async #write(text: string): Promise<void> {
		await this.#lock.expectHeld();
		try {
			await writing(this.#path, this.#file.appendFile(text));
			this.#end += Buffer.byteLength(text);
		} catch (error) {
			await this.#file.truncate(this.#end).catch(() => {}); // half a line would damage the next one
			throw error;
		}
	}
}

/** Reads a whole file and its finished lines. Errors: `Invalid`. */
export function readLines(path: string, Invalid: ErrorClass): ReturnType<typeof finishedLines> & { file: Buffer } {
	try {
		const file = readBytes(path);
		const finished = finishedLines(file);
		expectUtf8(file.subarray(0, finished.bytes));
		return { file, ...finished };
	} catch (cause) {
		throw new Invalid(`expected to read ${path}, got: ${(cause as Error).message}`, { cause });
	}
}
