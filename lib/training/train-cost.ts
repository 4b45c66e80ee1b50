// Trains a cost model of whole texts from labelled texts.
import { createHash } from "node:crypto";
import {
	accuracy,
	auc,
	expectedCalibrationError,
	groupedShareInterval,
	type Interval,
	type IntervalMethod,
	intervalMethod,
	meanSquaredError,
} from "../data/metrics.js";
import { expectWritable, inTemporaryFolder, jsonFile, replaceFiles } from "../data/output.js";
import { columnOf, type DataRecord, readRecords, shown, textOf } from "../data/records.js";
import { type Split, splitNamed, splitsOf } from "../data/split.js";
import { InvalidDataError } from "../errors.js";
import { type NativeClassifierJob, splitNumbers } from "../native/protocol.js";
import { CallbackWatch, Worker } from "../native/worker.js";
import type { LoadOptions } from "../options/types.js";
import type { EpochProgress } from "../progress.js";
import { type LabelledText, type Trained, type TrainingNotes, tensorWriter } from "./cost-model.js";
import { checkTrainCostOptions } from "./options.js";
import { isConversation } from "./prompts.js";
import { trainEncoder } from "./train-encoder.js";
import { type ProbeReport, trainProbe } from "./train-probe.js";

/** Options of {@link trainCost}. */
export interface TrainCostOptions extends Pick<LoadOptions, "device" | "gpuLayers" | "threads" | "useMmap" | "useMlock"> {
	/**
	 * `"ngrams"` (default): hashed n-grams of the text. `"probe"`: logistic regression on the states of the layers of `model`; it takes next to
	 * no time when that model generates, and belongs to it. `"encoder"`: a small BERT that reads the prompt, and the response as it grows;
	 * training it needs Python with torch, transformers, scikit-learn, gguf and safetensors.
	 */
	kind?: "ngrams" | "probe" | "encoder";
	/** The GGUF model whose states a probe reads. */
	model?: string;
	/**
	 * The folder of an encoder's base: an uncased BERT in Hugging Face's layout (config.json, model.safetensors, vocab.txt), such as
	 * all-MiniLM-L6-v2.
	 */
	base?: string;
	/** Of an encoder: members of the ensemble, each of which learns from two thirds of the prompts; default 3. A single one learns from all. */
	members?: number;
	/** Of an encoder: the first layers of the base, which its members share; default two thirds of them. */
	shared?: number;
	/** Of an encoder: passes over the training texts; default 6, or as many as make 300 steps of 32 texts. */
	epochs?: number;
	/** Of an encoder: most minutes of training, with fewer steps if necessary; default 38. */
	minutes?: number;
	/** Of an encoder: the command that runs Python 3.10 or newer; default `python3`. */
	python?: string;
	/**
	 * The input of a probe: the mean of the residual stream over the text's tokens after these layers, counted from 0 as in llama.cpp
	 * (the last one cannot be read), or `"last"`, the final-norm state at the last token. `"auto"` (default): the input with the lowest
	 * validation loss among every fourth layer and, without chat prompts, the last state. Training holds texts × 4 × (layers + 1) × width
	 * floats.
	 */
	layers?: "auto" | "last" | readonly number[];
	/** Puts the context through the model's chat template as a user message. Contexts that are arrays of messages always go through it. */
	chat?: boolean;
	/** With chat prompts, as for a generation. */
	now?: string | Date;
	/** Labelled texts: `.jsonl`, `.json`, `.csv`, `.tsv`, each also as `.gz`, or `.parquet`. */
	data: string;
	/** Path of the cost model; the report is `<out>.report.json`. */
	out: string;
	/** Files of their own for these splits. Default: a column `split` of `data`, otherwise 10 % of `data` each. */
	validation?: string;
	test?: string;
	/** Column of the text; default `text`, `response`, `Response`, `completion`, `test_case` or `tweet`. */
	textField?: string;
	/** Column of the context that the text answers; if given, the cost model reads it too. An encoder needs it: the prompt, as text. */
	contextField?: string;
	/** Column of the label or score; default `label`, `score`, `is_toxic`, `unsafe`, `label_gold` or `final_label`. */
	labelField?: string;
	/** The label that means "unsafe"; all others are safe. Default: numbers 0..1, booleans and the usual words. */
	unsafe?: string;
	/** Column whose rows stay in one split (a book, an author, a prompt); default the context, otherwise the text. */
	groupField?: string;
	/**
	 * Whether n-grams of 3 to 5 characters count in addition to words and pairs of words; default true. They help with short and misspelt
	 * texts, and hurt if names and spelling give an author away.
	 */
	characters?: boolean;
	/** Largest share of unsafe validation texts that the recommended threshold may let pass; default 0.1. */
	falseNegativeRate?: number;
	/** Default 0. The same data and seed give the same file; an encoder's only on the same machine, and if `minutes` do not end the training. */
	seed?: number;
	/** Called after each pass over the training texts. */
	onEpoch?: (progress: EpochProgress) => void;
	/** Stops the training. */
	signal?: AbortSignal;
}

