// Samples responses of the base model for the training of a critic.

import { createHash } from "node:crypto";
import { costHash } from "../costs/index.js";
import { rewardHash } from "../costs/rewards.js";
import { splitsOf } from "../data/split.js";
import { InvalidDataError, KvCapacityError } from "../errors.js";
import { checkProbes } from "../files/probe.js";
import { Fingerprints } from "../guard/identity.js";
import { nativeSpec } from "../guard/load-spec.js";
import { NativeGuard } from "../guard/native-guard.js";
import { askScoreFunction } from "../guard/score-function.js";
import { isRaw, type NativeInfo, type NativeSpec } from "../native/protocol.js";
import { type AskFunction, CallbackWatch } from "../native/worker.js";
import type { LoadOptions } from "../options/types.js";
import type { RolloutProgress } from "../progress.js";
import { checkRolloutOptions } from "./options.js";
import { type PromptList, questionOf, type RolloutPrompt, readPrompts, readPromptsOf } from "./prompts.js";
import { claimFolder, nowOfRollouts, type RolloutManifest, ShardWriter, shardPlan } from "./rollout-files.js";

/** Options of {@link collectRollouts}: those of a guard, and those of sampling. */
export interface RolloutOptions extends Omit<LoadOptions, "signal" | "critic" | "steering"> {
	/**
	 * A file of prompts (`.txt`: one per line, `.jsonl`, `.json`, `.csv`, `.tsv`, each also as `.gz`, or `.parquet`), or prompts as
	 * text, token ids or conversations. A file's column may hold text, or conversations as arrays of `{ role, content }`.
	 */
	prompts: string | readonly RolloutPrompt[];
	/** Column of the prompt; default `prompt`, `question`, `text`, `instruction` or `messages`. A column `split` is kept for the training. */
	field?: string;
	/** Whether a text is a user's message for the model's chat template; default false, as raw text. */
	chat?: boolean;
	/** As for a generation; default the date of the run that is resumed, otherwise the day. */
	now?: string | Date;
	/** Folder of the rollouts; a stopped run resumes there. */
	out: string;
	/** r, responses per prompt, 1..256; default 5, as in the paper. */
	responses?: number;
	/** T, the longest response in tokens; default 128. */
	maxTokens?: number;
	/** Distance of the kept positions in tokens, from the prompt's last token on; default 32, the block length of the search. */
	stride?: number;
	/**
	 * Layers after which the mean of the residual stream over the response's tokens is kept too, for a critic to read. They are counted from
	 * 0, and the last one cannot be read; the report of a probe shows the most informative ones. Default none.
	 */
	meanLayers?: readonly number[];
	/** Default 1. */
	temperature?: number;
	/** Most sequences decoded at once, from `responses` to 256; default 64, or `responses` if that is larger. */
	batch?: number;
	/** Part i of n (`"2/4"`), so that n machines can share the work; default all. */
	shard?: string;
	/** Default 0. The same options and build give the same bytes. */
	seed?: number;
	/** Called before the first batch, and after each. */
	onProgress?: (progress: RolloutProgress) => void;
	/** Stops within one decode step; finished responses are kept. */
	signal?: AbortSignal;
}

const topLogProbabilities = 8;
const defaultBatch = 64;
const largestShardBytes = 64 * 2 ** 20;
const usualShards = 32;

type Checked = ReturnType<typeof checkRolloutOptions>["options"];

async function planRun(
	spec: NativeSpec,
	info: NativeInfo,
	list: PromptList,
	tokens: Int32Array[],
	modelHash: string,
	options: Checked,
): Promise<RolloutManifest> {
	const { responses, maxTokens, stride, temperature, seed, meanLayers } = options;
	const longest = tokens.reduce((most, { length }) => Math.max(most, length), 0);
	if (longest + maxTokens > info.contextSize) {
		throw new InvalidDataError(
			`expected prompts that leave room for ${maxTokens} tokens within the context of ${info.contextSize}, got one of ${longest} tokens; ` +
				"shorten it or lower maxTokens",
		);
	}
	const batch = options.batch ?? Math.max(defaultBatch, responses);
	const promptsPerBatch = Math.floor(batch / responses);
	const summaryTop = Math.min(topLogProbabilities, info.vocabularySize);
	const shape = {
		hidden: info.hiddenWidth,
		summary: summaryTop + info.summaryBesideTop,
		constraints: spec.constraints.length,
		...(meanLayers && { mean: meanLayers.length * info.streamWidth }),
	};
	const batches = Math.ceil(list.prompts.length / promptsPerBatch);
	const batchBytes = promptsPerBatch * promptBytes(shape, options);
	const promptsHash = createHash("sha256");
	for (const prompt of tokens) promptsHash.update(prompt).update(";");
	return {
		format: "inferenceguard.rollouts",
		version: 3,
		modelHash,
		constraints: await Promise.all(
			spec.constraints.map(async (constraint, c) => {
				const { kind, discount, criterion, floored } = constraint;
				return { hash: await costHash(constraint), kind, budget: info.budgets[c] as number, discount, criterion, floored };
			}),
		),
		rewardHash: await rewardHash(spec),
		promptsHash: promptsHash.digest("hex"),
		prompts: list.prompts.length,
		splits:
			list.splits ??
			splitsOf(
				tokens.map((prompt) => prompt.join(" ")),
				0,
			),
		responses,
		maxTokens,
		stride,
		temperature,
		topLogProbabilities: summaryTop,
		seed,
		shape,
		...(meanLayers && { meanLayers }),
		promptsPerBatch,
		batchesPerShard: Math.max(1, Math.min(Math.ceil(batches / usualShards), Math.floor(largestShardBytes / batchBytes))),
		sequences: promptsPerBatch * responses,
		cells: promptsPerBatch * (longest + responses * (maxTokens + 1)),
	};
}

