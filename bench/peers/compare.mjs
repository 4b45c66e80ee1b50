// Walks the grid: in each cell every system once, then every system once more, beginning with the next one, so that a machine that drifts
// does so for all.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { defaultThreads } from "../../dist/base/threads.js";
import { addonPath } from "../../dist/native/addon.js";
import { criticOf, models } from "../models.mjs";
import { promptOf } from "../subject.mjs";
import { batchedBench, measureBatchedBench } from "./batched-bench.mjs";
import { cellsOf, prompts, systems, widths } from "./grid.mjs";
import { appendResult, cellKey, endLastLine, readResults, resultsFile, setResultsAside, summarise } from "./results.mjs";

const run = promisify(execFile);

const text = (value) => ({ type: "string", default: String(value) });
const flags = {
	models: text(Object.keys(models)),
	prompts: text(prompts),
	candidates: text(widths),
	tokens: { type: "string" },
	systems: text(systems.map(({ name }) => name)),
	repetitions: text(5),
	threads: text(defaultThreads()),
	resume: { type: "boolean" },
	json: { type: "boolean" },
};

function listOf(flag, asked, known) {
	const names = asked.split(",");
	const unknown = names.find((name) => !known.includes(name));
	if (unknown !== undefined) throw new Error(`--${flag}: expected some of ${known.join(", ")}, got ${unknown}`);
	return names;
}

function numbersOf(flag, asked) {
	const numbers = asked.split(",").map(Number);
	if (!numbers.every((number) => Number.isInteger(number) && number > 0)) {
		throw new Error(`--${flag}: expected whole numbers above 0, separated by commas, got ${asked}`);
	}
	return numbers;
}

/** Names the binaries that are measured. */
function hashOfBuild() {
	const hash = createHash("sha256");
	for (const file of [addonPath(), batchedBench]) hash.update(readFileSync(file));
	return hash.digest("hex").slice(0, 12);
}

/** Goes on with the results of the run before, if it measured the same build. */
function resume(build) {
	const builds = new Set(readResults().map((result) => result.build));
	builds.delete(build);
	if (builds.size > 0) throw new Error(`--resume: expected results of this build, ${build}, got those of ${[...builds].join(", ")}`);
	endLastLine();
}

async function measureHere({ runner }, job) {
	const script = fileURLToPath(new URL(`measure-${runner}.mjs`, import.meta.url));
	const { stdout } = await run(process.execPath, [script, JSON.stringify(job)], { maxBuffer: 2 ** 26 });
	return JSON.parse(stdout.trim().split("\n").at(-1));
}

async function measure(system, cell, repetition, threads) {
	const { file, vocabulary } = models[cell.model];
	const job = {
		model: file(),
		critic: system.critic ? await criticOf(cell.model, threads) : undefined,
		prompt: promptOf(cell.prompt, vocabulary),
		candidates: cell.candidates,
		tokens: cell.tokens,
		threads,
		seed: repetition,
		options: system.options?.(cell.candidates),
	};
	return system.runner === "batched-bench" ? measureBatchedBench(job) : measureHere(system, job);
}

/** Each repetition begins with another system. */
function inTurn(list, repetition) {
	const first = (repetition - 1) % list.length;
	return [...list.slice(first), ...list.slice(0, first)];
}

/** The cells that their model can run; tells which it cannot, and why. */
function feasible(cells) {
	const told = new Set();
	return cells.filter(({ model, prompt, tokens }) => {
		const { file, context } = models[model];
		const lacksFile = !existsSync(file());
		const why = lacksFile
			? `${model} is left out: there is no file of it`
			: `${model} is left out for ${prompt} + ${tokens} tokens: it was trained with ${context}`;
		const fits = !lacksFile && prompt + tokens <= context;
		if (!fits && !told.has(why)) console.error(why);
		if (!fits) told.add(why);
		return fits;
	});
}

const round = (value, digits) => (value === null ? "" : Number(value.toFixed(digits)));

function printTable(rows) {
	console.table(
		rows.map((row) => ({
			model: row.model,
			prompt: row.prompt,
			N: row.candidates,
			T: row.tokens,
			system: row.system,
			"tokens/s": round(row.tokensPerSecond, 0),
			quartiles: row.tokensPerSecondQuartiles.map((value) => value.toFixed(0)).join("–"),
			seconds: round(row.seconds, 3),
			"prompt s": round(row.promptSeconds, 3),
			tokens: row.generatedTokens,
			"÷ ceiling": round(row.toCeiling, 2),
			decoding: round(row.toCeilingDecoding, 2),
			"÷ node-llama-cpp": round(row.toPeer, 2),
			"critic's network %": row.networkShare ? round(100 * row.networkShare, 2) : "",
			"RSS MiB": row.maxRssBytes === null ? "" : round(row.maxRssBytes / 2 ** 20, 0),
		})),
	);
}

/** Runs what the command line asks for, and prints the medians. */
export async function compare() {
	const { values } = parseArgs({ options: flags });
	const known = systems.map(({ name }) => name);
	const chosen = listOf("systems", values.systems, known).map((name) => systems[known.indexOf(name)]);
	const [repetitions] = numbersOf("repetitions", values.repetitions);
	const [threads] = numbersOf("threads", values.threads);
	const cells = feasible(
		cellsOf({
			models: listOf("models", values.models, Object.keys(models)),
			prompts: numbersOf("prompts", values.prompts),
			candidates: numbersOf("candidates", values.candidates),
			tokens: values.tokens === undefined ? undefined : numbersOf("tokens", values.tokens),
		}),
	);
	const machine = `${cpus()[0].model}, ${cpus().length} cores`;
	const build = hashOfBuild();
	if (values.resume) resume(build);
	else setResultsAside();
	const keyOf = (result) => [cellKey(result), result.system, result.repetition, result.threads].join(" ");
	const done = new Set(readResults().map(keyOf));

	const planned = cells.flatMap((cell) =>
		Array.from({ length: repetitions }, (_, i) => i + 1).flatMap((repetition) =>
			inTurn(
				chosen.filter(({ only }) => only?.(cell.candidates) ?? true),
				repetition,
			)
				.map((system) => ({ system, cell, repetition }))
				.filter(({ system }) => !done.has(keyOf({ ...cell, system: system.name, repetition, threads }))),
		),
	);
	for (const [i, { system, cell, repetition }] of planned.entries()) {
		const { model, prompt, candidates, tokens } = cell;
		const name = `${model}, prompt ${prompt}, N = ${candidates}, T = ${tokens}, repetition ${repetition}, ${system.name}`;
		try {
			const figures = await measure(system, cell, repetition, threads);
			appendResult({ ...cell, system: system.name, repetition, threads, ...figures, machine, build, date: new Date().toISOString() });
			const speed = (figures.generatedTokens / figures.seconds).toFixed(0);
			console.error(`[${i + 1}/${planned.length}] ${name}: ${speed} tokens/s`);
		} catch (error) {
			console.error(`[${i + 1}/${planned.length}] ${name}: failed\n${error.message}`);
			process.exitCode = 1;
		}
	}
	const asked = new Set(cells.map(cellKey));
	const rows = summarise(readResults().filter((result) => result.threads === threads && asked.has(cellKey(result))));
	if (values.json) for (const row of rows) console.log(JSON.stringify(row));
	else printTable(rows);
	console.error(`every generation is in ${resultsFile}`);
}
