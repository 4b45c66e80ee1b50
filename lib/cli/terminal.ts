// What the commands print. Lines of ours are always cleaned of control characters, since terminals and logs are where they are read; the
// answer of a model is text for a program where standard output is a file or a pipe, and stays as it is there.
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { printable } from "../base/printable.js";
import { WriteError } from "../errors.js";

/** Whether whoever read standard output has gone, as `head` does. */
let isClosed = false;

/** Pipes and terminals fail only where they were closed, which is no fault of the command: it ends as it would have. */
process.stdout.on("error", () => (isClosed = true));
process.stderr.on("error", () => {});

/** Whether anybody can still read what is printed. */
export const hasReader = (): boolean => !isClosed;

/** Node's own stream for files ignores bytes that a full disk did not take. */
function writeWhole(bytes: Buffer): void {
	try {
		for (let at = 0; at < bytes.length; ) at += writeSync(process.stdout.fd, bytes, at);
	} catch (cause) {
		throw new WriteError(`expected to write standard output, got: ${(cause as Error).message}; check the free space`, { cause });
	}
}

/** Prints text as it is. Errors: WRITE_FAILED for a file that does not take all of it. */
export function print(text: string): void {
	if (isClosed) return;
	if (process.stdout instanceof Socket) process.stdout.write(text);
	else writeWhole(Buffer.from(text));
}

/** Prints a model's text. Errors: WRITE_FAILED. */
export const printAnswer = (text: string): void => print(process.stdout.isTTY ? printable(text) : text);

/** Prints a line. Errors: WRITE_FAILED. */
export const say = (line = ""): void => print(`${printable(line)}\n`);

/** Prints a line to standard error. */
export const tell = (line: string): void => void process.stderr.write(`${printable(line)}\n`);

/** Prints why a command failed; further lines are indented, so that none can be taken for a message of its own. */
export const complain = (message: string): void => tell(`inferenceguard: ${message.replaceAll("\n", "\n  ")}`);