function promptBytes(
	shape: RolloutManifest["shape"],
	{ responses, maxTokens, stride }: Pick<Checked, "responses" | "maxTokens" | "stride">,
): number {
	const position = 4 + 4 * shape.summary + 24 * shape.constraints + 2 * (shape.hidden + (shape.mean ?? 0));
	return responses * (24 + 8 * shape.constraints + 4 * maxTokens + Math.ceil(maxTokens / stride) * position);
}

/**
 * Samples responses of the base model, labels them with the true cost and reward models, and stores the latent state at a stride of
 * positions (paper, section 4: Monte-Carlo targets). {@link trainCritic} learns from them. A killed run resumes where it stopped; the bytes
 * are those of an undisturbed run.
 *
 * Errors: those of `InferenceGuard.load` and `generate`, INVALID_DATA, INVALID_ROLLOUTS, WRITE_FAILED.
 */
export async function collectRollouts(given: RolloutOptions): Promise<RolloutProgress> {
	const { options, loading } = checkRolloutOptions(given);
	const list = await readPrompts(options.prompts, options.field);
	const missing = (["train", "validation", "test"] as const).filter((split) => list.splits && !list.splits.includes(split));
	if (missing.length > 0) {
		throw new InvalidDataError(`expected prompts of every split in ${options.prompts}, got none that are ${missing.join(" or ")}`);
	}
	const { meanLayers } = options;
	const spec = { ...(await nativeSpec(loading)), ...(meanLayers && { meanLayers: Int32Array.from(meanLayers) }) };
	using watch = new CallbackWatch(options.signal);
	const fingerprints = await Fingerprints.of(spec);
	const native = new NativeGuard(spec, watch.signal, watch.wrap("onLoadProgress", loading.onLoadProgress));
	try {
		const info = await watch.run(() => native.opened);
		const modelHash = await watch.run((signal) => fingerprints.model({ signal }));
		checkProbes(spec, modelHash);
		const now = options.now ?? (await nowOfRollouts(options.out));
		const { native: prompts, readNow } = await watch.run((signal) => readPromptsOf(list.prompts, options.chat, info, { now, signal }));
		const tokens = await watch.run((signal) => native.run("tokenize", prompts, signal));
		const manifest = { ...(await planRun(spec, info, list, tokens, modelHash, options)), ...(readNow !== undefined && { now: readNow }) };
		const raw = prompts.map(isRaw);
		await claimFolder(options.out, manifest);
		const ask = askScoreFunction.bind(undefined, loading);
		const run = { ...options, onProgress: watch.wrap("onProgress", options.onProgress) };
		return await watch
			.run((signal) => runShards(native, manifest, list, tokens, raw, { ...run, signal }, ask))
			.catch((error) => {
				if (!(error instanceof KvCapacityError)) throw error;
				throw new KvCapacityError(`a batch of rollouts does not fit; lower batch, responses or maxTokens (${error.message})`, {
					cause: error,
				});
			});
	} finally {
		native.cancelAll();
		await native.close();
	}
}

async function runShards(
	native: NativeGuard,
	manifest: RolloutManifest,
	list: PromptList,
	tokens: Int32Array[],
	raw: boolean[],
	{ out, shard: [part, parts], onProgress, signal }: Pick<Checked, "out" | "shard" | "onProgress" | "signal">,
	ask: AskFunction,
): Promise<RolloutProgress> {
	const { batches, shards } = shardPlan(manifest);
	const { promptsPerBatch, batchesPerShard } = manifest;
	const own = Array.from({ length: shards }, (_, shard) => shard).filter((shard) => shard % parts === part - 1);
	const batchesOf = (shard: number) => Math.min(batchesPerShard, batches - shard * batchesPerShard);
	const promptsOf = (batch: number) => Math.min(promptsPerBatch, manifest.prompts - batch * promptsPerBatch);
	const totalPrompts = own.reduce((sum, shard) => {
		const first = shard * batchesPerShard * promptsPerBatch;
		return sum + Math.min(first + batchesOf(shard) * promptsPerBatch, manifest.prompts) - first;
	}, 0);
	const progress: RolloutProgress = {
		prompts: 0,
		totalPrompts,
		totalBytes: totalPrompts * promptBytes(manifest.shape, manifest),
		responses: 0,
		generatedTokens: 0,
		overBudget: 0,
		seconds: 0,
	};
	const begin = performance.now();
	onProgress?.({ ...progress });
	for (const shard of own) {
		await using writer = new ShardWriter(out, manifest, shard);
		await writer.open();
		const firstBatch = shard * batchesPerShard;
		for (let batch = firstBatch; batch < firstBatch + batchesOf(shard); batch++) {
			const first = batch * promptsPerBatch;
			if (batch >= firstBatch + writer.records) {
				const numbers = Array.from({ length: promptsOf(batch) }, (_, i) => first + i);
				const result = await native.run(
					"rollouts",
					{
						...manifest,
						prompts: numbers.map((number) => {
							const prompt = list.prompts[number] as RolloutPrompt;
							const isRaw = raw[number] as boolean;
							return { number, tokens: tokens[number] as Int32Array, question: questionOf(prompt), isRaw };
						}),
						availableBytes: process.availableMemory(),
					},
					signal,
					{ ask },
				);
				await writer.append(result.record);
				progress.responses += result.responses;
				progress.generatedTokens += result.generatedTokens;
				progress.overBudget += result.overBudget;
			}
			progress.prompts += promptsOf(batch);
			progress.seconds = (performance.now() - begin) / 1000;
			onProgress?.({ ...progress });
		}
	}
	return progress;
}
