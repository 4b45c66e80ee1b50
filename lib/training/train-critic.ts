// Training a critic from rollouts.
import { createHash } from "node:crypto";
import { InvalidOptionError } from "../errors.js";
import { callAddon, type NativeCritic, splitNumbers } from "../native.js";
import { checkTrainCriticOptions } from "../options.js";
import { Worker } from "../worker.js";
import { type CriticReport, criticReport } from "./critic-report.js";
import { criticReportPage } from "./critic-report-page.js";
import { replaceFile, replaceText, writeJson } from "./output.js";
import { type RolloutManifest, readRollouts } from "./rollout-files.js";
import { splitOf } from "./split.js";

/** What a critic may read. */
export type CriticInput = "hidden" | "logits" | "z" | "position";

/** Options of {@link trainCritic}. */
export interface TrainCriticOptions {
	/** Folder that {@link collectRollouts} filled. */
	rollouts: string;
	/** Where the critic goes; the report goes beside it as `<out>.report.json` and `<out>.report.html`. */
	out: string;
	/** Which groups of inputs the critic reads; default all: `hidden`, `logits`, `z`, `position`. */
	inputs?: readonly CriticInput[];
	/** Hidden layers, 0 (linear) to 8; default 1. */
	layers?: number;
	/** Units of a hidden layer; default 256 (paper: 4096). */
	width?: number;
	/** E, members trained on bootstrap samples of the prompts, 1..32; default 4. */
	members?: number;
	/** Budgets to train for, one [lowest, highest] per constraint; default from 0 to the 95th percentile of the costs, or to the guard's budget if that is larger. */
	budgets?: readonly (readonly [lowest: number, highest: number])[];
	/** Most passes over the data; default 30. Training stops early when the validation loss no longer falls. */
	epochs?: number;
	/** Examples per step; default 256. */
	batch?: number;
	/** Of AdamW; default 0.001. It is halved after an epoch without a lower validation loss. */
	learningRate?: number;
	/** Of AdamW; default 0.01. */
	weightDecay?: number;
	/** Default 0. The same data, seed and number of threads give the same file. */
	seed?: number;
	/** Default: the cores this process may use. */
	threads?: number;
	/** As for {@link InferenceGuard.load}; default `"auto"`. On Metal the CPU trains. */
	device?: string;
	/** Called after each epoch. */
	onEpoch?: (epoch: { epoch: number; trainingLoss: number; validationLoss: number }) => void;
	/** Stops the training. */
	signal?: AbortSignal;
}

/** Reads the binding cost of every response: the smallest budget under which it is within budget. */
function bindingCosts({ shape }: RolloutManifest, records: Buffer[]): number[][] {
	const costs: number[][] = Array.from({ length: shape.constraints }, () => []);
	const positionBytes = 4 + 4 * shape.summary + 16 * shape.constraints + 2 * shape.hidden;
	for (const record of records) {
		for (let at = 0; at < record.length; ) {
			const [tokens, positions] = [record.readUInt32LE(at + 8), record.readUInt32LE(at + 12)];
			costs.forEach((list, c) => {
				list.push(record.readDoubleLE(at + 24 + 8 * c));
			});
			at += 24 + 8 * shape.constraints + 4 * tokens + positions * positionBytes;
		}
	}
	return costs;
}

function defaultBudgets(manifest: RolloutManifest, records: Buffer[]): [number, number][] {
	return bindingCosts(manifest, records).map((costs, c) => {
		const sorted = Float64Array.from(costs).sort();
		const common = sorted[Math.floor(0.95 * (sorted.length - 1))] ?? 0;
		return [0, Math.max(common, manifest.constraints[c]?.budget ?? 0)];
	});
}

/** Trains a critic on rollouts and reports how good it is. Errors: INVALID_OPTION, INVALID_ROLLOUTS, WRITE_FAILED, TRAINING_DIVERGED, DEVICE_NOT_FOUND, OUT_OF_MEMORY, ABORTED. */
export async function trainCritic(given: TrainCriticOptions): Promise<CriticReport> {
	const options = checkTrainCriticOptions(given);
	const begin = performance.now();
	const { manifest, records, missing } = await readRollouts(options.rollouts);
	if (options.inputs.includes("hidden") && manifest.shape.hidden === 0) {
		throw new InvalidOptionError(
			"inputs: expected none called hidden, because this model gives no hidden states; choose logits, z, position",
		);
	}
	const budgets = options.budgets ?? defaultBudgets(manifest, records);
	if (budgets.length !== manifest.constraints.length) {
		throw new InvalidOptionError(`budgets: expected one range per constraint (${manifest.constraints.length}), got ${budgets.length}`);
	}
	const splits = manifest.splits ?? Array.from({ length: manifest.prompts }, (_, prompt) => splitOf(String(prompt), options.seed));
	const reads = (input: CriticInput) => options.inputs.includes(input);
	const worker = new Worker();
	const job = {
		shape: manifest.shape,
		inputs: { hidden: reads("hidden"), logits: reads("logits"), z: reads("z"), position: reads("position") },
		constraints: manifest.constraints.map(({ budget, discount }, c) => {
			const [lowest, highest] = budgets[c] as [number, number];
			return { budget, discount, lowest, highest };
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
		records,
	};
	const start = (id: number) => callAddon((native) => native.trainCritic(worker.handle, id, job));
	const trained = await worker.run<NativeCritic>(start, options.signal, { epoch: options.onEpoch });
	const seconds = (performance.now() - begin) / 1000;
	const report = criticReport(trained, manifest, { budgets: budgets.map(([low, high]) => [low, high]), splits, missing, seconds, options });

	const dataHash = createHash("sha256").update(JSON.stringify(manifest));
	for (const record of records) dataHash.update(record);
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
		hidden_width: manifest.shape.hidden,
		summary_width: manifest.shape.summary,
		budget_scale: trained.budgetScale,
		budget_lowest: Float64Array.from(budgets, ([lowest]) => lowest),
		budget_highest: Float64Array.from(budgets, ([, highest]) => highest),
		layers: options.layers,
		width: options.width,
		members: options.members,
		value_mean: trained.valueMean,
		value_scale: trained.valueScale,
		max_tokens: manifest.maxTokens,
		stride: manifest.stride,
		temperature: manifest.temperature,
		"test.auc": report.test.pSafe.auc ?? -1,
		"test.auc_feasible": report.test.pSafe.aucFeasible ?? -1,
		"test.ece": report.test.pSafe.ece,
		"test.brier": report.test.pSafe.brier,
	};
	await replaceFile(options.out, (temporary) =>
		callAddon((native) => native.writeTensors(temporary, "critic", texts, numbers, trained.tensors)),
	);
	await writeJson(`${options.out}.report.json`, report);
	await replaceText(`${options.out}.report.html`, await criticReportPage(report));
	return report;
}
