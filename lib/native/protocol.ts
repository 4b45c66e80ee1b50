// What crosses between JavaScript and the addon: the jobs, the members of every message, and the addon's functions. The other side is
// native/binding/protocol.h and jobs.cpp; test/protocol.test.ts compares both. What may be absent is undefined on the way to the addon,
// and null on the way back.

import type { EpochProgress } from "../progress.js";
import type { SearchSettings } from "../search-settings.js";
import type { TraceNode } from "../trace.js";

/** A native thread, with a guard or without. It is freed when this object is garbage collected. */
export type WorkerHandle = { readonly __worker: unique symbol };

/**
 * Which spellings of a term count: those that differ in what Unicode data say is the same (`"strict"`), or also those that look or are
 * marked up differently: digits and signs for letters, letters of other scripts, accents, letters apart, markup, character references
 * (`"loose"`).
 */
export type LexiconMatch = "strict" | "loose";

export interface NativeLexiconTerm {
	term: string;
	weight: number;
}

/** What a language model reads that judges a text; control tokens are spelled out. */
export interface NativeTemplate {
	before: string;
	/** Stands between prompt and response. */
	between: string;
	/** One per question that is asked of the same text. */
	after: string[];
	/** Control tokens that the texts are meant to spell. */
	controls: string[];
	/** Drops white space at the ends of prompt and response. */
	trims: boolean;
	/** Answers of a guard model; the first of each is one token, others count by their first token. */
	safe: string[];
	unsafe: string[];
	/** Stands between the template's end and the name of a category; empty: each category answers a question of its own. */
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
	/** Labels of a sequence classifier that count; empty: the usual words for "unsafe". */
	labels: string[];
	/** Whether its labels are independent of one another; undefined: what its file says. */
	multiLabel?: boolean;
	/** Of an encoder; undefined: what its file says. */
	uncertaintyPenalty?: number;
	/** Path of the probe of means that judges beside an encoder. */
	probe?: string;
	/** Empty: none. */
	selfTest: { prompt: string; safe: string; unsafe: string }[];
	/** Which response of a pair has to score higher: "unsafe" under a cost model, "safe" under a reward model. */
	higher: "unsafe" | "safe";
}

export type NativeCostModel =
	| { kind: "lexicon"; lexicon: NativeLexiconTerm[]; match: LexiconMatch }
	| { kind: "tokenCosts"; tokenCosts: Float64Array }
	/** `threshold`: undefined for the one in the file. */
	| { kind: "classifier"; classifier: string; link: "probability" | "excess"; threshold?: number }
	| { kind: "scorer"; scorer: NativeScorer; link: "probability" | "excess"; threshold: number }
	| { kind: "function" };

/** Whether a cost model charges token by token; otherwise once, for the whole text. */
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

/** What generates; nothing where finished texts are only scored. */
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
	/** Layers behind which rollouts keep means of the residual stream. */
	meanLayers?: Int32Array;
	reward: "logLikelihood" | "lexicon" | "function" | "scorer";
	rewardLexicon?: NativeLexiconTerm[];
	rewardScorer?: NativeScorer;
};

/** What a template wrote, or what it was filled with. */
export interface NativeTextPart {
	text: string;
	fromTemplate: boolean;
}

export type NativePrompt = { tokens: Int32Array } | { parts: NativeTextPart[] };

/** A text that no template wrote. */
export const rawPrompt = (text: string): NativePrompt => ({ parts: [{ text, fromTemplate: false }] });

export const isRaw = (prompt: NativePrompt) => "tokens" in prompt || !prompt.parts.some(({ fromTemplate }) => fromTemplate);

/** The settings of a search with nothing left open; those that may be absent have no value that means so. */
export type NativeSearch = Required<Omit<SearchSettings, "scoreRange" | "rewardWeight">> &
	Pick<SearchSettings, "rewardWeight"> & { scoreRange?: Float64Array };

export type NativeRequest = NativePrompt &
	NativeSearch & {
		seed: number;
		/** The prompt with a note: one attempt at a repair in place of a search, judged behind the prompt. */
		noted?: NativePrompt;
		/** What the response answers; undefined: the prompt's text. */
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
	/** Texts of tokens that no content means: control tokens, and those that the chat template uses as such. */
	markupTexts: string[];
	contextSize: number;
	vocabularySize: number;
	/** Floats of a hidden state; 0 when the model gives none. */
	hiddenWidth: number;
	/** Floats of the residual stream; 0 for a tabular model. */
	streamWidth: number;
	/** 0 for a tabular model. */
	layers: number;
	/** Floats of a summary of logits beside the top log-probabilities. */
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
	/** Per constraint; empty where its cost model knows no categories. */
	categories: Float64Array[];
	/** Of a refusal that is to be repaired: what the first rejected text was, by indices; null where no cost model says it. */
	harm: { constraint: number; category: number } | null;
	pSafe: { position: number; pSafe: number; std: number; value: number }[];
	reward: number | null;
	logLikelihood: number;
	promptTokens: number;
	cachedPromptTokens: number;
	kvCapacity: number;
	kvPeak: number;
	outputs: "device" | "host";
	generatedTokens: number;
	rounds: number;
	backtracks: number;
	timings: { prefill: number; decode: number; cost: number; critic: number; total: number };
	/** Strength of the control vector behind its gate. */
	steering: number | null;
	/** Empty where none was asked for. */
	trace: TraceNode[];
}

