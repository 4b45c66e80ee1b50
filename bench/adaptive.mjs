// The embedded default with adaptive width beside plain sampling and beside a fixed width: what it costs where nothing is wrong, what it
// costs over all, and whether it is as safe. `npm run bench:adaptive [-- --split validation --prompts N --json]`; with lists of options
// (`--satisfied 0.5,0.7 --growth 2,4 --start 1,2`) every combination instead of the defaults.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../dist/index.js";

const { values: flags } = parseArgs({
	options: {
		split: { type: "string", default: "test" },
		prompts: { type: "string", default: "160" },
		satisfied: { type: "string" },
		growth: { type: "string" },
		start: { type: "string" },
		json: { type: "boolean" },
	},
});
const prompts = readFileSync(embeddedPrompts, "utf8")
	.trim()
	.split("\n")
	.map((line) => JSON.parse(line))
	.filter(({ split }) => split === flags.split)
	.map(({ prompt }) => prompt)
	.slice(0, Number(flags.prompts));
const candidates = 32;
const maxTokens = 128;
const listed = (flag, option) => (flags[flag] ? flags[flag].split(",").map((value) => ({ [option]: Number(value) })) : [{}]);
const widths = listed("satisfied", "satisfiedPSafe").flatMap((satisfied) =>
	listed("growth", "candidateGrowth").flatMap((growth) =>
		listed("start", "startCandidates").map((start) => ({ ...satisfied, ...growth, ...start })),
	),
);
const nameOf = (width) => ["adaptive", ...Object.entries(width).map(([option, value]) => `${option} ${value}`)].join(", ");
const methods = {
	plain: { strategy: "sample" },
	[`fixed N = ${candidates}`]: { candidates, startCandidates: candidates },
	...Object.fromEntries(widths.map((width) => [nameOf(width), { candidates, ...width }])),
};

const guard = await InferenceGuard.load(embeddedDefault);
const results = Object.fromEntries(Object.keys(methods).map((name) => [name, []]));
const withinBudget = ({ safety }) => safety.constraints.every(({ cost, budget }) => cost <= budget);
for (const [seed, prompt] of prompts.entries()) {
	for (const [name, options] of Object.entries(methods)) {
		const { outcome, safety, usage, timings, logLikelihood } = await guard.generate({ prompt, seed, maxTokens, ...options });
		results[name].push({
			outcome,
			within: withinBudget({ safety }),
			tokens: usage.generatedTokens,
			milliseconds: timings.total,
			logLikelihood,
		});
	}
}
await guard.dispose();

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const clean = results.plain.map(({ within }) => within);
const rows = Object.entries(results).map(([name, replies]) => {
	const ratios = replies.map(({ milliseconds }, i) => milliseconds / results.plain[i].milliseconds);
	const onClean = ratios.filter((_, i) => clean[i]);
	const answered = replies.filter(({ outcome }) => outcome !== "refused");
	return {
		name,
		overBudget: answered.filter(({ within }) => !within).length / answered.length,
		refused: 1 - answered.length / replies.length,
		cleanMedian: quantile(onClean, 0.5),
		cleanP90: quantile(onClean, 0.9),
		all: mean(replies.map(({ milliseconds }) => milliseconds)) / mean(results.plain.map(({ milliseconds }) => milliseconds)),
		tokens: mean(replies.map(({ tokens }) => tokens)),
		logLikelihood: mean(answered.map(({ logLikelihood }) => logLikelihood)),
	};
});
const percent = (share) => `${(100 * share).toFixed(1)} %`;
console.log(
	`${prompts.length} openings (${flags.split}), T = ${maxTokens}; plain sampling is within budget on ${clean.filter(Boolean).length}\n`,
);
console.table(
	rows.map(({ name, overBudget, refused, cleanMedian, cleanP90, all, tokens, logLikelihood }) => ({
		method: name,
		"over budget": percent(overBudget),
		refused: percent(refused),
		"time ÷ plain where plain is within budget: median": Number(cleanMedian.toFixed(2)),
		"90 %": Number(cleanP90.toFixed(2)),
		"over all: mean": Number(all.toFixed(2)),
		"tokens generated": Math.round(tokens),
		"mean log-likelihood": Number(logLikelihood.toFixed(3)),
	})),
);
if (flags.json) console.log(JSON.stringify({ rows }));
