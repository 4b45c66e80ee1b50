// Prints the commands' output. Our own lines are always cleaned of control characters, since they are read in terminals and logs. A model's
// answer stays unchanged if standard output is a file or a pipe, since a program reads it there.
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { printable } from "../base/printable.js";
import { WriteError } from "../errors.js";

/** Whether the reader of standard output has gone, as `head` does. */
let isClosed = false;

/** Pipes and terminals fail only when they are closed. That is not the command's fault, so it ends as usual. */
process.stdout.on("error", () => (isClosed = true));
process.stderr.on("error", () => {});

/** Whether anything can still read the output. */
export const hasReader = (): boolean => !isClosed;

/** Node's own stream for files ignores bytes that did not fit on a full disk. */
function writeWhole(bytes: Buffer): void {
	try {
		for (let at = 0; at < bytes.length; ) at += writeSync(process.stdout.fd, bytes, at);
	} catch (cause) {
		throw new WriteError(`expected to write standard output, got: ${(cause as Error).message}; check the free space`, { cause });
	}
}

/** Prints text unchanged. Errors: WRITE_FAILED for a file that does not take all of it. */
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

/** Prints why a command failed. Further lines are indented, so that none looks like a separate message. */
export const complain = (message: string): void => tell(`inferenceguard: ${message.replaceAll("\n", "\n  ")}`);
