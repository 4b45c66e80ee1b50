// Reads tables of training data and prompts from files.
import { constants } from "node:buffer";
import { extname } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { parse } from "csv-parse/sync";
import { InvalidDataError } from "../errors.js";
import { parseJson } from "./json.js";
import { parseApart } from "./parse-apart.js";
import { decodeText, fileSize, isGzip, linesOf, readBytes } from "./text-file.js";

/** One row of a data file. */
export type DataRecord = Record<string, unknown>;

/** Facts that a file does not state itself. */
export interface TableLayout {
	/** Which array of a JSON object holds the rows, if there are several. */
	list?: string;
	/** Column names of separated values without a header; further columns are ignored. */
	columns?: readonly string[];
}

export function isRecord(value: unknown): value is DataRecord {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function jsonOf(text: string, where: string): unknown {
	try {
		return parseJson(text);
	} catch (cause) {
		throw new InvalidDataError(`expected JSON in ${where}, got: ${(cause as Error).message}`, { cause });
	}
}

function jsonRows(parsed: unknown, path: string, list: string | undefined): unknown[] {
	if (Array.isArray(parsed)) return parsed;
	if (list !== undefined && isRecord(parsed) && Array.isArray(parsed[list])) return parsed[list];
	const lists = isRecord(parsed) ? Object.values(parsed).filter(Array.isArray) : [];
	if (lists.length === 1) return lists[0] as unknown[];
	throw new InvalidDataError(`expected a JSON array in ${path}, or an object with one array, got neither; use JSON Lines or an array`);
}

function numberedLines(text: string): { line: string; number: number }[] {
	return linesOf(text)
		.map((line, i) => ({ line, number: i + 1 }))
		.filter(({ line }) => line.trim() !== "");
}

const jsonLines = (text: string, path: string) => numberedLines(text).map(({ line, number }) => jsonOf(line, `line ${number} of ${path}`));

/** Comma-separated values are quoted where necessary; tab-separated ones are literal, quotes included. */
function separatedRows(
	text: string,
	path: string,
	{ name, delimiter, quote }: { name: string; delimiter: string; quote: string | null },
	columns: readonly string[] | undefined,
): unknown[] {
	const named = columns === undefined ? { columns: true } : { columns: [...columns], relax_column_count_more: true };
	try {
		return parse(text, { ...named, delimiter, quote, skip_empty_lines: true });
	} catch (cause) {
		const header = columns === undefined ? "with" : "without";
		throw new InvalidDataError(`expected ${name}-separated values ${header} a header in ${path}, got: ${(cause as Error).message}`, {
			cause,
		});
	}
}

const commaSeparated = { name: "comma", delimiter: ",", quote: '"' };
const tabSeparated = { name: "tab", delimiter: "\t", quote: null };

async function parquetRows(path: string): Promise<unknown[]> {
	try {
		return (await parseApart({ kind: "parquet", path }, fileSize(path))) as unknown[];
	} catch (cause) {
		throw new InvalidDataError(`expected a Parquet file (uncompressed or Snappy) at ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

/** The unpacked text of a file; at most what fits into one string, about 512 MB. */
async function fileText(path: string): Promise<string> {
	let what = "a data file";
	try {
		const bytes = readBytes(path);
		if (!isGzip(bytes)) return decodeText(bytes);
		what = "a gzip file of text";
		return decodeText(await promisify(gunzip)(bytes, { maxOutputLength: constants.MAX_STRING_LENGTH }));
	} catch (cause) {
		throw new InvalidDataError(`expected ${what} at ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

const textFormats: Record<string, (text: string, path: string, layout: TableLayout) => unknown[]> = {
	".txt": (text) => numberedLines(text).map(({ line }) => line),
	".jsonl": jsonLines,
	".ndjson": jsonLines,
	".json": (text, path, { list }) => jsonRows(jsonOf(text, path), path, list),
	".csv": (text, path, { columns }) => separatedRows(text, path, commaSeparated, columns),
	".tsv": (text, path, { columns }) => separatedRows(text, path, tabSeparated, columns),
};

/** The extension of a file, without gzip's. */
function formatOf(path: string): { extension: string; isPacked: boolean } {
	const isPacked = extname(path).toLowerCase() === ".gz";
	return { extension: extname(isPacked ? path.slice(0, -".gz".length) : path).toLowerCase(), isPacked };
}

/**
 * Reads the rows of a file by its extension: `.jsonl`/`.ndjson`, `.json` (an array, or an object with one array), `.csv`, `.tsv`,
 * `.txt` (one text per line, as the column `text`), each of them also packed with gzip (`.jsonl.gz`…), and `.parquet`. A row that is a
 * plain string becomes `{ text }`. Text is UTF-8, or UTF-16 with a byte order mark.
 *
 * Errors: INVALID_DATA.
 */
export async function readRecords(path: string, layout: TableLayout = {}): Promise<DataRecord[]> {
	const { extension, isPacked } = formatOf(path);
	const read = textFormats[extension];
	let rows: unknown[];
	if (read !== undefined) rows = read(await fileText(path), path, layout);
	else if (extension === ".parquet" && !isPacked) rows = await parquetRows(path);
	else
		throw new InvalidDataError(
			`expected a .txt, .jsonl, .json, .csv or .tsv file, or one of them with .gz, or a .parquet file, got ${path}`,
		);
	if (rows.length === 0) throw new InvalidDataError(`expected at least one row in ${path}, got none`);
	return rows.map((row, i) => {
		if (typeof row === "string") return { text: row };
		if (isRecord(row)) return row;
		throw new InvalidDataError(`expected every row of ${path} to be an object or a text, got ${JSON.stringify(row)} as row ${i + 1}`);
	});
}

/** The column to read: the requested one, or the first known one that the rows have. */
export function columnOf(records: DataRecord[], asked: string | undefined, known: readonly string[], what: string, option: string): string {
	const columns = new Set(records.flatMap((record) => Object.keys(record)));
	const column = asked ?? known.find((name) => columns.has(name));
	if (column !== undefined && columns.has(column)) return column;
	const wanted = asked === undefined ? `one of the columns ${known.join(", ")} for ${what}` : `a column ${asked}`;
	throw new InvalidDataError(`expected ${wanted}, got the columns ${[...columns].join(", ")}; name the column with ${option}`);
}

/** A value of a data file, for a message. */
export function shown(value: unknown): string {
	if (value instanceof Uint8Array) return `${value.length} bytes that are no UTF-8`;
	return typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? "nothing");
}

/** A row's text. */
export function textOf(record: DataRecord, column: string, row: number): string {
	const value = record[column];
	if (typeof value !== "string") {
		throw new InvalidDataError(`expected text in the column ${column} of row ${row + 1}, got ${shown(value)}`);
	}
	return value.toWellFormed();
}
