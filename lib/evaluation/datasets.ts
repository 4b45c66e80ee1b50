// Reads the prompts of an evaluation from files.
import { z } from "zod";
import { check, choice, expected, integer, path, text } from "../base/check.js";
import { randomNumbers } from "../data/random.js";
import { columnOf, type DataRecord, isRecord, readRecords, shown, textOf } from "../data/records.js";
import { InvalidDataError } from "../errors.js";
import type { ChatMessage } from "../prompt/chat.js";
import { type Preset, type PresetName, type PromptLabel, plainPrompts, presetNames, presets } from "./presets.js";

/** The source of an evaluation's prompts. */
export interface PromptSource {
	/** The published set whose layout the files have; see {@link presets}. The fields below override it. */
	preset?: PresetName;
	/** One file or several, read as one: `.txt` (a prompt per line), `.jsonl`, `.json`, `.csv`, `.tsv`, each also as `.gz`, or `.parquet`. */
	file: string | readonly string[];
	/** Column of the prompt; default the preset's, otherwise `prompt` or `text`. */
	promptField?: string;
	/** Column of the id; default the preset's, otherwise the row's number over all files, from 1. */
	idField?: string;
	/** Column that says whether a prompt is benign; needs `benign`. Default the preset's; otherwise prompts have no label. */
	labelField?: string;
	/**
	 * Labels that mean benign; all others mean harmful, an empty one neither. An empty list means that no prompt is benign. If the files have
	 * different labels and these are none of them, that is taken for a typing error; if they have only one label, its prompts are all
	 * harmful.
	 */
	benign?: readonly string[];
	/** Column of the category; default the preset's. */
	categoryField?: string;
	/** Column of the split; default `split`, if there is one. */
	splitField?: string;
	/** Take this split only. */
	split?: string;
	/** Most prompts to take: the first ones. */
	limit?: number;
	/** With `limit`: take prompts at random, each as likely as any other, in the order of the files. */
	seed?: number;
}

/** A prompt of an evaluation. */
export interface EvaluationPrompt {
	/** Id in its set; the row's number if the set has none. */
	id: string;
	/** The text for a model without a chat template. */
	text: string;
	/** The same as a conversation, if the set has conversations. */
	messages?: ChatMessage[];
	label: PromptLabel | null;
	category: string | null;
	split: string | null;
}

const column = text("the name of a column").optional();

const hasLabelColumn = (preset: PresetName | undefined) => preset !== undefined && typeof layout(preset).label === "object";

/** Checks a {@link PromptSource}. */
export const promptSourceSchema = z
	.strictObject({
		preset: choice(presetNames).optional(),
		file: z.union(
			[path("a path"), z.array(path("a path")).nonempty("expected at least one path")],
			expected("the path of a file of prompts, or an array of paths"),
		),
		promptField: column,
		idField: column,
		labelField: column,
		benign: z.array(z.string(), expected("an array of labels")).optional(),
		categoryField: column,
		splitField: column,
		split: text("the name of a split").optional(),
		limit: integer(1, Number.MAX_SAFE_INTEGER).optional(),
		seed: integer(0, Number.MAX_SAFE_INTEGER).optional(),
	})
	.refine(({ labelField, benign }) => labelField === undefined || benign !== undefined, {
		path: ["benign"],
		error: "expected the labels that mean benign with labelField, got none",
	})
	.refine(({ preset, labelField, benign }) => benign === undefined || labelField !== undefined || hasLabelColumn(preset), {
		path: ["benign"],
		error: "expected labelField, the column that holds these labels, got none",
	})
	.refine(({ limit, seed }) => seed === undefined || limit !== undefined, {
		path: ["seed"],
		error: "expected limit, the number of prompts to draw, with a seed, got none",
	});

type Checked = z.output<typeof promptSourceSchema>;

function layout(preset: PresetName | undefined): Preset {
	return preset === undefined ? plainPrompts : presets[preset];
}

/** A value of a column of names: an id, a label, a category, a split. */
function nameOf(value: unknown, column: string, row: number): string | null {
	if (value === undefined || value === null || value === "") return null;
	if (typeof value === "string") return value.toWellFormed();
	if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
	throw new InvalidDataError(`expected text or a number in the column ${column} of row ${row + 1}, got ${shown(value)}`);
}

/** A prompt with the label of the file. */
type Row = Omit<EvaluationPrompt, "id" | "label"> & { id: string | null; label: string | null };

/** A row, with the fields of the object in one of its columns as columns. */
function flat(record: DataRecord, nested: string | undefined): DataRecord {
	const inner = nested === undefined ? undefined : record[nested];
	return isRecord(inner) ? { ...record, ...inner } : record;
}

