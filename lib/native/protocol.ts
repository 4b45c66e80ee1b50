// Everything that crosses between JavaScript and the addon: the jobs, the members of every message, and the addon's functions. The other
// side is native/binding/protocol.h and jobs.cpp; test/protocol.test.ts compares both. An absent value is undefined on the way to the
// addon, and null on the way back.

import type { EpochProgress } from "../progress.js";
import type { SearchSettings } from "../search-settings.js";
import type { TraceNode } from "../trace.js";

/** A native thread, with or without a guard. It is freed when this object is garbage collected. */
export type WorkerHandle = { readonly __worker: unique symbol };

/**
 * Which spellings of a term count: those that are equal by Unicode data (`"strict"`), or also those that look alike or are marked up:
 * digits and signs for letters, letters of other scripts, accents, letters apart, markup, character references (`"loose"`).
 */
export type LexiconMatch = "strict" | "loose";

export interface NativeLexiconTerm {
	term: string;
	weight: number;
}

/** The input of a language model that judges a text; control tokens are spelled out. */
export interface NativeTemplate {
	before: string;
	/** Between prompt and response. */
	between: string;
	/** One per question about the same text. */
	after: string[];
	/** Control tokens that the texts spell. */
	controls: string[];
	/** Removes white space at the ends of prompt and response. */
	trims: boolean;
	/** Answers of a guard model. The first of each is one token; others count by their first token. */
	safe: string[];
	unsafe: string[];
	/** Between the template's end and a category's name; empty: each category answers a question of its own. */
	beforeCategory: string;
	categories: string[];
}

/** A cost or reward model on a language model. */
export interface NativeScorer {
	kind: "guardModel" | "sequenceClassifier" | "scoreModel" | "probe" | "encoder";
	path: string;
	/** Path of a score model's head. */
	head?: string;
	template?: NativeTemplate;
	/** Labels of a sequence classifier that count; empty: those with the usual words for "unsafe". */
	labels: string[];
	/** Whether its labels are independent of one another; undefined: the file's value. */
	multiLabel?: boolean;
	/** For an encoder; undefined: the file's value. */
	uncertaintyPenalty?: number;
	/** Path of a probe of means, an additional member of an encoder. */
	probe?: string;
	/** Empty: none. */
	selfTest: { prompt: string; safe: string; unsafe: string }[];
	/** The response of a pair that has to score higher: "unsafe" under a cost model, "safe" under a reward model. */
	higher: "unsafe" | "safe";
}

export type NativeCostModel =
	| { kind: "lexicon"; lexicon: NativeLexiconTerm[]; match: LexiconMatch }
	| { kind: "tokenCosts"; tokenCosts: Float64Array }
	/** `threshold`: undefined for the one in the file. */
	| { kind: "classifier"; classifier: string; link: "probability" | "excess"; threshold?: number }
	| { kind: "scorer"; scorer: NativeScorer; link: "probability" | "excess"; threshold: number }
	| { kind: "function" };

/** Whether a cost model charges token by token; otherwise it charges once, for the whole text. */
export const chargesTokens = (kind: NativeCostModel["kind"]) => kind === "lexicon" || kind === "tokenCosts";

export type NativeConstraint = NativeCostModel & {
	/** Undefined: the threshold in a classifier's file. */
	budget?: number;
	discount: number;
	criterion: "anytime" | "terminal";
	floored: boolean;
};

export interface NativeTabularModel {
	pieces: string[];
	logits: Float32Array;
	ends: Int32Array;
	maxSequences: number;
}

export interface NativeModelFile {
	path: string;
	/** Undefined: as many as fit. */
	kvCells?: number;
	outputs: "auto" | "device" | "host";
	/** Undefined: the model's own. */
	contextSize?: number;
	steering?: { vector: string; strength: number; sparsity: number; gate: boolean };
}

/** The generating model; nothing if only finished texts are scored. */
type NativeBase = NativeModelFile | { tabular: NativeTabularModel; oracle: boolean } | { constraints: NativeConstraint[] };

