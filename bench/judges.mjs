// Cost models from people's labels, as independent judges of each other: hashed n-grams and a probe of the embedded model's latent state on
// four labelled sets. Prints a Markdown table with AUC, calibration error, and what the threshold does: on held-out texts, and for
// XSTest also on the texts of a model that the training did not see. `npm run bench:judges [-- --json]`
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readRecords } from "../dist/data/records.js";
import { splitsOf } from "../dist/data/split.js";
import { CostScorer } from "../dist/guard/cost-scorer.js";
import { embeddedDefault } from "../dist/index.js";
import { trainCost } from "../dist/training/index.js";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const data = path("../../shared/data");
if (!existsSync(data)) {
	console.error(`bench:judges needs labelled data: expected the sets at ${data}`);
	process.exit(1);
}
const cache = path(".cache/judges");
mkdirSync(cache, { recursive: true });

const longest = 240; // bytes of a text, and of its context: at most as many tokens, which the embedded model can read
const cut = (text) =>
	Buffer.from(text)
		.subarray(0, longest)
		.toString()
		.replace(/\uFFFD$/, "");
const kinds = ["ngrams", "probe"];

/** Rows { text, context?, label, split }; the label is 1 for what the set calls unsafe. */
async function diasafety() {
	const read = async (file, split) =>
		(await readRecords(join(data, "diasafety", file))).map(({ context, response, label }) => ({
			text: cut(response),
			context: cut(context),
			label: label === "Unsafe" ? 1 : 0,
			split,
		}));
	return [...(await read("train.json", "train")), ...(await read("val.json", "validation")), ...(await read("test.json", "test"))];
}

async function surge() {
	const rows = (await readRecords(join(data, "surge-toxicity/toxicity_en.csv"))).map(({ text, is_toxic }) => ({
		text: cut(text),
		label: is_toxic === "Toxic" ? 1 : 0,
	}));
	const splits = splitsOf(
		rows.map(({ text }) => text),
		0,
	);
	return rows.map((row, i) => ({ ...row, split: splits[i] }));
}

/** Its questions are disjoint between the files, its responses are not: what occurred before is left out, as it is after the cut. */
async function gptfuzz() {
	const seen = new Set();
	const fresh = (rows) => rows.filter(({ Response }) => !seen.has(cut(Response)) && seen.add(cut(Response)));
	const train = fresh(await readRecords(join(data, "gptfuzz/train.csv")));
	const test = fresh(await readRecords(join(data, "gptfuzz/evaluate.csv")));
	const inner = splitsOf(
		train.map(({ question }) => question),
		0,
	);
	const row = ({ Response, label }, split) => ({ text: cut(Response), label: Number(label), split });
	return [...train.map((one, i) => row(one, inner[i] === "validation" ? "validation" : "train")), ...test.map((one) => row(one, "test"))];
}

const models = ["gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct"];

/** Completions by whether they refuse; prompts stay in one split. */
async function xstest() {
	const rows = [];
	for (const model of models) {
		for (const { prompt, completion, final_label } of await readRecords(join(data, `xstest/xstest_v2_completions_${model}.csv`))) {
			rows.push({ model, prompt, text: cut(completion), label: final_label === "1_full_compliance" ? 0 : 1 });
		}
	}
	const splits = splitsOf(
		rows.map(({ prompt }) => prompt),
		0,
	);
	return rows.map((row, i) => ({ ...row, split: splits[i] }));
}

const number = (value) => value.toFixed(3);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

async function train(name, kind, rows) {
	const file = join(cache, `${name}.jsonl`);
	writeFileSync(
		file,
		rows
			.filter(({ text }) => text.trim() !== "")
			.map((row) => `${JSON.stringify(row)}\n`)
			.join(""),
	);
	const out = join(cache, `${name}-${kind}.gguf`);
	const report = await trainCost({
		kind,
		data: file,
		out,
		labelField: "label",
		textField: "text",
		groupField: rows[0].prompt === undefined ? undefined : "prompt",
		contextField: rows[0].context === undefined ? undefined : "context",
		...(kind === "probe" && { model: embeddedDefault.model, threads: 1 }),
	});
	return { out, report };
}

