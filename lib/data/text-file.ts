// Reads files as text. Anything else is refused, never guessed: wrongly decoded text looks like words that match nothing.
import { isUtf8 } from "node:buffer";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";

const mostShown = 10;

const gguf = "GGUF";
const gzip = "\x1f\x8b";

/** File types that are not text, by their first bytes. */
const foreign = [
	{ magic: gguf, what: "a GGUF file, which is a model; give it where a model is expected" },
	{ magic: gzip, what: "a gzip file; unpack it first" },
	{ magic: "PK\x03\x04", what: "a zip archive, as spreadsheets are; unpack it, or save it as text" },
	{ magic: "version https://git-lfs", what: "a pointer of Git LFS; get the file itself with git lfs pull" },
];

const beginsWith = (bytes: Buffer, magic: string) => bytes.toString("latin1", 0, magic.length) === magic;

const lineEnd = /\r\n|\n|\r/;

/** The lines of a text, with any of the three usual line ends. */
export const linesOf = (text: string): string[] => text.split(lineEnd);

/** The numbers of the lines for which `holds` is true, for a message. */
function linesWhere(lines: readonly string[], holds: (line: string) => boolean): string {
	const numbers = lines.flatMap((line, i) => (holds(line) ? [String(i + 1)] : []));
	const rest = numbers.length > mostShown ? ` and ${numbers.length - mostShown} more` : "";
	return `line${numbers.length > 1 ? "s" : ""} ${numbers.slice(0, mostShown).join(", ")}${rest}`;
}

function fromUtf16(bytes: Buffer, lowByteFirst: boolean): string {
	if (bytes.length % 2 === 1) throw new Error("UTF-16 with half a character at its end; save it as UTF-8");
	const text = (lowByteFirst ? bytes : Buffer.from(bytes).swap16()).toString("utf16le");
	if (text.isWellFormed()) return text;
	throw new Error(`halves of characters in ${linesWhere(linesOf(text), (line) => !line.isWellFormed())}; save it as UTF-8`);
}

/** Errors: one that says which lines are not UTF-8. */
export function expectUtf8(bytes: Buffer): void {
	if (isUtf8(bytes)) return;
	const isBroken = (line: string) => !isUtf8(Buffer.from(line, "latin1"));
	throw new Error(`bytes that are no UTF-8 in ${linesWhere(linesOf(bytes.toString("latin1")), isBroken)}; save it as UTF-8`);
}

function decoded(bytes: Buffer): string {
	if (beginsWith(bytes, "\xff\xfe")) return fromUtf16(bytes, true);
	if (beginsWith(bytes, "\xfe\xff")) return fromUtf16(bytes, false);
	expectUtf8(bytes);
	return bytes.toString("utf8");
}

/**
 * Text in UTF-8, or in UTF-16 with a byte order mark, without that mark. Errors: one that says what came instead, and how to mend it. A NUL
 * does not count as text, since UTF-16 without a byte order mark is full of them.
 */
export function decodeText(bytes: Buffer): string {
	const other = foreign.find(({ magic }) => beginsWith(bytes, magic));
	if (other !== undefined) throw new Error(other.what);
	const text = decoded(bytes).replace(/^\uFEFF/, "");
	if (!text.includes("\0")) return text;
	const where = linesWhere(linesOf(text), (line) => line.includes("\0"));
	throw new Error(`NUL characters in ${where}, as binary files and UTF-16 without a byte order mark have; save it as UTF-8`);
}

/** Size of a file in bytes. Devices and pipes do not count as files, because they may have no end. Errors: one that names the fault. */
export function fileSize(path: string): number {
	const found = statSync(path);
	if (found.isDirectory()) throw new Error("a folder");
	if (!found.isFile()) throw new Error("a device, pipe or socket; save what it gives to a file first");
	return found.size;
}

/** Reads a whole file. Errors: those of {@link fileSize}. */
export function readBytes(path: string): Buffer {
	fileSize(path);
	return readFileSync(path);
}

/** Reads a whole text file. Errors: those of {@link readBytes} and {@link decodeText}. */
export const readText = (path: string): string => decodeText(readBytes(path));

const control = /(?!\s)\p{Cc}/u;

/** Returns the text unchanged. Errors: one that says where it has control characters, which some published tables do. */
export function withoutControls(text: string): string {
	if (!control.test(text)) return text;
	throw new Error(`control characters in ${linesWhere(linesOf(text), (line) => control.test(line))}; remove them`);
}

/** Whether bytes are packed with gzip. */
export const isGzip = (bytes: Buffer): boolean => beginsWith(bytes, gzip);

/** Whether a file is a GGUF model, whatever its name. False if it cannot be read. */
export function isGguf(path: string): boolean {
	let file: number;
	try {
		if (!statSync(path).isFile()) return false;
		file = openSync(path, "r");
	} catch {
		return false;
	}
	try {
		const bytes = Buffer.alloc(gguf.length);
		readSync(file, bytes);
		return beginsWith(bytes, gguf);
	} finally {
		closeSync(file);
	}
}
