// Trains a critic on rollouts.
import { createHash } from "node:crypto";
import { expectWritable, jsonFile, replaceFiles, textFile } from "../data/output.js";
import { InvalidOptionError } from "../errors.js";
import { callAddon } from "../native/addon.js";
import { chargesTokens, type NativeCritic, splitNumbers } from "../native/protocol.js";
import { abortedBy, CallbackWatch, Worker } from "../native/worker.js";
import type { EpochProgress } from "../progress.js";
import { type CriticAblation, type CriticReport, criticAblation, criticReport } from "./critic-report.js";
import { criticReportPage } from "./critic-report-page.js";
import { checkTrainCriticOptions } from "./options.js";
import { readManifest, readShards, shardPlan } from "./rollout-files.js";

/** Inputs of a critic. */
export type CriticInput = "hidden" | "logits" | "z" | "position" | "mean";

/** Options of {@link trainCritic}. */
export interface TrainCriticOptions {
	/** Folder of rollouts that {@link collectRollouts} made. */
	rollouts: string;
	/** Path of the critic; the report is `<out>.report.json` and `<out>.report.html`. */
	out: string;
	/**
	 * Groups of inputs that the critic reads; default all: `hidden` (the state at the last token), `logits`, `z`, `position`, and, if the
	 * rollouts have it, `mean` (of the residual stream over the tokens before the last).
	 */
	inputs?: readonly CriticInput[];
	/** Hidden layers, 0 (linear) to 4; default 1. */
	layers?: number;
	/** Units of a hidden layer, at least 2; default 256 (paper: 4096). */
	width?: number;
	/** E, members trained on bootstrap samples of the prompts, 1..16; default 4. */
	members?: number;
	/** Budgets to train for, one [lowest, highest] per constraint; default from 0 to the 95th percentile of the costs, or to the guard's budget if that is larger. */
	budgets?: readonly (readonly [lowest: number, highest: number])[];
	/** Most passes over the data; default 30. Training stops early if the validation loss no longer falls. */
	epochs?: number;
	/** Examples per step; default 256. */
	batch?: number;
	/** Of AdamW; default 0.001. It is halved after an epoch without a lower validation loss. */
	learningRate?: number;
	/** Of AdamW; default 0.01. */
	weightDecay?: number;
	/** Default 0. The same data, seed and number of threads give the same file on the CPU. */
	seed?: number;
	/** As for {@link InferenceGuard.load}. */
	threads?: number;
	/** As for {@link InferenceGuard.load}; default `"auto"`. On Metal the CPU trains. */
	device?: string;
	/** Called after each epoch. */
	onEpoch?: (progress: EpochProgress) => void;
	/** Stops the training. */
	signal?: AbortSignal;
}

const withoutMean: readonly CriticInput[] = ["hidden", "logits", "z", "position"];

/**
 * Trains a critic on rollouts (paper, section 4) and reports, on prompts that it was not trained on, how good it is.
 *
 * Errors: INVALID_OPTION, INVALID_ROLLOUTS, WRITE_FAILED, TRAINING_DIVERGED, DECODE_FAILED, DEVICE_NOT_FOUND, OUT_OF_MEMORY,
 * CALLBACK_FAILED, ABORTED.
 */
