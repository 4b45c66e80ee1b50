// Writes docs/performance.md from the results of bench:peers, and draws the plots that it speaks of into the folder of the results:
// `node bench/peers/page.mjs [RESULTS.jsonl]`. The prose is in performance.template.md.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { group, sort } from "d3-array";
import { models } from "../models.mjs";
import { length, lengthSweep, systems } from "./grid.mjs";
import { plot } from "./plots.mjs";
import { cellKey, readResults, resultsFile, summarise } from "./results.mjs";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const file = process.argv[2] ?? resultsFile;
const results = readResults(file);
if (results.length === 0) throw new Error("expected results of `npm run bench:peers`, but there are none");
const machines = [...new Set(results.map(({ machine, threads }) => `${machine}, ${threads} threads`))];
if (machines.length > 1) throw new Error(`expected results of one machine and one number of threads, got ${machines.join("; ")}`);
const builds = new Set(results.map(({ build }) => build));
if (builds.size > 1) throw new Error(`expected results of one build, got those of ${[...builds].join(", ")}`);
const rows = summarise(results);

const { prompt, candidates } = lengthSweep;
const plots = {
	candidates: {
		title: "candidates N",
		field: "candidates",
		of: (row) => row.prompt === prompt && row.tokens === length,
	},
	tokens: {
		title: "tokens per response T",
		field: "tokens",
		of: (row) => row.prompt === prompt && row.candidates === candidates,
	},
	prompt: {
		title: "tokens of the prompt",
		field: "prompt",
		of: (row) => row.candidates === candidates && row.tokens === length,
	},
};

const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const speed = (value) => value.toFixed(value < 100 ? 1 : 0);

/** A Markdown table with one line per cell of the grid; `columns`: heading and what it makes of the cell's rows by system. */
function table(columns) {
	const cells = sort(
		group(rows, cellKey).values(),
		([{ model }]) => Object.keys(models).indexOf(model),
		([{ prompt }]) => prompt,
		([{ candidates }]) => candidates,
		([{ tokens }]) => tokens,
	);
	const lines = cells.map((inCell) => {
		const bySystem = Object.fromEntries(inCell.map((row) => [row.system, row]));
		const { model, prompt, candidates, tokens } = inCell[0];
		return [model, prompt, candidates, tokens, ...columns.map(([, figure]) => figure(bySystem))];
	});
	const heading = ["model", "prompt", "N", "T", ...columns.map(([name]) => name)];
	return [heading, heading.map(() => "---"), ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n");
}

const present = systems.map(({ name }) => name).filter((name) => rows.some(({ system }) => system === name));
const tables = {
	ratios: () =>
		table([
			["guard ÷ batched-bench", ({ guard }) => number(guard?.toCeiling, 2)],
			["decoding", ({ guard }) => number(guard?.toCeilingDecoding, 2)],
			["guard-critic ÷ batched-bench", ({ "guard-critic": judged }) => number(judged?.toCeiling, 2)],
			["bestOfN ÷ node-llama-cpp", ({ bestOfN }) => number(bestOfN?.toPeer, 2)],
			["guard ÷ node-llama-cpp", ({ guard }) => number(guard?.toPeer, 2)],
			["guard-critic ÷ node-llama-cpp", ({ "guard-critic": judged }) => number(judged?.toPeer, 2)],
			[
				"the critic's network, share of the time",
				({ "guard-critic": judged }) => (judged?.networkShare ? `${(100 * judged.networkShare).toFixed(2)} %` : "–"),
			],
		]),
	speed: () =>
		table(
			present.map((name) => [
				name,
				({ [name]: row }) =>
					row ? `${speed(row.tokensPerSecond)} (${row.tokensPerSecondQuartiles.map(speed).join("–")}; ${row.repetitions})` : "–",
			]),
		),
	memory: () => table(present.map((name) => [name, ({ [name]: row }) => number(row?.maxRssBytes && row.maxRssBytes / 2 ** 20, 0)])),
};

function about() {
	const dates = results.map(({ date }) => date.slice(0, 10)).sort();
	const days = dates[0] === dates.at(-1) ? dates[0] : `${dates[0]} to ${dates.at(-1)}`;
	const counts = rows.map(({ repetitions }) => repetitions);
	const repetitions = [...new Set([Math.min(...counts), Math.max(...counts)])].join(" to ");
	return `\`npm run bench:peers\`, ${days}, ${machines[0]}; medians of ${repetitions} repetitions.`;
}

for (const [name, { of, ...axis }] of Object.entries(plots)) {
	const shown = [...group(rows.filter(of), ({ model }) => model).values()].filter(
		(own) => new Set(own.map((row) => row[axis.field])).size > 1,
	);
	writeFileSync(join(dirname(file), `${name}.svg`), await plot(shown.flat(), axis));
}
const page = readFileSync(path("performance.template.md"), "utf8")
	.replace("{{about}}", about())
	.replace(/\{\{table:(\w+)\}\}/g, (_, name) => tables[name]());
writeFileSync(path("../../docs/performance.md"), page);
