// The embedded default on openings that its critic was not trained on: guarded without the critic (the cost models on the
// partial text), with it, and with both, at the same limits of generated tokens.
// `npm run bench:critic [-- --prompts N --json]`
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../dist/index.js";

const { values: flags } = parseArgs({ options: { prompts: { type: "string", default: "160" }, json: { type: "boolean" } } });
const prompts = readFileSync(embeddedPrompts, "utf8")
	.trim()
	.split("\n")
	.map((line) => JSON.parse(line))
	.filter(({ split }) => split === "test")
	.map(({ prompt }) => prompt)
	.slice(0, Number(flags.prompts));
const maxTokens = 128;
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
	for (const [seed, prompt] of prompts.entries()) replies.push(await guard.generate({ prompt, seed, maxTokens, ...options }));
	const answered = replies.filter(({ outcome }) => outcome !== "refused");
	return {
		name,
		overBudget: answered.filter(({ safety }) => safety.constraints.some(({ cost, budget }) => cost > budget)).length / answered.length,
		refused: 1 - answered.length / replies.length,
		reward: mean(answered.map(({ logLikelihood }) => logLikelihood)),
		emittedTokens: mean(answered.map(({ usage }) => usage.emittedTokens)),
		generatedTokens: mean(replies.map(({ usage }) => usage.generatedTokens)),
		seconds: mean(replies.map(({ timings }) => timings.total / 1000)),
	};
}

const rows = [await measure("unguarded", { strategy: "sample" })];
for (const candidates of [4, 16]) {
	const maxGeneratedTokens = 2 * candidates * maxTokens;
	for (const [name, options] of estimators) {
		rows.push(
			await measure(`N = ${candidates}: ${name}`, {
				blockLength: 16,
				candidates,
				startCandidates: candidates,
				maxGeneratedTokens,
				...options,
			}),
		);
	}
}
await guard.dispose();

const percent = (share) => `${(100 * share).toFixed(1)} %`;
console.log(`${prompts.length} openings, T = ${maxTokens}, d = 16, temperature 1, at most 2·N·T generated tokens\n`);
console.table(
	rows.map(({ name, overBudget, refused, reward, emittedTokens, generatedTokens, seconds }) => ({
		guard: name,
		"over budget": percent(overBudget),
		refused: percent(refused),
		"mean log-likelihood": Number(reward.toFixed(3)),
		"tokens told": Math.round(emittedTokens),
		"tokens generated": Math.round(generatedTokens),
		"seconds (mean)": Number(seconds.toFixed(2)),
	})),
);
if (flags.json) console.log(JSON.stringify({ rows }));