export async function trainCritic(given: TrainCriticOptions): Promise<CriticReport> {
	const options = checkTrainCriticOptions(given);
	await expectWritable(options.out);
	using watch = new CallbackWatch(options.signal);
	const begin = performance.now();
	const manifest = await readManifest(options.rollouts);
	const keepsMeans = manifest.meanLayers !== undefined;
	const { inputs = keepsMeans ? [...withoutMean, "mean"] : withoutMean } = options;
	if (inputs.includes("mean") && !keepsMeans) {
		throw new InvalidOptionError("inputs: expected no mean, because these rollouts have none; make them with meanLayers");
	}
	if (inputs.includes("hidden") && manifest.shape.hidden === 0) {
		throw new InvalidOptionError(
			"inputs: expected none called hidden, because this model gives no hidden states; choose logits, z, position",
		);
	}
	const { budgets } = options;
	if (budgets && budgets.length !== manifest.constraints.length) {
		throw new InvalidOptionError(`budgets: expected one range per constraint (${manifest.constraints.length}), got ${budgets.length}`);
	}
	const { splits } = manifest;
	const reads = (input: CriticInput) => inputs.includes(input);
	if (inputs.every((input) => input === "z") && manifest.constraints.length === 0) {
		throw new InvalidOptionError(
			"inputs: expected more than z, because these rollouts have no cost model; choose hidden, logits, position",
		);
	}
	const dataHash = createHash("sha256").update(JSON.stringify(manifest));
	let missing = shardPlan(manifest).batches;
	const shared = {
		shape: manifest.shape,
		streamWidth: keepsMeans ? (manifest.shape.mean as number) / (manifest.meanLayers as number[]).length : 0,
		constraints: manifest.constraints.map(({ kind, budget, discount, criterion }, c) => {
			const range = budgets?.[c];
			const terms = { budget, discount, perToken: chargesTokens(kind), anytime: criterion === "anytime" };
			return { ...terms, ...(range && { lowest: range[0], highest: range[1] }) };
		}),
		splits: Uint8Array.from(splits, (split) => splitNumbers[split]),
		maxTokens: manifest.maxTokens,
		layers: options.layers,
		width: options.width,
		members: options.members,
		epochs: options.epochs,
		batch: options.batch,
		learningRate: options.learningRate,
		weightDecay: options.weightDecay,
		seed: options.seed,
		threads: options.threads,
		device: options.device,
	};
	const train = async (inputs: readonly CriticInput[], onRecords: (records: Uint8Array[]) => void): Promise<NativeCritic> => {
		const worker = new Worker();
		for await (const records of readShards(options.rollouts, manifest)) {
			if (watch.signal.aborted) throw abortedBy(watch.signal);
			onRecords(records);
			await worker.run("addRollouts", { shape: manifest.shape, records });
		}
		const has = (input: CriticInput) => inputs.includes(input);
		const groups = { hidden: has("hidden"), logits: has("logits"), z: has("z"), position: has("position"), mean: has("mean") };
		const epoch = watch.wrap("onEpoch", options.onEpoch);
		return watch.run((signal) => worker.run("trainCritic", { ...shared, inputs: groups }, signal, { epoch }));
	};
	const trained = await train(inputs, (records) => {
		for (const record of records) dataHash.update(record);
		missing -= records.length;
	});
	const ablations: CriticAblation[] = [];
	for (const left of reads("mean") && reads("hidden") ? (["mean", "hidden"] as const) : []) {
		const others = inputs.filter((input) => input !== left);
		ablations.push(criticAblation(others, await train(others, () => {})));
	}
	const seconds = (performance.now() - begin) / 1000;
	const report = criticReport(trained, manifest, { missing, seconds, options: { ...options, inputs: [...inputs] }, ablations });

	const texts = {
		model_hash: manifest.modelHash,
		constraints: JSON.stringify(manifest.constraints),
		reward_hash: manifest.rewardHash,
		data_hash: dataHash.digest("hex"),
	};
	const flag = (input: CriticInput) => (reads(input) ? 1 : 0);
	const numbers = {
		"inputs.hidden": flag("hidden"),
		"inputs.logits": flag("logits"),
		"inputs.z": flag("z"),
		"inputs.position": flag("position"),
		...(reads("mean") && { "inputs.mean": 1, mean_layers: Float64Array.from(manifest.meanLayers ?? []), stream_width: shared.streamWidth }),
		hidden_width: manifest.shape.hidden,
		summary_width: manifest.shape.summary,
		budget_scale: trained.budgetScale,
		budget_lowest: trained.budgetLowest,
		budget_highest: trained.budgetHighest,
		layers: options.layers,
		width: options.width,
		members: options.members,
		value_mean: trained.valueMean,
		value_scale: trained.valueScale,
		max_tokens: manifest.maxTokens,
		stride: manifest.stride,
		temperature: manifest.temperature,
		satisfied_p_safe: report.test.satisfiedPSafe,
		"test.auc": report.test.pSafe.auc ?? -1,
		"test.auc_feasible": report.test.pSafe.aucFeasible ?? -1,
		"test.ece": report.test.pSafe.ece,
		"test.brier": report.test.pSafe.brier,
	};
	const { out } = options;
	const write = (temporary: string) => callAddon((native) => native.writeTensors(temporary, "critic", texts, numbers, trained.tensors));
	await replaceFiles(
		{ path: out, write },
		jsonFile(`${out}.report.json`, report),
		textFile(`${out}.report.html`, await criticReportPage(report)),
	);
	return report;
}
