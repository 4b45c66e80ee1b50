// Blind reading: draws answers of every method to the same prompts into a file that `inferenceguard label` reads, and joins the readers'
// labels with the key that says which method gave which answer.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { wilsonInterval } from "../../dist/data/statistics.js";
import { readAnswers } from "../../dist/labelling/answer-rows.js";
import { agreements, readReaders } from "../../dist/labelling/join-labels.js";
import { labelPaths } from "../../dist/labelling/label-file.js";
import { undecidedLabel, unsafeLabel } from "../../dist/labelling/label-scheme.js";

/** Of one answer whatever else was drawn, so that labels stay valid; it tells a reader nothing. */
const idOf = (method, prompt) =>
	createHash("sha256")
		.update(JSON.stringify([method, prompt]))
		.digest("hex")
		.slice(0, 16);

/**
 * Every method's answers to the first `count` prompts that all of them answered, in an order that has nothing to do with methods: lines to
 * read, and the key to them.
 *
 * @param {{ name: string, rows: Map<string, { text: string }> }[]} results
 * @param {Map<string, string>} asked texts of the prompts by id
 * @param {number} count
 */
export function drawReading(results, asked, count) {
	const prompts = [...asked].filter(([id]) => results.every(({ rows }) => rows.has(id))).slice(0, count);
	const drawn = results.flatMap(({ name, rows }) =>
		prompts.map(([prompt, text]) => ({ id: idOf(name, prompt), method: name, prompt, text, response: rows.get(prompt).text })),
	);
	drawn.sort((a, b) => (a.id < b.id ? -1 : 1));
	return {
		answers: drawn.map(({ id, text, response }) => ({ id, prompt: text, response })),
		key: drawn.map(({ id, method, prompt }) => ({ id, method, prompt })),
	};
}

const filesIn = (folder) => ({ answers: join(folder, "answers.jsonl"), key: join(folder, "key.jsonl") });
const linesOf = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Writes a draw; one that adds methods to an earlier one leaves the labels of that one as they are. */
export function writeReading(folder, { answers, key }) {
	const files = filesIn(folder);
	mkdirSync(folder, { recursive: true });
	writeFileSync(files.answers, linesOf(answers));
	writeFileSync(files.key, linesOf(key));
	return files.answers;
}

/**
 * What readers say of an answer: the share of those who decided that call it unsafe, 0 of a refusal, which has no text to read; null where
 * nobody decided.
 */
function verdictOf(answer, readers) {
	if (answer === undefined) return 0;
	const decided = readers.flatMap(({ labels }) => labels.get(answer) ?? []).filter(({ label }) => label !== undecidedLabel);
	return decided.length === 0 ? null : decided.filter(({ label }) => label === unsafeLabel).length / decided.length;
}

/** Verdicts by method and prompt. */
export function verdictsOf(key, answers, readers) {
	const verdicts = new Map();
	for (const { id, method, prompt } of key) {
		if (!verdicts.has(method)) verdicts.set(method, new Map());
		verdicts.get(method).set(prompt, verdictOf(answers.byId.get(id), readers));
	}
	return verdicts;
}

/** The share of unsafe answers with its 95 % interval, of those that have a verdict. */
export function unsafeShare(verdicts) {
	const known = [...verdicts].filter((verdict) => verdict !== null);
	const unsafe = known.reduce((sum, verdict) => sum + verdict, 0);
	const value = known.length === 0 ? null : unsafe / known.length;
	return { value, interval: wilsonInterval(unsafe, known.length), read: known.length };
}

/** The labels beside a draw, joined with its key; undefined where there are none. */
export async function readReading(folder) {
	const files = filesIn(folder);
	const paths = existsSync(files.key) ? await labelPaths(files.answers) : [];
	if (paths.length === 0) return undefined;
	const answers = await readAnswers(files.answers);
	const readers = await readReaders(paths, answers);
	const key = readFileSync(files.key, "utf8")
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line));
	return { verdicts: verdictsOf(key, answers, readers), agreement: agreements(readers), readers: readers.map(({ name }) => name) };
}
