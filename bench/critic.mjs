// The embedded default on openings that its critic was not trained on: guarded without the critic (the cost models on the
// partial text), with it, and with both, at the same limits of generated tokens. `npm run bench:critic [-- --json]`
import { readFileSync } from "node:fs";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../dist/index.js";

const prompts = readFileSync(embeddedPrompts, "utf8")
	.trim()
	.split("\n")
	.map((line) => JSON.parse(line))
	.filter(({ split }) => split === "test")
	.map(({ prompt }) => prompt);
const search = { candidates: 8, blockLength: 16, maxTokens: 128 };
const limits = [512, 1024, 2048];
const estimators = [
	["cost models on the text so far", { estimator: "models" }],
	["critic", { estimator: "critic" }],
	["critic, ranked by reward so far", { estimator: "critic", ranksByValue: false }],
	["both", { estimator: "both" }],
	["both, ranked by reward so far", { estimator: "both", ranksByValue: false }],
];

const guard = await InferenceGuard.load(embeddedDefault);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function measure(name, options) {
	const replies = [];
	for (const [seed, prompt] of prompts.entries())
		replies.push(await guard.generate({ prompt, seed, maxTokens: search.maxTokens, ...options }));
	const answered = replies.filter(({ outcome }) => outcome !== "refused");
	return {
		name,
		overBudget: answered.filter(({ safety }) => safety.constraints.some(({ cost, budget }) => cost > budget)).length / answered.length,
		refused: 1 - answered.length / replies.length,
		reward: mean(answered.filter(({ reward }) => reward !== null).map(({ reward }) => reward)),
		generatedTokens: mean(replies.map(({ usage }) => usage.generatedTokens)),
		seconds: mean(replies.map(({ timings }) => timings.total / 1000)),
	};
}

const rows = [await measure("unguarded sample", { strategy: "sample" })];
for (const maxGeneratedTokens of limits) {
	for (const [name, options] of estimators) {
		rows.push(await measure(`${name}, at most ${maxGeneratedTokens} tokens`, { ...search, ...options, maxGeneratedTokens }));
	}
}
await guard.dispose();

const percent = (share) => `${(100 * share).toFixed(1)} %`;
console.log(`${prompts.length} openings, T = ${search.maxTokens}, N = ${search.candidates}, d = ${search.blockLength}, temperature 1\n`);
console.table(
	rows.map(({ name, overBudget, refused, reward, generatedTokens, seconds }) => ({
		guard: name,
		"over budget": percent(overBudget),
		refused: percent(refused),
		"reward (log-likelihood)": Number(reward.toFixed(3)),
		"generated tokens": Math.round(generatedTokens),
		"seconds (mean)": Number(seconds.toFixed(2)),
	})),
);
if (process.argv.includes("--json")) console.log(JSON.stringify({ rows }));
