// The default number of threads beside one thread: alone, beside as many busy processes as there are CPUs, and with a quota of one CPU.
// Pairs within one run, medians; several processes, since what a scheduler decided about one stays. `npm run bench:threads [-- --json]`
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { embeddedDefault, InferenceGuard } from "../dist/index.js";
import { models } from "./models.mjs";
import { lexicon, promptOf } from "./subject.mjs";

const processes = 3;
const pairs = 7;
const self = fileURLToPath(import.meta.url);
const run = promisify(execFile);

const subjects = {
	"two-shelves": {
		options: () => embeddedDefault,
		request: { prompt: promptOf(32, 3072), maxTokens: 96, candidates: 8, startCandidates: 8 },
	},
	"44M": {
		options: () => ({ model: models["44M"].file(), cost: { lexicon }, budget: 0 }),
		request: { prompt: promptOf(32), maxTokens: 32, candidates: 4, startCandidates: 4 },
	},
};

/** Milliseconds of the same generations with one thread and with the default. */
async function measure({ options, request }) {
	const one = await InferenceGuard.load({ ...options(), threads: 1 });
	const several = await InferenceGuard.load(options());
	const figures = { one: [], several: [], threads: 0 };
	for (let seed = 0; seed <= pairs; seed++) {
		const { timings: alone } = await one.generate({ ...request, seed });
		const { timings: together, engine } = await several.generate({ ...request, seed });
		figures.threads = engine.threads;
		if (seed === 0) continue; // warms up
		figures.one.push(alone.total);
		figures.several.push(together.total);
	}
	await Promise.all([one.dispose(), several.dispose()]);
	return figures;
}

if (process.argv[2] === "--subject") {
	console.log(JSON.stringify(await measure(subjects[process.argv[3]])));
	process.exit();
}

async function besideBusyProcesses(work) {
	const program = "const end = Date.now() + 120_000; while (Date.now() < end);";
	const busy = Array.from({ length: availableParallelism() }, () => spawn(process.execPath, ["-e", program], { stdio: "ignore" }));
	try {
		return await work();
	} finally {
		for (const one of busy) one.kill();
	}
}

/** A control group that grants one CPU: its file of processes; undefined where none can be made. */
function groupOfOneCpu() {
	const [root, file, quota] = existsSync("/sys/fs/cgroup/cgroup.controllers")
		? ["/sys/fs/cgroup", "cpu.max", "100000 100000"]
		: ["/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "100000"];
	const folder = `${root}/inferenceguard-bench-${process.pid}`;
	try {
		mkdirSync(folder);
		writeFileSync(`${folder}/${file}`, quota);
		return folder;
	} catch {
		if (existsSync(folder)) rmdirSync(folder);
		return undefined;
	}
}

const command = (name) => [process.execPath, [self, "--subject", name]];
const plain = async (name) => JSON.parse((await run(...command(name))).stdout);
const enclosed = (group) => async (name) => {
	const [node, args] = command(name);
	const { stdout } = await run("sh", ["-c", 'echo $$ > "$0" && exec "$@"', `${group}/cgroup.procs`, node, ...args]);
	return JSON.parse(stdout);
};

const sorted = (values) => [...values].sort((a, b) => a - b);
const median = (values) => sorted(values)[Math.floor(values.length / 2)];

/** Figures of some processes as one row. */
async function row(condition, name, start) {
	const figures = [];
	for (let i = 0; i < processes; i++) figures.push(await start(name));
	const [one, several] = ["one", "several"].map((key) => figures.flatMap((figure) => figure[key]));
	const ratios = several.map((time, i) => time / one[i]);
	return {
		condition,
		model: name,
		threads: figures[0].threads,
		"one thread, ms": Math.round(median(one)),
		"default, ms": Math.round(median(several)),
		"default ÷ one thread": Number(median(ratios).toFixed(2)),
		largest: Number(Math.max(...ratios).toFixed(2)),
	};
}

const rows = [];
for (const name of Object.keys(subjects)) {
	subjects[name].options(); // writes the model where it is missing
	rows.push(await row("alone", name, plain));
	rows.push(await besideBusyProcesses(() => row("beside busy processes", name, plain)));
	const group = groupOfOneCpu();
	if (group) {
		rows.push(await row("a quota of one CPU", name, enclosed(group)));
		rmdirSync(group);
	} else {
		console.error("a quota of one CPU is left out: this user cannot make a control group with one");
	}
}
console.table(rows);
if (process.argv.includes("--json")) console.log(JSON.stringify(rows));
