// Makes control vectors from contrastive prompts.

import { auc } from "../data/metrics.js";
import { expectWritable, jsonFile, replaceFiles } from "../data/output.js";
import { randomNumbers } from "../data/random.js";
import { InvalidDataError, InvalidOptionError } from "../errors.js";
import { controlVectorFile } from "../files/control-vector.js";
import { Fingerprints } from "../guard/identity.js";
import { baseSpec } from "../guard/load-spec.js";
import { NativeGuard } from "../guard/native-guard.js";
import { callAddon } from "../native/addon.js";
import { CallbackWatch } from "../native/worker.js";
import { checkLoadOptions } from "../options/load.js";
import { checkSteerVectorOptions } from "./options.js";
import { type RolloutPrompt, readPrompts, readPromptsOf } from "./prompts.js";

/** Options of {@link steerVector}. */
export interface SteerVectorOptions {
	/** Path of a GGUF file. */
	model: string;
	/** Prompts of the class that the vector points to (for a refusal vector: harmful ones), as a file or an array; at least 5. */
	positive: string | readonly RolloutPrompt[];
	/** Prompts of the other class; at least 5. */
	negative: string | readonly RolloutPrompt[];
	/** Path of the control vector; the report is `<out>.report.json`. */
	out: string;
	/** Column of the prompt in both files; default as in `collectRollouts`. */
	field?: string;
	/** Whether a text is a user's message for the model's chat template; default false. */
	chat?: boolean;
	/**
	 * `"mean"` (default): the difference of the class means, as in SCANS. `"pca"`: the first principal component of the differences
	 * of pairs, as in Jailbreak Antidote, scaled to the distance of the class means along it. Lists of equal length are paired row by
	 * row, others at random.
	 */
	method?: "mean" | "pca";
	/** [first, last] layer to steer, from 1 (the first layer cannot be steered) to the last; default all of them. */
	layers?: readonly [first: number, last: number];
	/** As for a generation. */
	now?: string | Date;
	/** As for `InferenceGuard.load`. */
	device?: string;
	threads?: number;
	/** Draws the held-out fifth of the prompts; default 0. */
	seed?: number;
	/** Stops between two prompts. */
	signal?: AbortSignal;
}

/** The measurements of {@link steerVector}. */
export interface SteeringReport {
	prompts: { positive: number; negative: number; heldOut: number };
	layers: {
		layer: number;
		/** Distance of the class means along the direction. */
		norm: number;
		/** AUC of the projection on held-out prompts, which did not contribute to the direction. */
		auc: number;
	}[];
	/** The layer of the highest AUC, and the projection half-way between the classes. */
	gate: { layer: number; threshold: number; accuracy: number };
}

const fewestPrompts = 5;
const heldOutShare = 1 / 5;
const powerIterations = 100;

type Vector = Float64Array;

const dot = (a: Vector, b: Vector) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
const difference = (a: Vector, b: Vector) => a.map((value, i) => value - (b[i] as number));
const scaled = (a: Vector, factor: number) => a.map((value) => value * factor);

function meanOf(vectors: Vector[]): Vector {
	const sum = new Float64Array((vectors[0] as Vector).length);
	for (const vector of vectors) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (vector[i] as number);
	return scaled(sum, 1 / vectors.length);
}

/** The first principal component of vectors without centring, by power iteration from `start`. */
function principalComponent(vectors: Vector[], start: Vector): Vector {
	let direction = scaled(start, 1 / Math.sqrt(dot(start, start)));
	for (let i = 0; i < powerIterations; i++) {
		const next = new Float64Array(direction.length);
		for (const vector of vectors) {
			const along = dot(vector, direction);
			for (let k = 0; k < next.length; k++) next[k] = (next[k] as number) + along * (vector[k] as number);
		}
		direction = scaled(next, 1 / Math.sqrt(dot(next, next)));
	}
	return direction;
}

/** A direction whose length is the distance of the class means along it. */
function directionOf(positive: Vector[], negative: Vector[], method: "mean" | "pca"): Vector {
	const apart = difference(meanOf(positive), meanOf(negative));
	if (method === "mean" || dot(apart, apart) === 0) return apart;
	const pairs = positive.slice(0, negative.length).map((vector, i) => difference(vector, negative[i] as Vector));
	const axis = principalComponent(pairs, apart);
	return scaled(axis, dot(axis, apart));
}

/** The numbers below n in random order; the first fifth is held out. */
function shuffled(n: number, random: () => number): number[] {
	return Array.from({ length: n }, (_, i) => ({ i, key: random() }))
		.sort((a, b) => a.key - b.key)
		.map(({ i }) => i);
}

function holdOut<T>(all: T[], order: number[]): { kept: T[]; heldOut: T[] } {
	const size = Math.max(1, Math.round(all.length * heldOutShare));
	const take = (numbers: number[]) => numbers.map((i) => all[i] as T);
	return { heldOut: take(order.slice(0, size)), kept: take(order.slice(size)) };
}

type Checked = ReturnType<typeof checkSteerVectorOptions>;

/** Adds the class of the prompt to an error. */
async function named<T>(side: string, work: Promise<T>): Promise<T> {
	return work.catch((error) => {
		if (error instanceof Error) error.message = `${side} ${error.message}`;
		throw error;
	});
}

