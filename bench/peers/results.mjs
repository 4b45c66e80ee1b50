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
	const speeds = results.map(tokensPerSecond);
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
		decodedTokensPerSecond: median(results.map(decodedTokensPerSecond)),
		seconds: each("seconds"),
		secondsQuartiles: quartiles(results.map(({ seconds }) => seconds)),
		promptSeconds: each("promptSeconds"),
		generatedTokens: each("generatedTokens"),
		maxRssBytes: each("maxRssBytes"),
		networkShare: each("networkShare"),
	};
}

const tokensPerSecond = ({ generatedTokens, seconds }) => generatedTokens / seconds;
const decodedTokensPerSecond = ({ generatedTokens, seconds, promptSeconds }) => generatedTokens / (seconds - promptSeconds);

/** Median over the repetitions of both; null where there are none, or where the quartiles are a factor of two apart. */
function ratio(own, base, speed) {
	const inTurn = new Map(base.map((result) => [result.repetition, result]));
	const ratios = own
		.filter(({ repetition }) => inTurn.has(repetition))
		.map((result) => speed(result) / speed(inTurn.get(result.repetition)));
	if (ratios.length === 0) return null;
	const [low, high] = quartiles(ratios);
	return high < 2 * low ? median(ratios) : null;
}

/**
 * One row per system and cell: medians over repetitions, quartiles of the speed, and the medians of its ratios to llama-batched-bench and to
 * best-of-N with node-llama-cpp in the same repetition. In the order of the first results; systems as in the grid.
 */
export function summarise(results) {
	return [...group(results, cellKey).values()].flatMap((inCell) => {
		const of = (name) => inCell.filter(({ system }) => system === name);
		const measured = systems.filter(({ name }) => of(name).length > 0);
		const [ceiling, peer] = [of("batched-bench"), of("node-llama-cpp")];
		return measured.map(({ name }) => {
			const own = of(name);
			return {
				...medianOf(own),
				toCeiling: ratio(own, ceiling, tokensPerSecond),
				toCeilingDecoding: ratio(own, ceiling, decodedTokensPerSecond),
				toPeer: ratio(own, peer, tokensPerSecond),
			};
		});
	});
}
