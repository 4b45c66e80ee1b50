// Owns a file of one reader's labels, which is only appended to. A later line about an answer replaces an earlier one; a label of null
// removes it.
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { AppendedLines, parseLine, readLines } from "../data/appended-lines.js";
import { shown } from "../data/records.js";
import { InvalidDataError } from "../errors.js";
import type { AnswerRows, DistinctAnswer } from "./answer-rows.js";

/** A reader's label of an answer. */
export interface Label {
	label: string;
	/** The category, if it is `unsafe`. */
	category?: string;
}

const lineSchema = z.looseObject({ id: z.string(), label: z.string().nullable(), category: z.string().optional() });

/** Labels in the order in which they were given. */
export type Labels = Map<DistinctAnswer, Label>;

function labelsIn(lines: string[], path: string, { byId }: AnswerRows): Labels {
	const labels: Labels = new Map();
	for (const [i, line] of lines.entries()) {
		const where = `line ${i + 1} of ${path}`;
		const { id, label, category } = parseLine(lineSchema, line, InvalidDataError, (why) => `expected a label in ${where}, got: ${why}`);
		const answer = byId.get(id);
		if (answer === undefined) throw new InvalidDataError(`expected the label of one of the answers in ${where}, got one of ${shown(id)}`);
		labels.delete(answer);
		if (label !== null) labels.set(answer, category === undefined ? { label } : { label, category });
	}
	return labels;
}

/** A path without its extension. */
const stem = (path: string) => path.replace(/\.[^./\\]+(\.gz)?$/i, "");

/** The path of the labels of answers, one file per reader. */
export const labelPath = (answers: string, reader: string | undefined) =>
	`${stem(answers)}.labels${reader === undefined ? "" : `.${reader}`}.jsonl`;

/** The reader of a file of labels: the part of its name, or the whole name. */
export const readerOf = (path: string) => /\.labels\.([\w-]+)\.jsonl$/.exec(path)?.[1] ?? basename(path);

/** All files of labels in the folder of the answers. */
export async function labelPaths(answers: string): Promise<string[]> {
	const folder = dirname(answers);
	const begin = `${basename(stem(answers))}.labels.`;
	const names = await readdir(folder);
	return names
		.filter((name) => name.startsWith(begin) && /^([\w-]+\.)?jsonl$/.test(name.slice(begin.length)))
		.sort()
		.map((name) => join(folder, name));
}

/** The labels of a file. Errors: INVALID_DATA. */
export async function readLabels(path: string, answers: AnswerRows): Promise<Labels> {
	return labelsIn(readLines(path, InvalidDataError).lines, path, answers);
}

/** An open file of labels. */
export class LabelFile {
	readonly labels: Labels;
	readonly #file: AppendedLines;

	private constructor(file: AppendedLines, labels: Labels) {
		this.#file = file;
		this.labels = labels;
	}

	/** Opens or creates a file of labels. Until it is closed, no other process can open it. Errors: INVALID_DATA, WRITE_FAILED. */
	static async open(path: string, answers: AnswerRows): Promise<LabelFile> {
		return new LabelFile(...(await AppendedLines.open(path, InvalidDataError, (lines) => labelsIn(lines, path, answers))));
	}

	/** Labels an answer, or removes its label. Errors: WRITE_FAILED. */
	async set(answer: DistinctAnswer, label: Label | null): Promise<void> {
		await this.#file.append({ id: answer.ids[0], ...(label ?? { label }) });
		this.labels.delete(answer);
		if (label !== null) this.labels.set(answer, label);
	}

	close(): Promise<void> {
		return this.#file.close();
	}
}