/** The states of every layer at the last token of each prompt: [layers, width] per prompt. */
async function readStates({ model, device, threads, chat, now, signal }: Checked, lists: Record<"positive" | "negative", RolloutPrompt[]>) {
	using watch = new CallbackWatch(signal);
	const spec = baseSpec(model, checkLoadOptions({ model, device, threads }));
	const fingerprints = await Fingerprints.of(spec);
	const native = new NativeGuard(spec, watch.signal, () => {});
	try {
		const info = await watch.run(() => native.opened);
		const modelHash = await watch.run((signal) => fingerprints.model({ signal }));
		const tokenize = async (prompts: RolloutPrompt[]) => {
			const { native: given } = await watch.run((signal) => readPromptsOf(prompts, chat, info, { now, signal }));
			return watch.run((signal) => native.run("tokenize", given, signal));
		};
		const read = async (prompts: Int32Array[]) => {
			const states: Float32Array[] = [];
			for (const tokens of prompts) states.push(await watch.run((signal) => native.run("layerStates", [{ tokens }], signal)));
			return states;
		};
		const positive = await named("positive", tokenize(lists.positive));
		const negative = await named("negative", tokenize(lists.negative));
		return { modelHash, width: info.streamWidth, positive: await read(positive), negative: await read(negative) };
	} finally {
		native.cancelAll();
		await native.close();
	}
}

/**
 * Makes a control vector from contrastive prompts: for every layer, the direction in which the hidden state at the last token of
 * the positive prompts differs from that of the negative ones. `steering` in `InferenceGuard.load` applies it.
 *
 * Errors: INVALID_OPTION, INVALID_DATA, INVALID_PROMPT, SPECIAL_TOKEN_TEXT, PROMPT_TOO_LONG, CHAT_TEMPLATE, WRITE_FAILED,
 * UNSUPPORTED_MODEL, KV_CAPACITY, DECODE_FAILED, ABORTED, and those of `InferenceGuard.load`.
 */
export async function steerVector(given: SteerVectorOptions): Promise<SteeringReport> {
	const options = checkSteerVectorOptions(given);
	await expectWritable(options.out);
	const lists = {
		positive: (await readPrompts(options.positive, options.field)).prompts,
		negative: (await readPrompts(options.negative, options.field)).prompts,
	};
	for (const [side, prompts] of Object.entries(lists)) {
		if (prompts.length >= fewestPrompts) continue;
		throw new InvalidDataError(`expected at least ${fewestPrompts} ${side} prompts, got ${prompts.length}`);
	}
	const { modelHash, width, positive: positiveStates, negative: negativeStates } = await readStates(options, lists);
	const layerCount = (positiveStates[0] as Float32Array).length / width;
	const [first, last] = options.layers ?? [1, layerCount - 1];
	if (last >= layerCount) {
		throw new InvalidOptionError(`layers: expected layers from 1 to ${layerCount - 1} of this model, got ${first} to ${last}`);
	}
	const random = randomNumbers(options.seed);
	const order = shuffled(positiveStates.length, random);
	const arePairs = positiveStates.length === negativeStates.length;
	const positive = holdOut(positiveStates, order);
	const negative = holdOut(negativeStates, arePairs ? order : shuffled(negativeStates.length, random));
	const at = (layer: number) => (state: Float32Array) => Float64Array.from(state.subarray(layer * width, (layer + 1) * width));
	const made = Array.from({ length: last - first + 1 }, (_, i) => first + i).map((layer) => {
		const [kept, others] = [positive.kept.map(at(layer)), negative.kept.map(at(layer))];
		const direction = directionOf(kept, others, options.method);
		const square = dot(direction, direction);
		if (!(square > 0))
			throw new InvalidDataError(`expected prompts that differ at layer ${layer}, got the same hidden states in both classes`);
		const project = (vector: Vector) => dot(vector, direction) / square;
		const threshold = (project(meanOf(kept)) + project(meanOf(others))) / 2;
		const scores = [...positive.heldOut, ...negative.heldOut].map((state) => project(at(layer)(state)));
		const labels = scores.map((_, i) => (i < positive.heldOut.length ? 1 : 0));
		const right = scores.filter((score, i) => score > threshold === (labels[i] === 1)).length;
		return { layer, direction, norm: Math.sqrt(square), auc: auc(scores, labels), threshold, accuracy: right / scores.length };
	});
	const gate = made.reduce((best, other) => (other.auc > best.auc ? other : best));
	const report: SteeringReport = {
		prompts: {
			positive: positiveStates.length,
			negative: negativeStates.length,
			heldOut: positive.heldOut.length + negative.heldOut.length,
		},
		layers: made.map(({ layer, norm, auc }) => ({ layer, norm, auc })),
		gate: { layer: gate.layer, threshold: gate.threshold, accuracy: gate.accuracy },
	};
	const texts = { [controlVectorFile.modelKey]: modelHash, method: options.method };
	const numbers = {
		hidden_width: width,
		layers: layerCount,
		steered_layers: Float64Array.from(made, ({ layer }) => layer),
		gate_layer: gate.layer,
		gate_threshold: gate.threshold,
	};
	const tensors = made.map(({ layer, direction }) => ({
		name: `direction.${layer}`,
		shape: [width],
		values: Float32Array.from(direction),
		half: false,
	}));
	const { out } = options;
	const write = (temporary: string) => callAddon((addon) => addon.writeTensors(temporary, controlVectorFile.kind, texts, numbers, tensors));
	await replaceFiles({ path: out, write }, jsonFile(`${out}.report.json`, report));
	return report;
}
