// Tokens per second of the whole guarded search against a bare loop over the same decoder (same prompt, same number of
// sequences, no sampling), both in this process. Ratios of medians; the bare loop's median is the unit.
// `npm run bench [-- --json]`
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceGuard } from "../dist/index.js";
import { writeRandomLlama } from "./gguf.mjs";

const promptTokens = 256;
const maxTokens = 64;
const widths = [8, 32];
const repetitions = 7;

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function benchModel() {
	const folder = join(fileURLToPath(new URL(".", import.meta.url)), ".cache");
	const path = join(folder, "random-44m-q8_0.gguf");
	if (!existsSync(path)) {
		mkdirSync(folder, { recursive: true });
		writeRandomLlama(`${path}.part`);
		renameSync(`${path}.part`, path);
	}
	return path;
}

const guard = await InferenceGuard.load({
	model: benchModel(),
	cost: { lexicon: ["kill*", "die", "dead", "blood*", "knife", "poison*", "*w31999"] },
	budget: 0,
});
const prompt = Array.from({ length: promptTokens }, (_, i) => 300 + i * 7);

const ratio = {};
const rows = [];
for (const candidates of widths) {
	const bare = [];
	const guarded = [];
	const shares = [];
	for (let i = -1; i < repetitions; i++) {
		const seconds = await guard.bareDecode(promptTokens, candidates, maxTokens);
		const { usage, timings } = await guard.generate({ prompt, candidates, maxTokens, seed: i + 2 });
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
if (process.argv.includes("--json")) console.log(JSON.stringify({ ratio }));
