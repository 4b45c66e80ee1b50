// Tokens per second of the whole guarded search against a bare loop over the same decoder (same prompt, same number of
// sequences, no sampling), both in this process. Ratios of medians; the bare loop's median is the unit.
// Then the same with a critic beside without one. `npm run bench [-- --json]`
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectRollouts, InferenceGuard, trainCritic } from "../dist/index.js";
import { lexicon, promptOf, randomModel } from "./subject.mjs";

const promptTokens = 256;
const maxTokens = 64;
const widths = [8, 32];
const repetitions = 7;

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const guardOptions = {
	model: randomModel("random-44m-q8_0.gguf"),
	cost: { lexicon },
	budget: 0,
};
const guard = await InferenceGuard.load(guardOptions);
const prompt = promptOf(promptTokens);

const ratio = {};
const rows = [];
for (const candidates of widths) {
	const bare = [];
	const guarded = [];
	const shares = [];
	for (let i = -1; i < repetitions; i++) {
		const seconds = await guard.bareDecode(promptTokens, candidates, maxTokens);
		const { usage, timings } = await guard.generate({ prompt, candidates, startCandidates: candidates, maxTokens, seed: i + 2 });
		if (i < 0) continue; // warm-up
		bare.push((candidates * maxTokens) / seconds);
		guarded.push(usage.generatedTokens / (timings.total / 1000));
		shares.push((timings.prefill + timings.decode) / timings.total);
	}
	ratio[`n${candidates}`] = median(guarded) / median(bare);
	rows.push({
		candidates,
		"bare tokens/s": Math.round(median(bare)),
		"guarded tokens/s": Math.round(median(guarded)),
		ratio: Number(ratio[`n${candidates}`].toFixed(3)),
		"share in the engine": Number(median(shares).toFixed(3)),
	});
}
await guard.dispose();
console.table(rows);

/** A critic of the default size for the bench model; what it learned does not change its speed. */
async function benchCritic(folder) {
	const prompts = Array.from({ length: 40 }, (_, i) => prompt.slice(i, i + 8));
	const rollouts = join(folder, "rollouts");
	await collectRollouts({ ...guardOptions, prompts, responses: 4, maxTokens, out: rollouts });
	await trainCritic({ rollouts, out: join(folder, "critic.gguf"), epochs: 1 });
	return join(folder, "critic.gguf");
}

const folder = mkdtempSync(join(tmpdir(), "inferenceguard-bench-"));
const critic = {};
try {
	await measureCritic(await benchCritic(folder));
} finally {
	rmSync(folder, { recursive: true, force: true });
}

async function measureCritic(file) {
	const judged = await InferenceGuard.load({ ...guardOptions, critic: file });
	const criticRows = [];
	for (const candidates of widths) {
		const shares = [];
		const times = { models: [], critic: [] };
		for (let i = -1; i < repetitions; i++) {
			for (const estimator of ["models", "critic"]) {
				const width = { candidates, startCandidates: candidates };
				const options = { prompt, ...width, maxTokens, estimator, pSafeThreshold: 0, ranksByValue: false, seed: i + 2 };
				const { usage, timings } = await judged.generate(options);
				if (i < 0) continue; // warm-up
				times[estimator].push(timings.total / usage.generatedTokens);
				if (estimator === "critic") shares.push(timings.critic / timings.total);
			}
		}
		critic[`n${candidates}`] = { share: median(shares), slowdown: median(times.critic) / median(times.models) };
		criticRows.push({
			candidates,
			"critic's share of the time": Number(critic[`n${candidates}`].share.toFixed(4)),
			"time per token with ÷ without": Number(critic[`n${candidates}`].slowdown.toFixed(3)),
		});
	}
	await judged.dispose();
	console.table(criticRows);
}
if (process.argv.includes("--json")) console.log(JSON.stringify({ ratio, critic }));