export type NativeSpec = NativeBase & {
	device: string;
	/** Undefined: all. */
	gpuLayers?: number;
	threads: number;
	useMmap: boolean;
	useMlock: boolean;
	constraints: NativeConstraint[];
	/** Path. */
	critic?: string;
	/** Layers whose means of the residual stream rollouts keep. */
	meanLayers?: Int32Array;
	reward: "logLikelihood" | "lexicon" | "function" | "scorer";
	rewardLexicon?: NativeLexiconTerm[];
	rewardScorer?: NativeScorer;
};

/** Text written by a template, or contents. */
export interface NativeTextPart {
	text: string;
	fromTemplate: boolean;
}

export type NativePrompt = { tokens: Int32Array } | { parts: NativeTextPart[] };

/** A text without a template. */
export const rawPrompt = (text: string): NativePrompt => ({ parts: [{ text, fromTemplate: false }] });

export const isRaw = (prompt: NativePrompt) => "tokens" in prompt || !prompt.parts.some(({ fromTemplate }) => fromTemplate);

/** The settings of a search, all decided; those that may be absent have no value that means so. */
export type NativeSearch = Required<Omit<SearchSettings, "scoreRange" | "rewardWeight" | "stop">> &
	Pick<SearchSettings, "rewardWeight"> & { scoreRange?: Float64Array; stop?: string[] };

export type NativeRequest = NativePrompt &
	NativeSearch & {
		seed: number;
		/** What the response begins with; text only after text. The result's text and tokens begin behind it. */
		prefill?: NativePrompt;
		/** The prompt with a note: one attempt at a repair instead of a search, judged after `prompt`. */
		noted?: NativePrompt;
		/** The text that the response answers; undefined: the prompt's text. */
		question?: string;
		stream: boolean;
		cachePrompt: boolean;
		trace: boolean;
		availableBytes: number;
	};

export interface NativeInfo {
	backend: string;
	chatTemplate: string;
	bosText: string;
	eosText: string;
	/** Token texts that contents never produce as markup: control tokens, and those that the chat template uses as such. */
	markupTexts: string[];
	contextSize: number;
	vocabularySize: number;
	/** Floats of a hidden state; 0 if the model has none. */
	hiddenWidth: number;
	/** Floats of the residual stream; 0 for a tabular model. */
	streamWidth: number;
	/** 0 for a tabular model. */
	layers: number;
	/** Floats of a summary of logits besides the top log-probabilities. */
	summaryBesideTop: number;
	/** One per constraint. */
	budgets: Float64Array;
	hasCritic: boolean;
}

export interface NativeResult {
	outcome: "safe" | "steered" | "truncated" | "repaired" | "refused" | "unguarded";
	finishReason: "stop" | "length" | "safety";
	text: string;
	tokens: Int32Array;
	endToken: number | null;
	cost: Float64Array;
	z: Float64Array[];
	/** Per constraint; empty if its cost model has no categories. */
	categories: Float64Array[];
	/** For a refusal that is to be repaired: the kind of harm in the first rejected text, by indices; null if no cost model has one. */
	harm: { constraint: number; category: number } | null;
	pSafe: { position: number; pSafe: number; std: number; value: number }[];
	reward: number | null;
	logLikelihood: number;
	logLikelihoods: Float64Array;
	promptTokens: number;
	cachedPromptTokens: number;
	kvCapacity: number;
	kvPeak: number;
	outputs: "device" | "host";
	generatedTokens: number;
	rounds: number;
	backtracks: number;
	timings: { prefill: number; decode: number; cost: number; critic: number; total: number };
	/** The control vector's strength, after its gate. */
	steering: number | null;
	/** Empty if not requested. */
	trace: TraceNode[];
}

export interface NativeQuestion {
	index: number;
	candidates: { text: string; tokens: Int32Array; finished: boolean }[];
}

