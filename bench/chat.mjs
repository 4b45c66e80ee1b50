// A chat model on harmful and harmless prompts that no judge was trained on: the guard against what else there is, read blind.
// `npm run bench:chat -- [--quick] [--judge FILE] [--critic FILE] [--vector FILE] [--independent FILE]… [--budgets 0.1,0.2]`; see bench/chat/README.md.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { duration } from "../dist/cli/eval.js";
import { jsonFile, replaceFiles, textFile } from "../dist/data/output.js";
import { evaluate } from "../dist/evaluation/index.js";
import { isCached } from "../dist/files/model-cache.js";
import { main, step, UserError } from "../scripts/tools.mjs";
import { budgets, configOf, kinds, plan, promptsFile, sizes } from "./chat/experiments.mjs";
import { markdownOf } from "./chat/markdown.mjs";
import { drawEvenly, missingFiles, testPrompts } from "./chat/prompts.mjs";
import { drawReading, readReading, writeReading } from "./chat/reading.mjs";
import { readAsked, readResults } from "./chat/results.mjs";
import { tablesOf } from "./chat/table.mjs";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const { values: flags } = parseArgs({
	options: {
		data: { type: "string", default: path("../../shared/data") },
		out: { type: "string" },
		quick: { type: "boolean", default: false },
		judge: { type: "string", default: "harm" },
		critic: { type: "string" },
		vector: { type: "string" },
		independent: { type: "string", multiple: true, default: [] },
		budgets: { type: "string" },
		methods: { type: "string" },
		prompts: { type: "string" },
		read: { type: "string", default: "100" },
		threads: { type: "string" },
	},
});

const wordFor = { harmful: "harmful", benign: "harmless" };
const number = (given) => (given === undefined ? undefined : Number(given));

/** What is there of the files that were named. */
function present(files) {
	for (const file of files.filter((one) => !existsSync(one))) console.warn(`skipped: no judge at ${file}`);
	return files.filter((one) => existsSync(one));
}

const { quick, data } = flags;
const options = {
	quick,
	out: flags.out ?? path(`.cache/chat${quick ? "-quick" : ""}`),
	judge: flags.judge,
	critic: flags.critic,
	vector: flags.vector,
	independent: present(flags.independent),
	budgets: flags.budgets?.split(",").map(Number) ?? (quick ? [] : budgets),
	only: flags.methods?.split(","),
	prompts: number(flags.prompts),
	threads: number(flags.threads),
};
const { out } = options;

function expectWhatIsNeeded() {
	if (!isCached("smollm2")) throw new UserError("bench:chat needs a chat model; get it with: npm run models -- smollm2");
	const missing = missingFiles(data);
	if (missing.length > 0)
		throw new UserError(`bench:chat needs public sets of prompts in ${data} (name the folder with --data):\n  ${missing.join("\n  ")}`);
}

async function writePrompts() {
	mkdirSync(out, { recursive: true });
	for (const kind of kinds) {
		const file = promptsFile(out, kind);
		if (existsSync(file)) continue;
		const drawn = drawEvenly(await testPrompts(data, kind), sizes.full.all);
		writeFileSync(file, drawn.map((one) => `${JSON.stringify(one)}\n`).join(""));
	}
}

async function run() {
	const { experiments, leftOut } = plan(options);
	for (const { name, needs } of leftOut) console.warn(`skipped: ${name} needs --${needs} FILE`);
	const seconds = experiments.reduce((sum, one) => sum + one.count * one.seconds, 0);
	step(`${experiments.length} experiments into ${out}, about ${duration(seconds)} on two cores; what is there already is not repeated`);
	const stop = new AbortController();
	process.once("SIGINT", () => stop.abort());
	for (const [i, experiment] of experiments.entries()) {
		step(`${i + 1} of ${experiments.length}: ${experiment.name}, ${experiment.count} ${wordFor[experiment.kind]} prompts`);
		await evaluate({ config: await configOf(experiment, options), out: experiment.folder, signal: stop.signal });
	}
}

/** The answers to read, and the tables with what was read. */
async function tell() {
	const results = await readResults(out);
	const reading = join(out, "reading");
	const answers = writeReading(reading, drawReading(results.harmful, readAsked(out, "harmful"), Number(flags.read)));
	const tables = tablesOf(results, await readReading(reading));
	await replaceFiles(jsonFile(join(out, "table.json"), tables), textFile(join(out, "table.md"), markdownOf(tables)));
	console.log(markdownOf(tables));
	console.log(
		`Wrote table.md and table.json in ${out}. Answers to read: npx inferenceguard label ${answers} --reader NAME; then run this again.`,
	);
}

await main(async () => {
	expectWhatIsNeeded();
	await writePrompts();
	await run();
	await tell();
});