/** The quality of a cost model on one split. */
export interface CostMetrics {
	texts: number;
	unsafe: number;
	/** Area under the ROC curve. */
	auc: number;
	/** 95 % interval over groups; null if there are fewer than 10. */
	aucInterval: Interval | null;
	/** Method of the interval: Student's t with the jackknife's standard error (fewer than 30 groups), or percentiles of a bootstrap. */
	aucIntervalMethod: IntervalMethod;
	/** At probability 0.5. */
	accuracy: number;
	/** Expected calibration error, 15 bins. */
	ece: number;
	brier: number;
	/** Share of unsafe texts that the threshold lets pass. */
	falseNegativeRate: number;
	/** Share of safe texts that the threshold stops. */
	falsePositiveRate: number;
}

/** The measurements of {@link trainCost}. */
export interface CostReport {
	rows: Record<Split, number>;
	withContext: boolean;
	/** Passes over the data until the validation loss was lowest; of an encoder all passes. */
	epochs: number;
	/** Texts with a higher probability count as unsafe: the default budget under this cost model. */
	threshold: number;
	wishedFalseNegativeRate: number;
	validation: CostMetrics;
	test: CostMetrics;
	seconds: number;
	/** Only for a probe. */
	probe?: ProbeReport;
}

const textColumns = ["text", "response", "Response", "completion", "test_case", "tweet"];
const labelColumns = ["label", "score", "is_toxic", "unsafe", "label_gold", "final_label"];
const unsafeWords = ["1", "unsafe", "true", "yes", "toxic", "harmful", "hateful"];
const safeWords = ["0", "safe", "false", "no", "not toxic", "non-toxic", "harmless", "non-hateful"];

function labelOf(value: unknown, unsafe: string | undefined, row: number): number {
	if (unsafe !== undefined) return String(value) === unsafe ? 1 : 0;
	if (typeof value === "boolean") return value ? 1 : 0;
	const word = typeof value === "bigint" ? String(value) : typeof value === "string" ? value.trim().toLowerCase() : "";
	if (unsafeWords.includes(word)) return 1;
	if (safeWords.includes(word)) return 0;
	const number = typeof value === "number" ? value : word === "" ? Number.NaN : Number(word);
	if (number >= 0 && number <= 1) return number;
	throw new InvalidDataError(
		`expected a label (a number from 0 to 1, true or false, safe or unsafe) in row ${row + 1}, got ${shown(value)}; ` +
			"say which label means unsafe (`unsafe`, --unsafe)",
	);
}

type Checked = ReturnType<typeof checkTrainCostOptions>;

function contextOf(record: DataRecord, column: string, row: number, { kind }: Checked): LabelledText["context"] {
	const value = record[column];
	if (!isConversation(value) || kind === "ngrams") return textOf(record, column, row);
	if (kind === "probe") return value;
	throw new InvalidDataError(
		`expected a prompt as text in the column ${column} of row ${row + 1}, got a conversation; ` +
			"an encoder reads one prompt: give it the last message of the user",
	);
}

function labelled(records: DataRecord[], options: Checked, fixed: Split | undefined): LabelledText[] {
	const { contextField, unsafe, groupField, seed } = options;
	const textColumn = columnOf(records, options.textField, textColumns, "the text", "textField (--text-field)");
	const labelColumn = columnOf(records, options.labelField, labelColumns, "the label", "labelField (--label-field)");
	if (contextField !== undefined) columnOf(records, contextField, [], "the context", "contextField (--context-field)");
	if (groupField !== undefined) columnOf(records, groupField, [], "the group", "groupField (--group-field)");
	if (unsafe !== undefined && !records.some((record) => String(record[labelColumn]) === unsafe)) {
		const labels = [...new Set(records.map((record) => shown(record[labelColumn])))].slice(0, 10);
		throw new InvalidDataError(`expected rows labelled ${shown(unsafe)} in the column ${labelColumn}, got ${labels.join(", ")}`);
	}
	const rows = records.map((record, row) => {
		const text = textOf(record, textColumn, row);
		const context = contextField === undefined ? "" : contextOf(record, contextField, row, options);
		const own = typeof context === "string" ? context : JSON.stringify(context);
		const group = groupField === undefined ? own || text : String(record[groupField]);
		const category = typeof record.category === "string" && record.category !== "" ? record.category : undefined;
		return { text, context, label: labelOf(record[labelColumn], unsafe, row), group, category };
	});
	const hasSplits = records.some((record) => "split" in record);
	const drawn = splitsOf(
		rows.map(({ group }) => group),
		seed,
	);
	const splitOf = (row: number) => fixed ?? (hasSplits ? splitNamed(records[row]?.split, row) : (drawn[row] as Split));
	return rows.map((one, row) => ({ ...one, split: splitOf(row) }));
}

