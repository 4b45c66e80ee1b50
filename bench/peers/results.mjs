// The file of results: one line per generation, written as they come; and what it says about each cell of the grid.
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { group, quantile } from "d3-array";
import { benchCache } from "../subject.mjs";
import { systems } from "./grid.mjs";

export const resultsFile = join(benchCache, "peers", "results.jsonl");

export function readResults(file = resultsFile) {
	if (!existsSync(file)) return [];
	const lines = readFileSync(file, "utf8").split("\n");
	return lines.flatMap((line) => {
		try {
			return [JSON.parse(line)];
		} catch {
			return []; // the end, or half a line
		}
	});
}

export function appendResult(result, file = resultsFile) {
	mkdirSync(dirname(file), { recursive: true });
	appendFileSync(file, `${JSON.stringify(result)}\n`);
}

/** A run that was killed may have left half a line, which nothing may be written behind. */
export function endLastLine(file = resultsFile) {
	if (existsSync(file) && !readFileSync(file, "utf8").endsWith("\n")) appendFileSync(file, "\n");
}

/** Results of an earlier run stay beside the new ones. */
export function setResultsAside(file = resultsFile) {
	if (existsSync(file)) renameSync(file, file.replace(".jsonl", `.${new Date().toISOString().replaceAll(":", "")}.jsonl`));
}

export const cellKey = ({ model, prompt, candidates, tokens }) => JSON.stringify([model, prompt, candidates, tokens]);

const median = (values) => quantile(values, 0.5);
const quartiles = (values) => [quantile(values, 0.25), quantile(values, 0.75)];

function medianOf(results) {
	const { system, model, prompt, candidates, tokens } = results[0];
	const speeds = results.map(({ generatedTokens, seconds }) => generatedTokens / seconds);
	const each = (figure) => {
		const values = results.map((result) => result[figure]).filter((value) => value !== undefined && value !== null);
		return values.length > 0 ? median(values) : null;
	};
	return {
		system,
		model,
		prompt,
		candidates,
		tokens,
		repetitions: results.length,
		tokensPerSecond: median(speeds),
		tokensPerSecondQuartiles: quartiles(speeds),
		decodedTokensPerSecond: median(
			results.map(({ generatedTokens, seconds, promptSeconds }) => generatedTokens / (seconds - promptSeconds)),
		),
		seconds: each("seconds"),
		secondsQuartiles: quartiles(results.map(({ seconds }) => seconds)),
		promptSeconds: each("promptSeconds"),
		generatedTokens: each("generatedTokens"),
		maxRssBytes: each("maxRssBytes"),
		networkShare: each("networkShare"),
	};
}

const isSteady = ({ tokensPerSecondQuartiles: [low, high] }) => high < 2 * low;

/** Of two medians; null where one is missing or its quartiles are further apart than what the ratio could say. */
const ratio = (row, base, figure) => (base && isSteady(row) && isSteady(base) ? row[figure] / base[figure] : null);

/**
 * One row per system and cell: medians over repetitions, quartiles of the speed, and ratios of medians to llama-batched-bench and to
 * best-of-N with node-llama-cpp in the same cell. In the order of the first results; systems as in the grid.
 */
export function summarise(results) {
	return [...group(results, cellKey).values()].flatMap((inCell) => {
		const rows = systems.flatMap(({ name }) => {
			const own = inCell.filter(({ system }) => system === name);
			return own.length > 0 ? [medianOf(own)] : [];
		});
		const [ceiling, peer] = ["batched-bench", "node-llama-cpp"].map((name) => rows.find(({ system }) => system === name));
		return rows.map((row) => ({
			...row,
			toCeiling: ratio(row, ceiling, "tokensPerSecond"),
			toCeilingDecoding: ratio(row, ceiling, "decodedTokensPerSecond"),
			toPeer: ratio(row, peer, "tokensPerSecond"),
			rssOverCeiling: ceiling?.maxRssBytes && row.maxRssBytes ? row.maxRssBytes - ceiling.maxRssBytes : null,
		}));
	});
}