/** Events during a job, or at its end (`failed`). */
export interface Events {
	/** Share of the model that has been loaded. */
	progress: number;
	epoch: EpochProgress;
	/** Committed text. */
	piece: string;
	cost: NativeQuestion;
	reward: NativeQuestion;
	failed: { code: string; message: string };
}

/** `done` or `failed` is a job's last event. */
export type NativeEvent = { [K in keyof Events]: [kind: K, payload: Events[K]] }[keyof Events] | [kind: "done", result: unknown];

export interface NativeModelDescription {
	version: number;
	dataOffset: number;
	bytes: number;
	metadata: { key: string; type: string; value: string }[];
	tensors: { name: string; type: string; shape: number[] }[];
}

export interface NativeDevice {
	name: string;
	description: string;
	type: string;
	freeBytes: number;
	totalBytes: number;
}

export interface NativeRolloutRequest {
	/** Responses to a raw prompt continue its text. */
	prompts: { number: number; tokens: Int32Array; question?: string; isRaw: boolean }[];
	responses: number;
	maxTokens: number;
	stride: number;
	topLogProbabilities: number;
	temperature: number;
	seed: number;
	sequences: number;
	cells: number;
	availableBytes: number;
}

export interface NativeRolloutBatch {
	record: Uint8Array;
	responses: number;
	generatedTokens: number;
	overBudget: number;
}

export interface NativeScoreRequest {
	prompt: string;
	/** Whether the texts continue the prompt's text. */
	isRaw: boolean;
	texts: string[];
	/** Per constraint: the text before the responses, if it reads means of the residual stream. */
	asked: (NativePrompt | null)[];
}

/** Which rows are for training, which for validation, and which are only scored. */
export const splitNumbers = { train: 0, validation: 1, test: 2 } as const;

export interface NativeClassifierJob {
	texts: string[];
	/** One per text, or none at all. */
	contexts: string[];
	/** Probability of "unsafe". */
	labels: Float32Array;
	/** Whether n-grams of characters count in addition to words and pairs of words. */
	characters: boolean;
	/** {@link splitNumbers} */
	splits: Uint8Array;
	seed: number;
}

export interface NativeClassifier {
	buckets: Float32Array;
	bias: number;
	/** Calibrated; of every text. */
	logOdds: Float64Array;
	epochs: number;
}

export interface NativeProbeJob extends Pick<NativeClassifierJob, "texts" | "labels" | "splits"> {
	/** The prompt before each text. */
	prompts: NativePrompt[];
	/** Layers whose means are read. */
	layers: Int32Array;
	/** Whether the last state is combined with the best layer, not with all layers. */
	chooses: boolean;
}

/** A linear head on its inputs, in this order: means after layers, the final-norm state at the last token. */
export interface NativeProbe {
	layers: Int32Array;
	last: boolean;
	weights: Float32Array;
	bias: number;
	/** Log-odds without any input. */
	prior: number;
	/** Calibrated; of every row. */
	logOdds: Float64Array;
	validationLoss: number;
	epochs: number;
}

/** Probes with several inputs, and their training rows as columns. */
export interface NativeProbes {
	/** Number of the text. */
	text: Int32Array;
	/** Number of its first tokens that are read. */
	tokens: Int32Array;
	/** 1: all of them. */
	whole: Uint8Array;
	probes: NativeProbe[];
}

/** Sizes of a stored position. */
export interface RolloutShape {
	hidden: number;
	summary: number;
	constraints: number;
	/** Of the residual stream, for all layers that are kept; absent: none. */
	mean?: number;
}

export interface NativeCriticJob {
	shape: RolloutShape;
	inputs: { hidden: boolean; logits: boolean; z: boolean; position: boolean; mean: boolean };
	/** Width of the residual stream, if the rollouts keep its means; 0: they keep none. */
	streamWidth: number;
	/** Without a range: up to the cost of most training responses. */
	constraints: { budget: number; discount: number; perToken: boolean; anytime: boolean; lowest?: number; highest?: number }[];
	/** {@link splitNumbers} of every prompt. */
	splits: Uint8Array;
	maxTokens: number;
	layers: number;
	width: number;
	members: number;
	epochs: number;
	batch: number;
	learningRate: number;
	weightDecay: number;
	seed: number;
	threads: number;
	device: string;
}

