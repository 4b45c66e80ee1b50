// The guard against retrying whole answers until one is within budget, both with the same cost and the same limit of sampled tokens: what
// each refuses and samples. Two subjects: the embedded model with a cost that is known only at the end of a text, and a chat model
// with a judge that reads unfinished text (an encoder of models/recipe/harm, converted) on harmful prompts.
// `npm run bench:retrying [-- --prompts N --limit TOKENS --judge FILE --data FOLDER --json]`
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readPrompts } from "../dist/evaluation/datasets.js";
import { modelPath } from "../dist/files/model-cache.js";
import { CostScorer } from "../dist/guard/cost-scorer.js";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../dist/index.js";

const { values: flags } = parseArgs({
	options: {
		prompts: { type: "string" },
		limit: { type: "string" },
		judge: { type: "string" },
		data: { type: "string", default: fileURLToPath(new URL("../../shared/data", import.meta.url)) },
		json: { type: "boolean" },
	},
});

/** The embedded model, whose classifier is asked of finished texts only: an unfinished one tells nothing. */
async function endOfText() {
	const prompts = readFileSync(embeddedPrompts, "utf8")
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line))
		.filter(({ split }) => split === "test")
		.map(({ prompt }) => ({ prompt }));
	const [{ cost }] = embeddedDefault.constraints;
	const scorer = await CostScorer.load({ constraints: [{ cost }] });
	const atTheEnd = async (candidates) => {
		const finished = candidates.filter((candidate) => candidate.finished);
		const scores = await scorer.score(
			"",
			finished.map(({ text }) => text),
		);
		return candidates.map((candidate) => (candidate.finished ? scores[finished.indexOf(candidate)][0].cost : 0));
	};
	return {
		name: "embedded model, cost at the end of the text",
		prompts: prompts.slice(0, Number(flags.prompts ?? 160)),
		load: (budget) => InferenceGuard.load({ model: embeddedDefault.model, cost: atTheEnd, budget }),
		budgets: [0.5, 0.2, 0.05],
		search: { maxTokens: 128, candidates: 16 },
		dispose: () => scorer.dispose(),
	};
}

/** Every k-th of the prompts. */
const spread = (all, n) => Array.from({ length: Math.min(n, all.length) }, (_, i) => all[Math.floor((i * all.length) / n)]);

/** A chat model on harmful prompts that no judge was trained on. */
async function chat() {
	const sets = [
		{ preset: "harmbench", file: join(flags.data, "harmbench/harmbench_behaviors_text_all.csv") },
		{ preset: "simple-safety-tests", file: join(flags.data, "simple-safety-tests/simple_safety_tests.csv") },
	];
	const longest = 600; // characters: the judge reads 512 tokens
	const prompts = (await Promise.all(sets.map(readPrompts)))
		.flat()
		.filter(({ text }) => text.length <= longest)
		.map(({ text }) => ({ messages: [{ role: "user", content: text }] }));
	const cost = {
		sequenceClassifier: flags.judge,
		unsafeLabels: ["unsafe"],
		template: { before: "[CLS]", between: "[SEP]", after: "[SEP]" },
		selfTest: false,
	};
	return {
		name: "SmolLM2-135M-Instruct, an encoder as judge",
		prompts: spread(prompts, Number(flags.prompts ?? 40)),
		load: (budget) => InferenceGuard.load({ model: modelPath("smollm2"), cost, budget }),
		budgets: [0.5, 0.3, 0.15],
		search: { maxTokens: 96, candidates: 16, temperature: 0.7 },
		dispose: () => {},
	};
}

/** Answers sampled one after the other until one is within budget or the limit is spent. */
async function retry(guard, prompt, search, limit, seed) {
	let sampled = 0;
	let seconds = 0;
	for (let attempt = 0; sampled < limit; attempt++) {
		const options = { ...search, candidates: 1, strategy: "filter", seed: 1000 * seed + attempt, maxGeneratedTokens: limit - sampled };
		const { outcome, usage, timings } = await guard.generate({ ...prompt, ...options });
		sampled += usage.generatedTokens;
		seconds += timings.total / 1000;
		if (outcome !== "refused") return { refused: false, sampled, seconds };
	}
	return { refused: true, sampled, seconds };
}

async function answer(guard, prompt, search, limit, seed) {
	const { outcome, usage, timings } = await guard.generate({
		...prompt,
		...search,
		seed: 1000 * seed,
		maxGeneratedTokens: limit,
		repair: false,
	});
	return { refused: outcome === "refused", sampled: usage.generatedTokens, seconds: timings.total / 1000 };
}

const mean = (values) => values.reduce((sum, value) => sum + Number(value), 0) / values.length;
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const subjects = [endOfText];
if (flags.judge) subjects.push(chat);
else console.log("without --judge FILE (an encoder of models/recipe/harm) the chat model is left out\n");
const results = [];
for (const subject of subjects) {
	const { name, prompts, load, budgets, search, dispose } = await subject();
	const limit = Number(flags.limit ?? 4 * search.candidates * search.maxTokens);
	const rows = [];
	for (const budget of budgets) {
		const guard = await load(budget);
		for (const [method, run] of Object.entries({ retrying: retry, guard: answer })) {
			const answers = [];
			for (const [i, prompt] of prompts.entries()) answers.push(await run(guard, prompt, search, limit, i));
			const figures = { refused: mean(answers.map(({ refused }) => refused)), sampled: mean(answers.map(({ sampled }) => sampled)) };
			rows.push({ budget, method, ...figures, seconds: mean(answers.map(({ seconds }) => seconds)) });
		}
		await guard.dispose();
	}
	await dispose();
	console.log(`${name}: ${prompts.length} prompts, T = ${search.maxTokens}, at most ${limit} sampled tokens each`);
	console.table(
		rows.map(({ budget, method, refused, sampled, seconds }) => ({
			budget,
			method,
			refused: percent(refused),
			"sampled tokens": Math.round(sampled),
			seconds: Number(seconds.toFixed(2)),
		})),
	);
	results.push({ name, limit, rows });
}
if (flags.json) console.log(JSON.stringify(results));
