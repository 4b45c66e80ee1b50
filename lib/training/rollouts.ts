// Sampling responses of the base model for a critic to learn from.
import { createHash } from "node:crypto";
import { nativePrompt } from "../chat.js";
import { InvalidDataError } from "../errors.js";
import { costHash, rewardHash, specHash } from "../fingerprint.js";
import type { NativeInfo, NativeSpec } from "../native.js";
import { NativeGuard } from "../native-guard.js";
import { checkRolloutOptions } from "../options.js";
import { askScoreFunction } from "../score-function.js";
import { nativeSpec } from "../spec.js";
import type { LoadOptions, RolloutProgress } from "../types.js";
import { CallbackWatch } from "../worker.js";
import { columnOf, readRecords, textOf } from "./records.js";
import { claimFolder, type RolloutManifest, ShardWriter, shardPlan } from "./rollout-files.js";
import { type Split, splitNamed, splitOf } from "./split.js";

/** Options of {@link collectRollouts}: a guard's, and what to sample. */
export interface RolloutOptions extends Omit<LoadOptions, "signal" | "critic"> {
	/** A file of prompts (`.txt`: one per line, `.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`), or prompts as text or token ids. */
	prompts: string | readonly (string | readonly number[])[];
	/** Column of the prompt; default `prompt`, `question`, `text` or `instruction`. A column `split` is kept for the training. */
	field?: string;
	/** Folder of the rollouts; a run that was stopped goes on there. */
	out: string;
	/** r, responses per prompt, 1..256; default 5, as in the paper. */
	responses?: number;
	/** T, the longest response in tokens; default 128. */
	maxTokens?: number;
	/** Positions are kept at the prompt's last token and every so many tokens; default 32, the block length of the search. */
	stride?: number;
	/** Default 1. */
	temperature?: number;
	/** Most sequences decoded at once, 1..256; default 64. */
	batch?: number;
	/** Part i of n (`"2/4"`), so that n machines can share the work; default all. */
	shard?: string;
	/** Default 0. The same options and build give the same bytes. */
	seed?: number;
	/** Called before the first batch, and after each. */
	onProgress?: (progress: RolloutProgress) => void;
	/** Stops within one decode step; what is done is kept. */
	signal?: AbortSignal;
}

const promptColumns = ["prompt", "question", "text", "instruction"];
const topLogProbabilities = 8;
const summaryBesideTop = 3;
const maxSequences = 256;
const largestShardBytes = 64 * 2 ** 20;
const mostShards = 32;

interface PromptList {
	prompts: (string | readonly number[])[];
	/** Where the prompt file names them. */
	splits?: Split[];
}

async function readPrompts(source: string | readonly (string | readonly number[])[], field: string | undefined): Promise<PromptList> {
	if (typeof source !== "string") return { prompts: [...source] };
	const records = await readRecords(source);
	const column = columnOf(records, field, promptColumns, "the prompt");
	const prompts = records.map((record, row) => textOf(record, column, row));
	const hasSplits = records.some((record) => "split" in record);
	return hasSplits ? { prompts, splits: records.map(({ split }, row) => splitNamed(split, row)) } : { prompts };
}

type Checked = ReturnType<typeof checkRolloutOptions>["options"];

