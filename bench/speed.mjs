// What the guarded search costs beside what the engine decodes without one (same prompt, same number of sequences, no sampling), on a
// model of random weights: speed, the critic, generations side by side, the event loop, memory. Everything in one run, ratios of
// medians. `npm run bench [-- --json]`
import { execFileSync } from "node:child_process";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { InferenceGuard } from "../dist/index.js";
import { criticOf, models } from "./models.mjs";
import { lexicon, promptOf } from "./subject.mjs";

const prompt = promptOf(256);
const maxTokens = 64;
const repetitions = 7;
const criticAlone = { estimator: "critic", pSafeThreshold: 0, ranksByValue: false };

const options = { model: models["44M"].file(), cost: { lexicon }, budget: 0 };
const critic = await criticOf("44M");

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const rounded = (value, digits) => Number(value.toFixed(digits));
const fixedWidth = (candidates) => ({ candidates, startCandidates: candidates });
const tokensPerSecond = ({ usage, timings }) => usage.generatedTokens / (timings.total / 1000);

/** Calls `measure(seed)` once to warm up and then `repetitions` times; the figures of all calls by name. */
async function repeat(measure) {
	await measure(0);
	const figures = {};
	for (let seed = 1; seed <= repetitions; seed++) {
		for (const [name, value] of Object.entries(await measure(seed))) figures[name] = [...(figures[name] ?? []), value];
	}
	return figures;
}

async function speed(guard, candidates) {
	const { bare, guarded, judged, engineShare, networkShare } = await repeat(async (seed) => {
		const bare = (candidates * maxTokens) / (await guard.bareDecode(prompt.length, candidates, maxTokens));
		const request = { prompt, ...fixedWidth(candidates), maxTokens, seed };
		const guarded = await guard.generate({ ...request, ...criticAlone, estimator: "models" });
		const judged = await guard.generate({ ...request, ...criticAlone });
		return {
			bare,
			guarded: tokensPerSecond(guarded),
			judged: tokensPerSecond(judged),
			engineShare: (guarded.timings.prefill + guarded.timings.decode) / guarded.timings.total,
			networkShare: judged.timings.critic / judged.timings.total,
		};
	});
	return {
		candidates,
		"bare tokens/s": Math.round(median(bare)),
		"guarded ÷ bare": rounded(median(guarded) / median(bare), 3),
		"with critic ÷ bare": rounded(median(judged) / median(bare), 3),
		"share in the engine": rounded(median(engineShare), 3),
		"critic's network": rounded(median(networkShare), 4),
	};
}

/**
 * Throughput of generations that run at the same time beside that of the same ones in turn; and what the engine gains from as many
 * sequences, where each generation's prompt is read as well.
 */
async function sideBySide(guard, generations, candidates) {
	const request = (seed, i) => ({ prompt: promptOf(32 + i), ...fixedWidth(candidates), beams: 1, maxTokens, seed: generations * seed + i });
	const requests = (seed) => Array.from({ length: generations }, (_, i) => request(seed, i));
	const timed = async (run) => {
		const start = performance.now();
		const replies = await run();
		return replies.reduce((sum, { usage }) => sum + usage.generatedTokens, 0) / (performance.now() - start);
	};
	const { gain, engineGain } = await repeat(async (seed) => {
		const inTurn = await timed(async () => {
			const replies = [];
			for (const one of requests(seed)) replies.push(await guard.generate(one));
			return replies;
		});
		const together = await timed(() => Promise.all(requests(seed).map((one) => guard.generate(one))));
		const narrow = await guard.bareDecode(32, candidates, maxTokens);
		const wide = await guard.bareDecode(32, generations * candidates, maxTokens);
		const reading = await guard.bareDecode(32, 1, 0);
		return { gain: together / inTurn, engineGain: (generations * narrow) / (wide + (generations - 1) * reading) };
	});
	return {
		generations,
		candidates,
		"side by side ÷ in turn": rounded(median(gain), 2),
		"the engine alone": rounded(median(engineGain), 2),
	};
}

/** Milliseconds between turns of a timer of one millisecond while a search runs. */
async function eventLoopDelay(guard, candidates) {
	const { p99, largest } = await repeat(async (seed) => {
		const delay = monitorEventLoopDelay({ resolution: 1 });
		delay.enable();
		await guard.generate({ prompt, ...fixedWidth(candidates), maxTokens, ...criticAlone, seed });
		delay.disable();
		return { p99: delay.percentile(99) / 1e6, largest: delay.max / 1e6 };
	});
	return { candidates, "p99 ms": rounded(median(p99), 1), "largest ms": rounded(Math.max(...largest), 1) };
}

/** Both with as many KV cells: the bare decoder fills those that the search plans. */
function peakMemory(candidates) {
	const program = fileURLToPath(new URL("peak-memory.mjs", import.meta.url));
	const run = (guarded, tokens) => {
		const job = { guarded, options, critic, prompt, candidates, maxTokens: tokens, request: { ...criticAlone, seed: 1 } };
		return JSON.parse(execFileSync(process.execPath, [program, JSON.stringify(job)], { encoding: "utf8" }));
	};
	const thrice = (guarded, tokens) => Array.from({ length: 3 }, () => run(guarded, tokens));
	const peak = (runs) => median(runs.map(({ bytes }) => bytes)) / 2 ** 20;
	const searches = thrice(true, maxTokens);
	const bareTokens = Math.floor((searches[0].cells - prompt.length) / candidates);
	const [guarded, bare] = [peak(searches), peak(thrice(false, bareTokens))];
	return {
		candidates,
		"KV cells": searches[0].cells,
		"bare MiB": Math.round(bare),
		"with critic MiB": Math.round(guarded),
		"÷ bare": rounded(guarded / bare, 3),
	};
}

const guard = await InferenceGuard.load({ ...options, critic });
const tables = {
	speed: [await speed(guard, 8), await speed(guard, 32)],
	sideBySide: [await sideBySide(guard, 4, 4)],
	eventLoopDelay: [await eventLoopDelay(guard, 32)],
};
await guard.dispose();
tables.peakMemory = [8, 32, 64].map(peakMemory);

for (const table of Object.values(tables)) console.table(table);
if (process.argv.includes("--json")) console.log(JSON.stringify(tables));
