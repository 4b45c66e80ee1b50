// The guard against retrying whole answers until one is within budget, both with the same limit of sampled tokens and the same cost,
// which is known only at the end of a text: what each refuses and samples.
// `npm run bench:retrying [-- --prompts N --seeds N --limit TOKENS --json]`
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CostScorer } from "../dist/cost-scorer.js";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../dist/index.js";

const { values: flags } = parseArgs({
	options: { prompts: { type: "string", default: "160" }, seeds: { type: "string", default: "1" }, limit: { type: "string" }, json: { type: "boolean" } },
});
const prompts = readFileSync(embeddedPrompts, "utf8")
	.trim()
	.split("\n")
	.map((line) => JSON.parse(line))
	.filter(({ split }) => split === "test")
	.map(({ prompt }) => prompt)
	.slice(0, Number(flags.prompts));
const maxTokens = 128;
const candidates = 16;
const limit = Number(flags.limit ?? 4 * candidates * maxTokens);

const { model, constraints } = embeddedDefault;
const [{ cost: classifier }] = constraints;

/** Answers sampled one after the other until one is within budget or the limit is spent. */
async function retry(guard, prompt, seed) {
	let generatedTokens = 0;
	let seconds = 0;
	for (let attempt = 0; generatedTokens < limit; attempt++) {
		const { outcome, usage, timings } = await guard.generate({
			prompt,
			maxTokens,
			strategy: "filter",
			seed: 1000 * seed + attempt,
			maxGeneratedTokens: limit - generatedTokens,
		});
		generatedTokens += usage.generatedTokens;
		seconds += timings.total / 1000;
		if (outcome !== "refused") return { refused: false, generatedTokens, seconds };
	}
	return { refused: true, generatedTokens, seconds };
}

async function guarded(guard, prompt, seed) {
	const { outcome, usage, timings } = await guard.generate({ prompt, maxTokens, candidates, seed: 1000 * seed });
	return { refused: outcome === "refused", generatedTokens: usage.generatedTokens, seconds: timings.total / 1000 };
}

/** The classifier's cost, of finished texts only: an unfinished one tells nothing. */
async function atTheEnd(scorer, candidates) {
	const finished = candidates.filter((candidate) => candidate.finished);
	const costs = (await scorer.score("", finished.map(({ text }) => text))).map(([{ cost }]) => cost);
	return candidates.map((candidate) => (candidate.finished ? costs.shift() : 0));
}

const mean = (values) => values.reduce((sum, value) => sum + Number(value), 0) / values.length;
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const rows = [];
for (const budget of [0.5, 0.2, 0.05]) {
	const scorer = await CostScorer.load({ constraints: [{ cost: classifier }] });
	const guard = await InferenceGuard.load({ model, cost: (candidates) => atTheEnd(scorer, candidates), budget });
	for (const [method, answer] of Object.entries({ retrying: retry, guard: guarded })) {
		const answers = [];
		for (let seed = 0; seed < Number(flags.seeds); seed++) {
			for (const [i, prompt] of prompts.entries()) answers.push(await answer(guard, prompt, seed * prompts.length + i));
		}
		const tokens = mean(answers.map(({ generatedTokens }) => generatedTokens));
		const refused = mean(answers.map((answer) => answer.refused));
		rows.push({ budget, method, refused, tokens, seconds: mean(answers.map(({ seconds }) => seconds)) });
	}
	await guard.dispose();
	await scorer.dispose();
}
console.log(`${prompts.length} openings, ${flags.seeds} seeds, T = ${maxTokens}, at most ${limit} sampled tokens each\n`);
console.table(
	rows.map(({ budget, method, refused, tokens, seconds }) => ({
		budget,
		method,
		refused: percent(refused),
		"sampled tokens": Math.round(tokens),
		seconds: Number(seconds.toFixed(2)),
	})),
);
if (flags.json) console.log(JSON.stringify({ rows }));
