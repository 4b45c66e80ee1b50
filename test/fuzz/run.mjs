// Fuzzes the readers of files: `npm run fuzz -- --target model --seconds 60 --seed 1`, or `--inputs 1000`; `--only 7` repeats one. Every input is a sound file with some changes, read
// in a child process. What crashes it, takes longer than ten seconds or fails without a code is kept and named; then the exit code is 1.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { randomNumbers } from "../../dist/data/random.js";
import { below } from "./mutations.mjs";
import { preparedSeeds, targets } from "./targets.mjs";

const patienceMs = 10_000;
const inputsPerChild = 500;
/** Of a child's addresses; what asks for more runs out of memory and not the machine. */
const memoryKib = 24 * 1024 * 1024;

const child = fileURLToPath(new URL("child.mjs", import.meta.url));

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
			process.platform === "linux" ? ["sh", ["-c", `ulimit -v ${memoryKib}; exec "$0" "$@"`, ...command]] : [command[0], command.slice(1)];
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

	async read(path) {
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
	if (outcome.crash) return ["crashes", `${outcome.crash}\n${errors.trim()}`];
	if (outcome.hang) return ["hangs", `no answer within ${patienceMs / 1000} s`];
	if (outcome.read) return ["read"];
	return outcome.isOurs && outcome.code !== "INTERNAL" ? ["coded"] : ["uncoded", outcome.stack.split("\n").slice(0, 3).join(" ")];
}

async function fuzz(name, { seconds, inputs, seed, only, keep }) {
	const target = targets[name];
	const work = mkdtempSync(join(tmpdir(), "inferenceguard-fuzz-"));
	const seeds = await preparedSeeds(target, work);
	const counts = { tried: 0, read: 0, coded: 0, uncoded: 0, crashes: 0, hangs: 0 };
	const start = performance.now();
	let reader;
	const numbers = only === undefined ? Array(inputs).keys() : [only];
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
		const outcome = await reader.read(path);
		const [kind, why] = judged(outcome, reader.errors);
		counts.tried++;
		counts[kind]++;
		if (why !== undefined) {
			mkdirSync(keep, { recursive: true });
			const kept = join(keep, `${name}-${seed}-${number}-${sound.name}`);
			copyFileSync(path, kept);
			console.log(`${name}: input ${number} of seed ${seed} (${sound.name}): ${kind}: ${why}\n  kept as ${kept}`);
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

const { values } = parseArgs({
	options: {
		target: { type: "string" },
		seconds: { type: "string", default: "60" },
		inputs: { type: "string" },
		seed: { type: "string", default: "1" },
		only: { type: "string" },
		keep: { type: "string", default: join(tmpdir(), "inferenceguard-fuzz-findings") },
	},
});
const names = values.target === undefined ? Object.keys(targets) : values.target.split(",");
const unknown = names.filter((name) => !(name in targets));
if (unknown.length > 0) {
	console.error(
		`--target: expected one of ${Object.keys(targets).join(", ")}, or several with commas between them, got ${unknown.join(", ")}`,
	);
	process.exit(2);
}
const results = {};
for (const name of names) {
	results[name] = await fuzz(name, {
		seconds: values.inputs === undefined ? Number(values.seconds) : Number.POSITIVE_INFINITY,
		inputs: Number(values.inputs ?? 1e6),
		seed: Number(values.seed),
		only: values.only === undefined ? undefined : Number(values.only),
		keep: values.keep,
	});
	console.table(results);
}
process.exitCode = Object.values(results).some(({ uncoded, crashes, hangs }) => uncoded + crashes + hangs > 0) ? 1 : 0;
