// Tries the inputs of a target in child processes, and counts what comes of it.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomNumbers } from "../../dist/data/random.js";
import { below } from "./mutations.mjs";
import { preparedSeeds, targets } from "./targets.mjs";

const usualPatienceMs = 10_000;
const inputsPerChild = 500;
/** Of a child's addresses; what asks for more runs out of memory and not the machine. AddressSanitizer takes terabytes for itself. */
const memoryKib = process.platform === "linux" && process.env.ASAN_OPTIONS === undefined ? 24 * 1024 * 1024 : undefined;

const child = fileURLToPath(new URL("child.mjs", import.meta.url));

export const findings = join(tmpdir(), "inferenceguard-fuzz-findings");

/** A child process that reads files until it ends. */
class Reader {
	#process;
	#tell = () => {};
	/** What it wrote before it ended. */
	errors = "";
	used = 0;

	constructor(target, work) {
		const command = [process.execPath, child, target, work];
		const [file, args] =
			memoryKib !== undefined ? ["sh", ["-c", `ulimit -v ${memoryKib}; exec "$0" "$@"`, ...command]] : [command[0], command.slice(1)];
		this.#process = spawn(file, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
		this.#process.stderr.on("data", (text) => {
			this.errors = (this.errors + text).slice(-2000);
		});
		this.#process.on("message", (message) => this.#tell(message));
		this.#process.on("close", (status, signal) => this.#tell({ crash: signal ?? `exit code ${status}` }));
		this.ready = this.#next();
	}

	#next() {
		return new Promise((resolve) => {
			this.#tell = resolve;
		});
	}

	async read(path, patienceMs) {
		this.used++;
		const answer = this.#next();
		this.#process.send(path, () => {});
		let timer;
		const impatience = new Promise((resolve) => {
			timer = setTimeout(() => resolve({ hang: true }), patienceMs);
		});
		const outcome = await Promise.race([answer, impatience]);
		clearTimeout(timer);
		return outcome;
	}

	end() {
		this.#process.kill("SIGKILL");
	}
}

/** What the outcome counts as, and why it is kept, if it is. */
function judged(outcome, errors) {
	if (outcome.crash) return ["crashes", `${outcome.crash}\n${outcome.stack ?? errors.trim()}`];
	if (outcome.hang) return ["hangs", outcome.stack ?? "no answer"];
	if (outcome.read) return ["read"];
	return outcome.isOurs && outcome.code !== "INTERNAL" ? ["coded"] : ["uncoded", outcome.stack.split("\n").slice(0, 3).join(" ")];
}

/**
 * Counts of what inputs of a target came to, until there are so many (of a target with a share: its share of them) or the time is over. What
 * crashes, takes longer than ten seconds or fails without a code is named and kept in a folder.
 */
export async function fuzz(name, { seconds = Number.POSITIVE_INFINITY, inputs = 1e6, seed, only, keep = findings }) {
	const target = targets[name];
	const work = mkdtempSync(join(tmpdir(), "inferenceguard-fuzz-"));
	const seeds = await preparedSeeds(target, work);
	const counts = { tried: 0, read: 0, coded: 0, uncoded: 0, crashes: 0, hangs: 0 };
	const start = performance.now();
	let reader;
	const numbers = only === undefined ? Array(Math.ceil(inputs * (target.share ?? 1))).keys() : [only];
	for (const number of numbers) {
		if (performance.now() - start > seconds * 1000) break;
		const random = randomNumbers(seed * 1e6 + number);
		const sound = seeds[below(random, seeds.length)];
		const folder = join(work, "input");
		mkdirSync(folder, { recursive: true });
		const path = join(folder, sound.name);
		writeFileSync(path, target.change(random, sound));
		if (!reader) {
			reader = new Reader(name, work);
			await reader.ready;
		}
		const outcome = await reader.read(path, target.patienceMs ?? usualPatienceMs);
		const [kind, why] = judged(outcome, reader.errors);
		counts.tried++;
		counts[kind]++;
		if (why !== undefined) {
			mkdirSync(keep, { recursive: true });
			const kept = join(keep, `${name}-${seed}-${number}-${sound.name}`);
			copyFileSync(path, kept);
			console.error(`${name}: input ${number} of seed ${seed} (${sound.name}): ${kind}: ${why}\n  kept as ${kept}`);
		}
		if (outcome.crash || outcome.hang || reader.used >= inputsPerChild) {
			reader.end();
			reader = undefined;
		}
	}
	reader?.end();
	rmSync(work, { recursive: true, force: true });
	return counts;
}
