// Reads answers to be labelled from a file.
import { createHash } from "node:crypto";
import { columnOf, type DataRecord, readRecords, shown, textOf } from "../data/records.js";
import { InvalidDataError } from "../errors.js";

/** Answers with the same prompt and the same response: they are shown once and get one label. */
export interface DistinctAnswer {
	prompt: string;
	response: string;
	/** Ids of its rows, in the order of the file. */
	ids: string[];
}

export interface AnswerRow {
	id: string;
	record: DataRecord;
	/** Undefined if the response is empty: there is nothing to label. */
	answer: DistinctAnswer | undefined;
}

export interface AnswerRows {
	rows: AnswerRow[];
	/** In an order that looks random, but is the same for every reader and does not change when the file grows. */
	answers: DistinctAnswer[];
	/** Every answer, by each of its ids. */
	byId: Map<string, DistinctAnswer>;
}

function idOf({ id }: DataRecord, row: number): string {
	if (id === undefined) return String(row + 1);
	if (typeof id === "string" || typeof id === "number" || typeof id === "bigint") return String(id);
	throw new InvalidDataError(`expected text or a number as the id of row ${row + 1}, got ${shown(id)}`);
}

function rowsOf(records: DataRecord[]): AnswerRows {
	const promptColumn = columnOf(records, undefined, ["prompt"], "the prompt", "prompt");
	const responseColumn = columnOf(records, undefined, ["response"], "the response", "response");
	const distinct = new Map<string, DistinctAnswer>();
	const keys = new Map<string, string>();
	const rows = records.flatMap((record, i): AnswerRow | [] => {
		const id = idOf(record, i);
		const prompt = textOf(record, promptColumn, i).trim();
		const response = textOf(record, responseColumn, i).trim();
		const key = createHash("sha256")
			.update(JSON.stringify([prompt, response]))
			.digest("hex");
		const known = keys.get(id);
		if (known === key) return []; // a repeated row
		if (known !== undefined) throw new InvalidDataError(`expected every id once, got ${shown(id)} twice`);
		keys.set(id, key);
		if (response === "") return { id, record, answer: undefined };
		const answer = distinct.get(key) ?? { prompt, response, ids: [] };
		answer.ids.push(id);
		distinct.set(key, answer);
		return { id, record, answer };
	});
	const answers = [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, answer]) => answer);
	return { rows, answers, byId: new Map(answers.flatMap((answer) => answer.ids.map((id) => [id, answer]))) };
}

/**
 * Reads the columns `prompt`, `response` and `id` (default the row's number) of a data file.
 *
 * Errors: INVALID_DATA.
 */
export async function readAnswers(path: string): Promise<AnswerRows> {
	const records = await readRecords(path);
	try {
		return rowsOf(records);
	} catch (error) {
		throw new InvalidDataError(`${path}: ${(error as Error).message}`, { cause: error });
	}
}