async function labelledFile(file: string, options: Checked, fixed: Split | undefined): Promise<LabelledText[]> {
	const records = await readRecords(file);
	try {
		return labelled(records, options, fixed);
	} catch (error) {
		throw new InvalidDataError(`${file}: ${(error as Error).message}`, { cause: error });
	}
}

async function readSplits(options: Checked): Promise<LabelledText[]> {
	const { data, validation, test } = options;
	const fixedFor = (file: string | undefined, split: Split) => (file === undefined ? [] : labelledFile(file, options, split));
	const own = await labelledFile(data, options, validation !== undefined && test !== undefined ? "train" : undefined);
	// a split with a file of its own takes no rows of `data`
	const kept = own.map((row) => {
		const taken = (row.split === "validation" && validation !== undefined) || (row.split === "test" && test !== undefined);
		return taken ? { ...row, split: "train" as const } : row;
	});
	return [...kept, ...(await fixedFor(validation, "validation")), ...(await fixedFor(test, "test"))];
}

function checkSplits(rows: LabelledText[]): void {
	for (const split of ["train", "validation", "test"] as const) {
		const own = rows.filter((row) => row.split === split);
		const unsafe = own.filter(({ label }) => label > 0.5).length;
		if (unsafe === 0 || unsafe === own.length) {
			throw new InvalidDataError(
				`expected safe and unsafe texts in the ${split} split, got ${own.length - unsafe} safe and ${unsafe} unsafe ones; give more data`,
			);
		}
	}
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The largest threshold that lets at most this share of the unsafe texts pass. */
function thresholdFor(rate: number, probabilities: number[], labels: number[]): number {
	const unsafe = probabilities.filter((_, i) => labels[i] === 1).sort((a, b) => a - b);
	const allowed = Math.floor(rate * unsafe.length);
	const firstCaught = unsafe[Math.min(allowed, unsafe.length - 1)] as number;
	return Math.min(1 - 1e-9, Math.max(1e-9, firstCaught * (1 - 1e-9)));
}

function measure(rows: LabelledText[], probabilities: number[], threshold: number): CostMetrics {
	const labels = rows.map(({ label }) => (label > 0.5 ? 1 : 0));
	const numbers = new Map<string, number>();
	const groups = rows.map(({ group }) => {
		const known = numbers.get(group) ?? numbers.size;
		numbers.set(group, known);
		return known;
	});
	const shareStopped = (label: number) => {
		const own = probabilities.filter((_, i) => labels[i] === label);
		return own.filter((p) => p > threshold).length / own.length;
	};
	return {
		texts: rows.length,
		unsafe: labels.filter((label) => label === 1).length,
		auc: auc(probabilities, labels),
		aucIntervalMethod: intervalMethod(groups),
		aucInterval: groupedShareInterval(groups, (sample) =>
			auc(
				sample.map((i) => probabilities[i] as number),
				sample.map((i) => labels[i] as number),
			),
		),
		accuracy: accuracy(probabilities, labels),
		ece: expectedCalibrationError(probabilities, labels),
		brier: meanSquaredError(probabilities, labels),
		falseNegativeRate: 1 - shareStopped(1),
		falsePositiveRate: shareStopped(0),
	};
}

async function trainNgrams(
	rows: LabelledText[],
	{ contextField, characters, seed }: Checked,
	signal: AbortSignal,
	epoch: (progress: EpochProgress) => void,
): Promise<Trained> {
	const job: NativeClassifierJob = {
		texts: rows.map(({ text }) => text),
		contexts: contextField === undefined ? [] : rows.map(({ context }) => context as string),
		labels: Float32Array.from(rows, ({ label }) => label),
		characters,
		splits: Uint8Array.from(rows, ({ split }) => splitNumbers[split]),
		seed,
	};
	const worker = new Worker();
	const { logOdds, epochs, bias, buckets } = await worker.run("trainClassifier", job, signal, { epoch });
	const tensor = { name: "buckets", shape: [buckets.length], values: buckets, half: true };
	const write = tensorWriter("text-classifier", {}, { bias, with_characters: job.characters ? 1 : 0 }, tensor);
	return { logOdds, epochs, write };
}

function reportOf(trained: Trained, rows: LabelledText[], { contextField, falseNegativeRate }: Checked, begin: number): CostReport {
	const partOf = (split: Split) => {
		const indices = rows.flatMap((row, i) => (row.split === split ? [i] : []));
		return {
			rows: indices.map((i) => rows[i] as LabelledText),
			probabilities: indices.map((i) => sigmoid(trained.logOdds[i] as number)),
		};
	};
	const [validation, test] = [partOf("validation"), partOf("test")];
	const threshold = thresholdFor(
		falseNegativeRate,
		validation.probabilities,
		validation.rows.map(({ label }) => (label > 0.5 ? 1 : 0)),
	);
	return {
		rows: { train: rows.length - validation.rows.length - test.rows.length, validation: validation.rows.length, test: test.rows.length },
		withContext: contextField !== undefined,
		epochs: trained.epochs,
		threshold,
		wishedFalseNegativeRate: falseNegativeRate,
		validation: measure(validation.rows, validation.probabilities, threshold),
		test: measure(test.rows, test.probabilities, threshold),
		seconds: (performance.now() - begin) / 1000,
		...(trained.probe && { probe: trained.probe }),
	};
}

function notesOf({ withContext, threshold, test }: CostReport, rows: LabelledText[]): TrainingNotes {
	const dataHash = createHash("sha256");
	for (const { text, context, label, split } of rows) dataHash.update(JSON.stringify([text, context, label, split]));
	const numbers = {
		with_context: withContext ? 1 : 0,
		threshold,
		"test.auc": test.auc,
		"test.accuracy": test.accuracy,
		"test.ece": test.ece,
	};
	return { dataHash: dataHash.digest("hex"), numbers };
}

/**
 * Trains a cost model of whole texts, Platt-scaled on the validation split; its cost is the probability of "unsafe".
 *
 * - n-grams (default): logistic regression on hashed n-grams (words, pairs of words, 3 to 5 characters within a word) of the text,
 *   or of the text and its context. Use it as `cost: { classifier: out }`.
 * - probe: `model` reads each text after its context, as if it had generated it. Logistic regression with L2 learns from the standardised
 *   means of its residual stream (see `layers`), over the whole text and over its first 16, 32 and 64 tokens, since a search judges
 *   unfinished text too. Use it as `cost: { probe: out }` with that model.
 * - encoder: an ensemble on the layers of `base` learns from whole and unfinished responses after their prompts (the first 192 word pieces
 *   of both together), and the kinds of unsafe text from a column `category` of unsafe rows, if there is one. Its figures are those of the
 *   upper confidence bound that is charged. The Python recipe `models/recipe/harm` of this package trains it in a process of its own; using
 *   its file needs no Python. Use it as `cost: { encoder: out }`.
 *
 * Errors: INVALID_OPTION, INVALID_DATA, WRITE_FAILED, TRAINING_DIVERGED, CALLBACK_FAILED, ABORTED; for a probe also those of loading
 * a model, TEXT_TOO_LONG, and with chat prompts INVALID_PROMPT, SPECIAL_TOKEN_TEXT and CHAT_TEMPLATE; for an encoder PYTHON_FAILED, and
 * MODEL_NOT_FOUND, INVALID_MODEL and UNSUPPORTED_MODEL for its base.
 */
export async function trainCost(given: TrainCostOptions): Promise<CostReport> {
	const options = checkTrainCostOptions(given);
	const { out, model, base } = options;
	await expectWritable(out);
	using watch = new CallbackWatch(options.signal);
	const begin = performance.now();
	const rows = await readSplits(options);
	checkSplits(rows);
	const epoch = watch.wrap("onEpoch", options.onEpoch);
	const finish = async (trained: Trained): Promise<CostReport> => {
		const report = reportOf(trained, rows, options, begin);
		const notes = notesOf(report, rows);
		const write = (temporary: string) => trained.write(temporary, notes);
		await replaceFiles({ path: out, write }, jsonFile(`${out}.report.json`, report));
		return report;
	};
	if (base !== undefined) {
		return await inTemporaryFolder((folder) =>
			watch.run(async (signal) => finish(await trainEncoder(base, options, rows, folder, signal, epoch))),
		);
	}
	return finish(
		await watch.run((signal) =>
			model === undefined ? trainNgrams(rows, options, signal, epoch) : trainProbe(model, options, rows, signal, epoch),
		),
	);
}