export interface NativeQuestion {
	index: number;
	candidates: { text: string; tokens: Int32Array; finished: boolean }[];
}

/** What happens during a job, or ends it (`failed`). */
export interface Events {
	/** Share of the model that is loaded. */
	progress: number;
	epoch: EpochProgress;
	/** Text that is committed. */
	piece: string;
	cost: NativeQuestion;
	reward: NativeQuestion;
	failed: { code: string; message: string };
}

/** `done` and `failed` are a job's last. */
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
	/** A raw prompt's text is what its responses go on from. */
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
	/** Whether the texts go on from the prompt's text. */
	isRaw: boolean;
	texts: string[];
	/** Per constraint: what stands in front of the texts, where it reads means of the residual stream. */
	asked: (NativePrompt | null)[];
}

/** Which rows train, which validate, and which are only scored. */
export const splitNumbers = { train: 0, validation: 1, test: 2 } as const;

export interface NativeClassifierJob {
	texts: string[];
	/** One per text, or none at all. */
	contexts: string[];
	/** Probability of "unsafe". */
	labels: Float32Array;
	/** Whether n-grams of characters count beside words and pairs of words. */
	characters: boolean;
	/** {@link splitNumbers} */
	splits: Uint8Array;
	seed: number;
}

export interface NativeClassifier {
	buckets: Float32Array;
	bias: number;
	/** Calibrated, of every text. */
	logOdds: Float64Array;
	epochs: number;
}

export interface NativeProbeJob extends Pick<NativeClassifierJob, "texts" | "labels" | "splits"> {
	/** What stands in front of each text. */
	prompts: NativePrompt[];
	/** Behind which means are read. */
	layers: Int32Array;
	/** Whether the last state is tried beside the best layer, not beside all. */
	chooses: boolean;
}

/** A linear head over what it reads, in this order: means behind layers, the final-norm state at the last token. */
export interface NativeProbe {
	layers: Int32Array;
	last: boolean;
	weights: Float32Array;
	bias: number;
	/** Log-odds where nothing is known. */
	prior: number;
	/** Calibrated, of every row. */
	logOdds: Float64Array;
	validationLoss: number;
	epochs: number;
}

/** Probes of several inputs, and the rows that they were trained on, as columns. */
export interface NativeProbes {
	/** Number of the text. */
	text: Int32Array;
	/** So many of its first tokens. */
	tokens: Int32Array;
	/** 1: that is all of them. */
	whole: Uint8Array;
	probes: NativeProbe[];
}

/** Numbers of a stored position. */
export interface RolloutShape {
	hidden: number;
	summary: number;
	constraints: number;
	/** Of the residual stream behind all layers that are kept; absent: none. */
	mean?: number;
}

export interface NativeCriticJob {
	shape: RolloutShape;
	inputs: { hidden: boolean; logits: boolean; z: boolean; position: boolean; mean: boolean };
	/** Width of the residual stream whose means the rollouts keep; 0: they keep none. */
	streamWidth: number;
	/** Without a range: up to what most training responses cost. */
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

/** What a worker's thread does, by name. All but the trainings of a classifier and a critic need an open guard. */
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
	/** Of each token behind the prompt, decoded afresh one by one. */
	logLikelihoods: { request: { prompt: Int32Array; tokens: Int32Array }; result: Float64Array };
	/** Seconds. */
	bareDecode: { request: { promptTokens: number; sequences: number; tokens: number }; result: number };
	/** Of a guard whose model's states are read, and that has generated nothing. */
	trainProbes: { request: NativeProbeJob; result: NativeProbes };
	trainClassifier: { request: NativeClassifierJob; result: NativeClassifier };
	/** Keeps rollouts for the next trainCritic. */
	addRollouts: { request: { shape: RolloutShape; records: Uint8Array[] }; result: undefined };
	trainCritic: { request: NativeCriticJob; result: NativeCritic };
}

/** What is answered at once. */
export interface Calls {
	inspect(path: string): NativeModelDescription;
	devices(): NativeDevice[];
	/** Texts, numbers and lists of texts of a file as writeTensors writes it; `code` is that of the error for a damaged one. */
	readTensors(path: string, kind: string, code: string, texts: string[], numbers: string[], lists?: string[]): TensorFileHeader;
	/** Returns how many bytes the file has. */
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
	start(dispatch: (id: number, ...event: NativeEvent) => void): WorkerHandle;
	submit<K extends keyof Jobs>(handle: WorkerHandle, id: number, kind: K, request: Jobs[K]["request"]): void;
	/** Answers a question of a job; null where the function failed. */
	answer(handle: WorkerHandle, id: number, values: Float64Array | null): void;
	cancel(handle: WorkerHandle, id: number): void;
	/** How the addon sees jobs, calls and events: the type of each, by name. */
	describe(): Record<string, string>;
}
