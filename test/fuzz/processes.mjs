// Inputs that are ends of processes: an exit, an error or a signal at a random moment. Work that is kept on disk then goes on, and comes to
// what it comes to undisturbed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { collectRollouts } from "../../dist/training/index.js";
import { below, pick } from "./mutations.mjs";
import { drawnInputs, smallModel, tabularAsked, tabularGuard, threads, writeSmallModel } from "./subjects.mjs";

const script = fileURLToPath(new URL("errand.mjs", import.meta.url));

/** How long a process may take that is told to end, and one that does its whole errand, from where it begins. */
const patienceMs = 10_000;
const errandMs = 30_000;
const longestAttemptMs = 120_000;

/** Sends a process on an errand. It resolves once it begins, to the process and how it ends. */
async function send(description) {
	const child = spawn(process.execPath, [script, JSON.stringify(description)], { stdio: ["ignore", "pipe", "pipe"] });
	let errors = "";
	child.stderr.on("data", (text) => (errors = (errors + text).slice(-1000)));
	const ended = once(child, "close").then(([status, signal]) => ({ status, signal, errors }));
	await Promise.race([once(child.stdout, "data"), ended]);
	return { child, ended };
}

async function expectEnd({ child, ended }, expected, what, milliseconds = patienceMs) {
	let hang = false;
	const timer = setTimeout(() => {
		hang = true;
		child.kill("SIGKILL");
	}, milliseconds);
	const { status, signal, errors } = await ended;
	clearTimeout(timer);
	const end = signal ?? status;
	if ([expected].flat().includes(end) && !hang) return;
	throw Object.assign(new Error(`${what}: expected ${expected}, got ${end}\n${errors}`), { hang, crash: !hang && String(end) });
}

const trainingFolder = (work) => join(work, "rollouts-to-train-on");

async function prepareExits(work) {
	await writeSmallModel(work);
	const prompts = Array.from({ length: 40 }, (_, i) => [0, 1, i % 3, (i >> 2) % 4]);
	await collectRollouts({ ...tabularGuard, prompts, responses: 4, maxTokens: 3, stride: 1, out: trainingFolder(work) });
}

/** How a process may be asked to end, and with what exit code or signal it then does. */
const expectedEnds = { exit: 5, reallyExit: 5, "an error": 1, "a rejection": 1, SIGTERM: "SIGTERM", SIGKILL: "SIGKILL" };

const guardErrands = ["load", "load and forget", "generate", "generate many", "ask a function", "wait for a function", "stream", "abort"];

function exitOf(random, work) {
	const errand = pick(random, [...guardErrands, "train"]);
	const ending = pick(random, Object.keys(expectedEnds));
	const isTable = below(random, 2) === 0;
	const model = isTable ? { ...tabularGuard } : { model: smallModel(work), cost: { lexicon: ["w29*"] } };
	const training = { rollouts: trainingFolder(work), out: join(work, `critic-${process.pid}.gguf`), width: 8, members: 2, epochs: 50 };
	return {
		errand,
		options: { threads, ...(errand === "train" ? training : model) },
		request: { ...tabularAsked, maxTokens: 50, candidates: 32, beams: 4 },
		ending,
		listener: ending === "exit" ? pick(random, [undefined, "exits", "throws", "removes others"]) : undefined,
		milliseconds: Math.round(10 ** (2.3 * random())),
	};
}

// --- Work that is kept on disk

const prompts = Array.from({ length: 24 }, (_, i) => `w${270 + (i % 20)} w29${i % 7}`);
const kept = (work) => ({ threads, model: smallModel(work), cost: { lexicon: ["w29*"] }, budget: 1 });
const readRows = (file) => readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line)); // biome-ignore format: one thought

/** Without the files that a killed process was about to rename. */
const whole = (names) => names.filter((name) => !name.endsWith(".tmp"));

/** Rows without what differs from run to run, in an order of their own. */
const lasting = (rows, fleeting) =>
	rows.map((row) => JSON.stringify(row, (key, value) => (fleeting.includes(key) ? undefined : value))).sort();

/**
 * Errands that are gone on with after a kill: their options, and what of their results has to be the same. Rollouts have one prompt per batch,
 * since rounding depends on which prompts share a step.
 */
const errands = {
	rollouts: {
		options: (work, out) => ({ ...kept(work), prompts, responses: 3, maxTokens: 10, stride: 4, batch: 3, seed: 7, out }),
		result: (out) => whole(readdirSync(out)).sort().map((name) => [name, readFileSync(join(out, name), "base64")]), // biome-ignore format: one thought
	},
	experiment: {
		options: (work, out) => ({
			config: {
				name: "x",
				guard: kept(work),
				data: { file: join(work, "prompts.txt") },
				defaults: { maxTokens: 8, candidates: 3 },
				methods: [{ name: "base", strategy: "sample" }, { name: "guard" }],
			},
			out,
		}),
		result: (out) => lasting(readRows(join(out, "journal.jsonl")), ["seconds"]),
	},
	answers: {
		options: (work, out) => ({ ...kept(work), prompts: join(work, "prompts.txt"), maxTokens: 8, out: `${out}.jsonl` }),
		result: (out) => lasting(readRows(`${out}.jsonl`), ["response", "outcome", "cost"]),
	},
}; // biome-ignore format: a table

const wholeOf = (work, errand) => join(work, `whole-${errand}.json`);

async function prepareKills(work) {
	await writeSmallModel(work);
	writeFileSync(join(work, "prompts.txt"), prompts.map((prompt) => `${prompt}\n`).join(""));
	for (const [errand, { options, result }] of Object.entries(errands)) {
		const out = join(work, `whole-${errand}`);
		const sent = await send({ errand, options: options(work, out) });
		const begin = performance.now();
		await expectEnd(sent, 0, errand, errandMs);
		writeFileSync(wholeOf(work, errand), JSON.stringify({ result: result(out), milliseconds: performance.now() - begin }));
	}
}

/** @type {Record<string, import("./subjects.mjs").Target>} */
export const processTargets = {
	exits: drawnInputs({
		share: 0.1,
		patienceMs: longestAttemptMs,
		prepare: prepareExits,
		async attempt(random, work) {
			const description = exitOf(random, work);
			const { errand, ending, milliseconds } = description;
			await expectEnd(await send(description), expectedEnds[ending], `${ending} ${milliseconds} ms into ${errand}`);
		},
	}),
	kills: drawnInputs({
		share: 0.04,
		patienceMs: longestAttemptMs,
		prepare: prepareKills,
		async attempt(random, work) {
			const errand = pick(random, Object.keys(errands));
			const { options, result } = errands[errand];
			const out = join(work, `killed-${process.pid}-${below(random, 1e9)}`);
			const undisturbed = JSON.parse(readFileSync(wholeOf(work, errand), "utf8"));
			for (let n = 1 + below(random, 3); n > 0; n--) {
				const sent = await send({ errand, options: options(work, out) });
				await Promise.race([sent.ended, sleep(random() * undisturbed.milliseconds)]);
				sent.child.kill("SIGKILL");
				await expectEnd(sent, ["SIGKILL", 0], errand); // it may have come to its end just before
			}
			await expectEnd(await send({ errand, options: options(work, out) }), 0, errand, errandMs);
			const [got, wanted] = [result(out), undisturbed.result].map((one) => JSON.stringify(one));
			if (got !== wanted) throw new Error(`${errand}: expected what an undisturbed run came to, got other rows or files in ${out}`);
			for (const path of [out, `${out}.jsonl`]) rmSync(path, { recursive: true, force: true });
		},
	}),
};
