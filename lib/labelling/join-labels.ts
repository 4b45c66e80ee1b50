// Joins answers with their readers' labels into training data, and measures the readers' agreement.
import { resolve } from "node:path";
import { z } from "zod";
import { check, expected, path } from "../base/check.js";
import { agreementOf } from "../data/metrics.js";
import { expectWritable, replaceFiles, textFile } from "../data/output.js";
import { InvalidDataError, InvalidOptionError } from "../errors.js";
import { type AnswerRow, type AnswerRows, type DistinctAnswer, readAnswers } from "./answer-rows.js";
import { type Label, type Labels, labelPaths, readerOf, readLabels } from "./label-file.js";
import { undecidedLabel } from "./label-scheme.js";

/** Options of {@link joinLabels}. */
export interface JoinOptions {
	/** The labelled file. */
	answers: string;
	/** Files of labels, one per reader; default all in the folder of the answers. */
	labels?: readonly string[];
	/** JSON Lines: every row with a label, with `label` and perhaps `category` in addition to its other columns. */
	out: string;
}

/** How two readers agree on the different answers that both labelled. */
export interface ReaderAgreement {
	readers: [string, string];
	answers: number;
	/** Share with the same label. */
	agreed: number;
	/** Cohen's κ (1960): the share of agreement beyond chance; null if chance alone agrees on all. */
	kappa: number | null;
}

/** The result of {@link joinLabels}. */
export interface JoinReport {
	/** Rows written, by label. */
	labels: Record<string, number>;
	/** The same by method, if the answers have one. */
	methods: Record<string, Record<string, number>>;
	/** Rows left out: without a response, without a label, labelled `undecided`, or labelled differently by two readers. */
	leftOut: { empty: number; unlabelled: number; undecided: number; disagreed: number };
	/** Every two readers who labelled the same answers. */
	agreement: ReaderAgreement[];
}

const joinSchema = z.strictObject({
	answers: path("the path of a file of answers"),
	labels: z.array(path("a path"), expected("an array of paths")).optional(),
	out: path("a path"),
});

/** A reader and the labels of one file. */
export interface Reader {
	name: string;
	labels: Labels;
}

/** Reads files of labels. Errors: INVALID_DATA. */
export async function readReaders(paths: readonly string[], rows: AnswerRows): Promise<Reader[]> {
	const readers: Reader[] = [];
	for (const path of paths) readers.push({ name: readerOf(path), labels: await readLabels(path, rows) });
	return readers;
}

/** The agreement of every two readers who labelled the same answers. */
export function agreements(readers: readonly Reader[]): ReaderAgreement[] {
	return readers.flatMap((first, i) =>
		readers.slice(i + 1).flatMap((second) => {
			const both = [...first.labels].flatMap(([answer, { label }]) => {
				const other = second.labels.get(answer);
				return other === undefined ? [] : [[label, other.label] as const];
			});
			if (both.length === 0) return [];
			return [{ readers: [first.name, second.name] as [string, string], answers: both.length, ...agreementOf(both) }];
		}),
	);
}

/** The label that all readers of an answer gave, or why there is none. */
function commonLabel(answer: DistinctAnswer | undefined, readers: readonly Reader[]): Label | keyof JoinReport["leftOut"] {
	if (answer === undefined) return "empty";
	const given = readers.flatMap(({ labels }) => labels.get(answer) ?? []);
	const [first, ...others] = given;
	if (first === undefined) return "unlabelled";
	if (others.some(({ label }) => label !== first.label)) return "disagreed";
	if (first.label === undecidedLabel) return "undecided";
	return given.find(({ category }) => category !== undefined) ?? first;
}

/** How often each name occurs. */
function counts(names: readonly string[]): Record<string, number> {
	const found = new Map<string, number>();
	for (const name of names) found.set(name, (found.get(name) ?? 0) + 1);
	return Object.fromEntries(found);
}

/** A row as a line; whole numbers of a table may be BigInts. */
const lineOf = ({ record }: AnswerRow, label: Label) =>
	JSON.stringify({ ...record, ...label }, (_, value) => (typeof value === "bigint" ? Number(value) : value));

/**
 * Joins answers with the labels of their readers into a file that {@link trainCost} reads (`contextField: "prompt"`). Equal answers to the same
 * prompt have the same label. Answers that are `undecided`, and those on which readers disagree, are left out.
 *
 * Errors: INVALID_OPTION; INVALID_DATA if answers or labels cannot be read, or do not belong together; WRITE_FAILED.
 */
export async function joinLabels(given: JoinOptions): Promise<JoinReport> {
	const { answers, out, ...options } = check(joinSchema, given);
	const rows = await readAnswers(answers);
	const paths = options.labels ?? (await labelPaths(answers));
	if (paths.length === 0) throw new InvalidDataError(`expected a file of labels next to ${answers}, got none; label it first`);
	if ([answers, ...paths].some((path) => resolve(path) === resolve(out))) {
		throw new InvalidOptionError(`out: expected a file of its own, got ${out}, which is read`);
	}
	await expectWritable(out);
	const readers = await readReaders(paths, rows);
	const leftOut = { empty: 0, unlabelled: 0, undecided: 0, disagreed: 0 };
	const labelled: { row: AnswerRow; label: Label }[] = [];
	for (const row of rows.rows) {
		const label = commonLabel(row.answer, readers);
		if (typeof label === "string") leftOut[label]++;
		else labelled.push({ row, label });
	}
	await replaceFiles(textFile(out, labelled.map(({ row, label }) => `${lineOf(row, label)}\n`).join("")));
	const labelsOf = (own: typeof labelled) => counts(own.map(({ label }) => label.label));
	const methods = new Set(labelled.flatMap(({ row: { record } }) => (typeof record.method === "string" ? [record.method] : [])));
	return {
		labels: labelsOf(labelled),
		methods: Object.fromEntries(
			[...methods].map((method) => [method, labelsOf(labelled.filter(({ row }) => row.record.method === method))]),
		),
		leftOut,
		agreement: agreements(readers),
	};
}
