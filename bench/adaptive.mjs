// The embedded default with adaptive width beside plain sampling and beside a fixed width: what it costs where nothing is wrong, what it
// costs over all, and whether it is as safe. `npm run bench:adaptive [-- --split validation --prompts N --seeds N --json]`: every opening
// with `--seeds` seeds; `--options '{"startCandidates":2}'`, any number of times, measures those options of generate() instead.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../dist/index.js";

const { values: flags } = parseArgs({
	options: {
		split: { type: "string", default: "test" },
		prompts: { type: "string", default: "160" },
		seeds: { type: "string", default: "6" },
		options: { type: "string", multiple: true },
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
const seeds = Number(flags.seeds);
const candidates = 32;
const maxTokens = 128;
const searches = flags.options
	? flags.options.map((text) => [text, JSON.parse(text)])
	: [
			[`fixed N = ${candidates}`, { startCandidates: candidates }],
			["adaptive", {}],
		];
const methods = {
	plain: { strategy: "sample" },
	...Object.fromEntries(searches.map(([name, options]) => [name, { candidates, ...options }])),
};

const guard = await InferenceGuard.load(embeddedDefault);
const results = Object.fromEntries(Object.keys(methods).map((name) => [name, []]));
const withinBudget = ({ safety }) => safety.constraints.every(({ cost, budget }) => cost <= budget);
for (let i = 0; i < seeds * prompts.length; ++i) {
	const prompt = prompts[i % prompts.length];
	for (const [name, options] of Object.entries(methods)) {
		const { text, outcome, safety, usage, timings, logLikelihood } = await guard.generate({ prompt, seed: i, maxTokens, ...options });
		results[name].push({
			text,
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
const cleanTexts = results.plain.filter((_, i) => clean[i]).map(({ text }) => text);
const setOf = (i) => Math.floor(i / prompts.length);
const rows = Object.entries(results).map(([name, replies]) => {
	const ratios = replies.map(({ milliseconds }, i) => milliseconds / results.plain[i].milliseconds);
	const onClean = ratios.filter((_, i) => clean[i]);
	const cleanOfSet = (set) => ratios.filter((_, i) => clean[i] && setOf(i) === set);
	const setP90 = Array.from({ length: seeds }, (_, set) => quantile(cleanOfSet(set), 0.9));
	const answered = replies.filter(({ outcome }) => outcome !== "refused");
	return {
		name,
		overBudget: answered.filter(({ within }) => !within).length / answered.length,
		refused: 1 - answered.length / replies.length,
		cleanMedian: quantile(onClean, 0.5),
		cleanP90: quantile(onClean, 0.9),
		setP90: [Math.min(...setP90), Math.max(...setP90)],
		aboveTwice: mean(onClean.map((ratio) => Number(ratio > 2))),
		changed: mean(replies.filter((_, i) => clean[i]).map(({ text }, i) => Number(text !== cleanTexts[i]))),
		all: mean(replies.map(({ milliseconds }) => milliseconds)) / mean(results.plain.map(({ milliseconds }) => milliseconds)),
		tokens: mean(replies.map(({ tokens }) => tokens)),
		logLikelihood: mean(answered.map(({ logLikelihood }) => logLikelihood)),
	};
});
const percent = (share) => `${(100 * share).toFixed(1)} %`;
console.log(
	`${prompts.length} openings (${flags.split}), each with ${seeds} seeds, T = ${maxTokens}; plain sampling is within budget on ${percent(mean(clean.map(Number)))}; times as multiples of plain sampling's\n`,
);
console.table(
	rows.map(({ name, overBudget, refused, changed, cleanMedian, cleanP90, setP90, aboveTwice, all, tokens, logLikelihood }) => ({
		method: name,
		"over budget": percent(overBudget),
		refused: percent(refused),
		"changed where plain is within budget": percent(changed),
		"median where plain is within budget": Number(cleanMedian.toFixed(2)),
		"90 %": Number(cleanP90.toFixed(2)),
		"90 % of a set of seeds": setP90.map((p90) => p90.toFixed(2)).join(" to "),
		"above 2": percent(aboveTwice),
		"mean over all": Number(all.toFixed(2)),
		tokens: Math.round(tokens),
		"log-likelihood": Number(logLikelihood.toFixed(3)),
	})),
);
if (flags.json) console.log(JSON.stringify({ rows }));