/** A trained critic, and its predictions on the test split as columns. */
export interface NativeCritic {
	valueMean: number;
	valueScale: number;
	budgetScale: Float64Array;
	budgetLowest: Float64Array;
	budgetHighest: Float64Array;
	examples: number;
	epochs: number;
	validationLoss: number;
	tensors: NativeTensor[];
	prompt: Float32Array;
	response: Float32Array;
	position: Float32Array;
	feasible: Float32Array;
	safe: Float32Array;
	pSafe: Float32Array;
	value: Float32Array;
	trueValue: Float32Array;
	costShare: Float32Array;
	partialCostShare: Float32Array;
}

export interface NativeTensor {
	name: string;
	/** Fastest dimension first. */
	shape: number[];
	values: Float32Array;
	/** Stored as f16. */
	half: boolean;
}

export interface TensorFileHeader {
	texts: Record<string, string>;
	numbers: Record<string, Float64Array>;
	lists: Record<string, string[]>;
}

/** The jobs of a worker's thread, by name. All except the training of a classifier or a critic need an open guard. */
export interface Jobs {
	/** Gives the worker a guard. */
	open: { request: NativeSpec; result: NativeInfo };
	/** Frees the guard. */
	close: { request: undefined; result: undefined };
	generate: { request: NativeRequest; result: NativeResult };
	tokenize: { request: NativePrompt[]; result: Int32Array[] };
	/** The cost of finished texts, [text][constraint]. */
	score: { request: NativeScoreRequest; result: Float64Array };
	rollouts: { request: NativeRolloutRequest; result: NativeRolloutBatch };
	/** [prompts, layers, width of the residual stream] */
	layerStates: { request: NativePrompt[]; result: Float32Array };
	/** For each token after the prompt, decoded again one by one. */
	logLikelihoods: { request: { prompt: Int32Array; tokens: Int32Array }; result: Float64Array };
	/** Seconds. */
	bareDecode: { request: { promptTokens: number; sequences: number; tokens: number }; result: number };
	/** For a guard whose model's states are read, and that has not generated yet. */
	trainProbes: { request: NativeProbeJob; result: NativeProbes };
	trainClassifier: { request: NativeClassifierJob; result: NativeClassifier };
	/** Keeps rollouts for the next trainCritic. */
	addRollouts: { request: { shape: RolloutShape; records: Uint8Array[] }; result: undefined };
	trainCritic: { request: NativeCriticJob; result: NativeCritic };
}

/** Calls that are answered at once. */
export interface Calls {
	inspect(path: string): NativeModelDescription;
	devices(): NativeDevice[];
	/** Texts, numbers and lists of texts of a file that writeTensors wrote. `code`: the error's code for a damaged file. */
	readTensors(path: string, kind: string, code: string, texts: string[], numbers: string[], lists?: string[]): TensorFileHeader;
	/** Returns the file's size in bytes. */
	writeTensors(
		path: string,
		kind: string,
		texts: Record<string, string>,
		numbers: Record<string, number | Float64Array>,
		tensors: NativeTensor[],
	): number;
}

export interface Addon extends Calls {
	llamaCppVersion: string;
	/** What the binary was built for: a level, or "native". */
	cpuLevel: string;
	start(dispatch: (id: number, ...event: NativeEvent) => void): WorkerHandle;
	submit<K extends keyof Jobs>(handle: WorkerHandle, id: number, kind: K, request: Jobs[K]["request"]): void;
	/** Answers a question of a job; null if the function failed. */
	answer(handle: WorkerHandle, id: number, values: Float64Array | null): void;
	cancel(handle: WorkerHandle, id: number): void;
	/** The addon's own description of jobs, calls and events: the type of each, by name. */
	describe(): Record<string, string>;
}