async function planRun(
	spec: NativeSpec,
	info: NativeInfo,
	list: PromptList,
	tokens: Int32Array[],
	options: Checked,
): Promise<RolloutManifest> {
	const { responses, maxTokens, stride, temperature, seed } = options;
	const longest = tokens.reduce((most, { length }) => Math.max(most, length), 0);
	if (longest + maxTokens > info.contextSize) {
		throw new InvalidDataError(
			`expected prompts that leave room for ${maxTokens} tokens within the context of ${info.contextSize}, got one of ${longest} tokens; ` +
				"shorten it or lower maxTokens",
		);
	}
	const promptsPerBatch = Math.max(1, Math.floor(options.batch / responses));
	const shape = {
		hidden: info.hiddenWidth,
		summary: Math.min(topLogProbabilities, info.vocabularySize) + summaryBesideTop,
		constraints: spec.constraints.length,
	};
	const batches = Math.ceil(list.prompts.length / promptsPerBatch);
	const batchBytes = promptsPerBatch * promptBytes(shape, options);
	const promptsHash = createHash("sha256");
	for (const prompt of tokens) promptsHash.update(prompt).update(";");
	return {
		format: "inferenceguard.rollouts",
		version: 1,
		modelHash: await specHash(spec),
		constraints: await Promise.all(
			spec.constraints.map(async (constraint, c) => {
				const { kind, discount, criterion, floored } = constraint;
				return { hash: await costHash(constraint), kind, budget: info.budgets[c] as number, discount, criterion, floored };
			}),
		),
		rewardHash: rewardHash(spec),
		promptsHash: promptsHash.digest("hex"),
		prompts: list.prompts.length,
		splits: list.splits ?? tokens.map((prompt) => splitOf(prompt.join(" "), 0)),
		responses,
		maxTokens,
		stride,
		temperature,
		topLogProbabilities: shape.summary - summaryBesideTop,
		seed,
		shape,
		promptsPerBatch,
		batchesPerShard: Math.max(1, Math.min(Math.ceil(batches / mostShards), Math.floor(largestShardBytes / batchBytes))),
		sequences: Math.min(maxSequences, promptsPerBatch * responses),
		cells: promptsPerBatch * (longest + responses * (maxTokens + 1)),
	};
}

function promptBytes(
	shape: RolloutManifest["shape"],
	{ responses, maxTokens, stride }: Pick<Checked, "responses" | "maxTokens" | "stride">,
): number {
	const position = 4 + 4 * shape.summary + 16 * shape.constraints + 2 * shape.hidden;
	return responses * (24 + 8 * shape.constraints + 4 * maxTokens + Math.ceil(maxTokens / stride) * position);
}

/**
 * Samples responses of the base model, labels them with the true cost and reward models, and stores the latent state at a
 * stride of positions (paper, section 4: Monte-Carlo targets): what {@link trainCritic} learns from. A run that was killed goes
 * on where it stopped; the bytes are the same as those of an undisturbed run.
 *
 * Errors: those of `InferenceGuard.load` and `generate`, INVALID_DATA, INVALID_ROLLOUTS, WRITE_FAILED.
 */
export async function collectRollouts(given: RolloutOptions): Promise<RolloutProgress> {
	const { options, loading } = checkRolloutOptions(given);
	const list = await readPrompts(options.prompts, options.field);
	const spec = await nativeSpec(loading);
	const watch = new CallbackWatch(options.signal);
	const native = new NativeGuard(spec, watch.signal, watch.wrap("onLoadProgress", loading.onLoadProgress));
	try {
		const info = await watch.run(() => native.opened);
		const tokens = await native.tokenize(list.prompts.map((prompt) => nativePrompt({ prompt }, info)));
		const manifest = await planRun(spec, info, list, tokens, options);
		await claimFolder(options.out, manifest);
		const ask = askScoreFunction.bind(undefined, loading);
		return await runShards(native, manifest, list, tokens, options, ask);
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
	{ out, shard: [part, parts], onProgress, signal }: Checked,
	ask: Parameters<NativeGuard["rollouts"]>[2],
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
		const writer = new ShardWriter(out, manifest, shard);
		await writer.resume();
		const firstBatch = shard * batchesPerShard;
		for (let batch = firstBatch; batch < firstBatch + batchesOf(shard); batch++) {
			const first = batch * promptsPerBatch;
			if (batch >= firstBatch + writer.records) {
				const numbers = Array.from({ length: promptsOf(batch) }, (_, i) => first + i);
				const result = await native.rollouts(
					{
						...manifest,
						prompts: numbers.map((number) => {
							const prompt = list.prompts[number];
							return { number, tokens: tokens[number] as Int32Array, question: typeof prompt === "string" ? prompt : "" };
						}),
						availableBytes: process.availableMemory(),
					},
					signal,
					ask,
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