function rowsOf(read: DataRecord[], file: string, source: Checked): Row[] {
	const { preset, split } = source;
	const own = layout(preset);
	const records = read.map((record) => flat(record, own.nested));
	const prompt = columnOf(records, source.promptField, own.prompt, "the prompt", "promptField");
	/** The requested column, which has to exist, or the first usual one that exists. */
	const optional = (asked: string | undefined, usual: readonly string[], what: string, option: string) =>
		asked === undefined ? usual.find((name) => records.some((record) => name in record)) : columnOf(records, asked, [], what, option);
	const labels = typeof own.label === "object" ? [own.label.column] : [];
	const { category = [], heldBack = [] } = own;
	const columns = {
		id: optional(source.idField, own.id ?? [], "the id", "idField"),
		label: optional(source.labelField, labels, "the label", "labelField"),
		category: optional(source.categoryField, typeof category === "function" ? [] : category, "the category", "categoryField"),
		split: optional(source.splitField ?? (split === undefined ? undefined : "split"), ["split"], "the split", "splitField"),
	};
	const categoryOfFile = typeof category === "function" ? category(file) : null;
	return records.flatMap((record, row) => {
		const named = (column: string | undefined) => (column === undefined ? null : nameOf(record[column], column, row));
		const given = textOf(record, prompt, row);
		if (heldBack.includes(given)) return [];
		if (given.trim() === "") throw new InvalidDataError(`expected a prompt in the column ${prompt} of row ${row + 1}, got an empty text`);
		const id = named(columns.id);
		if (columns.id !== undefined && id === null) {
			throw new InvalidDataError(
				`expected an id in the column ${columns.id} of row ${row + 1}, got none; name another column with idField`,
			);
		}
		try {
			const composed = own.compose?.(given, record) ?? { text: given };
			const topic = columns.category === undefined ? categoryOfFile : named(columns.category);
			return [{ ...composed, id, label: named(columns.label), category: topic, split: named(columns.split) }];
		} catch (error) {
			throw new InvalidDataError(`row ${row + 1}: ${(error as Error).message}`, { cause: error });
		}
	});
}

async function rowsOfFile(file: string, source: Checked): Promise<Row[]> {
	const records = await readRecords(file, layout(source.preset).table);
	try {
		return rowsOf(records, file, source);
	} catch (error) {
		throw new InvalidDataError(`${file}: ${(error as Error).message}`, { cause: error });
	}
}

/** Converts the files' labels to those of prompts. */
function labelled(rows: readonly Row[], source: Checked): (Omit<Row, "label"> & { label: PromptLabel | null })[] {
	const own = layout(source.preset).label;
	const isOwn = source.labelField === undefined && source.benign === undefined;
	if (isOwn && typeof own !== "object") return rows.map((row) => ({ ...row, label: own ?? null }));
	const benign = source.benign ?? (own as { benign: readonly string[] }).benign;
	const found = [...new Set(rows.map(({ label }) => label))].filter((label) => label !== null);
	if (!isOwn && benign.length > 0 && found.length !== 1 && !found.some((label) => benign.includes(label))) {
		throw new InvalidDataError(
			`expected prompts labelled ${benign.map(shown).join(" or ")}, got ${found.slice(0, 10).map(shown).join(", ") || "no labels"}; ` +
				"mend benign, or give an empty list where no prompt is benign",
		);
	}
	return rows.map((row) => ({ ...row, label: row.label === null ? null : benign.includes(row.label) ? "benign" : "harmful" }));
}

function firstOfEach(prompts: readonly EvaluationPrompt[]): EvaluationPrompt[] {
	const seen = new Set<string>();
	return prompts.filter(({ text }) => !seen.has(text) && seen.add(text));
}

function checkIds(prompts: readonly EvaluationPrompt[]): void {
	const seen = new Set<string>();
	for (const { id } of prompts) {
		if (seen.has(id)) throw new InvalidDataError(`expected every id once, got ${shown(id)} twice; name another column with idField`);
		seen.add(id);
	}
}

/** Draws `count` of them, each equally likely, in their original order. */
function drawn<T>(all: readonly T[], count: number, seed: number): T[] {
	const random = randomNumbers(seed);
	const order = all.map((_, i) => i);
	const taken = Math.min(count, all.length);
	for (let i = 0; i < taken; i++) {
		const j = i + Math.floor(random() * (all.length - i));
		[order[i], order[j]] = [order[j] as number, order[i] as number];
	}
	return order
		.slice(0, taken)
		.sort((a, b) => a - b)
		.map((i) => all[i] as T);
}

/**
 * Reads the prompts of an evaluation.
 *
 * Errors: INVALID_OPTION; INVALID_DATA if a file or column is missing, a row has no prompt, an id occurs twice, no prompt is in the split, or
 * none of several labels means benign.
 */
export async function readPrompts(given: PromptSource): Promise<EvaluationPrompt[]> {
	const source = check(promptSourceSchema, given);
	const { file, split, limit, seed } = source;
	const files = typeof file === "string" ? [file] : file;
	const rows: Row[] = [];
	for (const one of files) for (const row of await rowsOfFile(one, source)) rows.push(row);
	const numbered = labelled(rows, source).map((row, i) => ({ ...row, id: row.id ?? String(i + 1) }));
	const ofSplit = split === undefined ? numbered : numbered.filter((row) => row.split === split);
	if (ofSplit.length === 0) {
		const found = [...new Set(rows.map((row) => shown(row.split)))].slice(0, 10);
		const wanted = split === undefined ? "prompts" : `prompts of the split ${shown(split)}`;
		throw new InvalidDataError(`expected ${wanted} in ${files.join(", ")}, got ${found.join(", ") || "none"}`);
	}
	const prompts = layout(source.preset).repeats ? firstOfEach(ofSplit) : ofSplit;
	checkIds(prompts);
	if (limit === undefined) return prompts;
	return seed === undefined ? prompts.slice(0, limit) : drawn(prompts, limit, seed);
}