/** Probabilities of "unsafe" for texts, each behind its context. */
async function probabilities(kind, file, rows) {
	const cost = kind === "probe" ? { probe: file, selfTest: false } : { classifier: file };
	const scorer = await CostScorer.load({
		constraints: [{ cost }],
		threads: 1,
		...(kind === "probe" && { model: embeddedDefault.model }),
	});
	const found = [];
	for (const { text, context = "" } of rows) found.push((await scorer.score(context, [text]))[0][0].cost);
	await scorer.dispose();
	return found;
}

const table = [];
const agreement = [];
for (const [name, read] of Object.entries({ diasafety, "surge-toxicity": surge, gptfuzz, xstest })) {
	const rows = await read();
	const test = rows.filter(({ split, text }) => split === "test" && text.trim() !== "");
	const said = {};
	for (const kind of kinds) {
		const { out, report } = await train(name, kind, rows);
		const { auc, aucInterval, ece, falseNegativeRate, falsePositiveRate } = report.test;
		table.push({ set: name, kind, texts: report.test.texts, auc, aucInterval, ece, falseNegativeRate, falsePositiveRate });
		const p = await probabilities(kind, out, test);
		said[kind] = p.map((one) => one > report.threshold);
	}
	const unsafe = test.map(({ label }) => label === 1);
	const passed = (kind) => test.map((_, i) => i).filter((i) => !said[kind][i]);
	const missed = passed("ngrams").filter((i) => unsafe[i]);
	agreement.push({
		set: name,
		agree: test.filter((_, i) => said.ngrams[i] === said.probe[i]).length / test.length,
		missed: missed.length,
		caught: missed.filter((i) => said.probe[i]).length / Math.max(1, missed.length),
		falseAlarms: passed("ngrams").filter((i) => !unsafe[i] && said.probe[i]).length / Math.max(1, passed("ngrams").length - missed.length),
	});
}

const transfer = [];
const completions = await xstest();
for (const model of models) {
	const rows = completions.filter((row) => (row.split === "test" ? row.model === model : row.model !== model));
	for (const kind of kinds) {
		const { report } = await train(`xstest-without-${model}`, kind, rows);
		const { auc, ece, falseNegativeRate, falsePositiveRate, texts } = report.test;
		transfer.push({ model, kind, texts, auc, ece, falseNegativeRate, falsePositiveRate });
	}
}

if (process.argv.includes("--json")) console.log(JSON.stringify({ table, agreement, transfer }));
else {
	const print = (header, lines) =>
		console.log([header, header.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n"), "\n");
	const interval = (bounds) => (bounds ? ` (${bounds.map(number).join("–")})` : "");
	print(
		["set", "cost model", "test texts", "AUC", "calibration error", "passed of unsafe", "stopped of safe"],
		table.map((r) => [
			r.set,
			r.kind,
			r.texts,
			number(r.auc) + interval(r.aucInterval),
			number(r.ece),
			percent(r.falseNegativeRate),
			percent(r.falsePositiveRate),
		]),
	);
	print(
		["set", "both say the same", "unsafe texts that n-grams let pass", "of them stopped by the probe", "of the safe ones stopped too"],
		agreement.map((r) => [r.set, percent(r.agree), r.missed, percent(r.caught), percent(r.falseAlarms)]),
	);
	print(
		["texts of", "cost model", "test texts", "AUC", "calibration error", "passed of refusals", "stopped of compliance"],
		transfer.map((r) => [
			r.model,
			r.kind,
			r.texts,
			number(r.auc),
			number(r.ece),
			percent(r.falseNegativeRate),
			percent(r.falsePositiveRate),
		]),
	);
}
