// Speed and memory of training a critic on synthetic rollouts: 200,000 positions of 4096-wide hidden states.
// `npm run bench:training [-- --positions N --hidden N --json]`
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { trainCritic } from "../dist/training/index.js";
import { claimFolder, ShardWriter, shardPlan } from "../dist/training/rollout-files.js";

const { values } = parseArgs({
	options: { positions: { type: "string", default: "200000" }, hidden: { type: "string", default: "4096" }, json: { type: "boolean" } },
});
const hidden = Number(values.hidden);
const positionsPerResponse = 4;
const responses = 5;
const promptsPerBatch = 10;
const summary = 11;
const prompts = Math.ceil(Number(values.positions) / positionsPerResponse / responses);
const epochs = 2;

/** Half-precision noise, as hidden states are: exponents around 1. */
function fillHalves(buffer, at, length) {
	for (let i = 0; i < length; i++)
		buffer.writeUInt16LE(0x3800 + Math.floor(Math.random() * 0x800) + (Math.random() < 0.5 ? 0x8000 : 0), at + 2 * i);
}

function record(firstPrompt, count) {
	const positionBytes = 4 + 4 * summary + 24 + 2 * hidden;
	const responseBytes = 24 + 8 + 4 * 128 + positionsPerResponse * positionBytes;
	const buffer = Buffer.alloc(count * responses * responseBytes);
	let at = 0;
	for (let prompt = firstPrompt; prompt < firstPrompt + count; prompt++) {
		for (let response = 0; response < responses; response++) {
			buffer.writeInt32LE(prompt, at);
			buffer.writeInt32LE(response, at + 4);
			buffer.writeUInt32LE(128, at + 8);
			buffer.writeUInt32LE(positionsPerResponse, at + 12);
			buffer.writeDoubleLE(Math.random(), at + 16);
			buffer.writeDoubleLE(Math.random(), at + 24);
			at += 32 + 4 * 128;
			for (let position = 0; position < positionsPerResponse; position++) {
				buffer.writeInt32LE(position * 32, at);
				fillHalves(buffer, at + positionBytes - 2 * hidden, hidden);
				at += positionBytes;
			}
		}
	}
	return buffer;
}

const folder = mkdtempSync(join(tmpdir(), "inferenceguard-bench-"));
try {
	const rollouts = join(folder, "rollouts");
	const batches = Math.ceil(prompts / promptsPerBatch);
	const manifest = {
		format: "inferenceguard.rollouts",
		version: 3,
		modelHash: "synthetic",
		constraints: [{ hash: "synthetic", kind: "function", budget: 0.5, discount: 1, criterion: "anytime", floored: true }],
		rewardHash: "synthetic",
		promptsHash: "synthetic",
		prompts,
		splits: Array.from({ length: prompts }, (_, i) => ["validation", "test"][i % 10] ?? "train"),
		responses,
		maxTokens: 128,
		stride: 32,
		temperature: 1,
		topLogProbabilities: 8,
		seed: 0,
		shape: { hidden, summary, constraints: 1 },
		promptsPerBatch,
		batchesPerShard: Math.ceil(batches / 32),
		sequences: promptsPerBatch * responses,
		cells: 1,
	};
	await claimFolder(rollouts, manifest);
	const { shards } = shardPlan(manifest);
	for (let shard = 0; shard < shards; shard++) {
		const writer = new ShardWriter(rollouts, manifest, shard);
		await writer.resume();
		const end = Math.min(batches, (shard + 1) * manifest.batchesPerShard);
		for (let batch = shard * manifest.batchesPerShard; batch < end; batch++) {
			const first = batch * promptsPerBatch;
			await writer.append(record(first, Math.min(promptsPerBatch, prompts - first)));
		}
	}
	const ends = [performance.now()];
	const report = await trainCritic({ rollouts, out: join(folder, "critic.gguf"), epochs, onEpoch: () => ends.push(performance.now()) });
	const figures = {
		positions: prompts * responses * positionsPerResponse,
		hidden,
		parameters: report.training.parameters,
		trainingExamples: report.training.examples,
		secondsUntilFirstEpochEnds: (ends[1] - ends[0]) / 1000,
		secondsPerEpoch: (ends[2] - ends[1]) / 1000,
		examplesPerSecond: report.training.examples / ((ends[2] - ends[1]) / 1000),
		peakMemoryGiB: process.resourceUsage().maxRSS / 2 ** 20,
	};
	if (values.json) console.log(JSON.stringify(figures));
	else console.table(figures);
} finally {
	rmSync(folder, { recursive: true, force: true });
}
