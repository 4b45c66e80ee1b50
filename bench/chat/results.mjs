// What stands in the folder of the bench: the responses of every method that answered all its prompts, and its summary.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { resultFiles } from "../../dist/evaluation/evaluate.js";
import { readJournal, withoutSkipped } from "../../dist/evaluation/journal.js";
import { kinds, placeOf, promptsFile } from "./experiments.mjs";

async function resultIn(folder) {
	const { responses, skipped } = await readJournal(join(folder, resultFiles.journal));
	const { methods, judges } = JSON.parse(readFileSync(join(folder, resultFiles.summary), "utf8"));
	const [{ name, estimates, repaired }] = methods;
	return { name, judges, estimates, repaired, rows: new Map(withoutSkipped(responses, skipped).map((row) => [row.prompt, row])) };
}

async function resultsOf(out, kind) {
	const folder = join(out, kind);
	const names = existsSync(folder) ? readdirSync(folder) : [];
	const finished = names.map((name) => join(folder, name)).filter((path) => existsSync(join(path, resultFiles.summary)));
	const results = await Promise.all(finished.map(resultIn));
	return results.sort((a, b) => placeOf(a.name) - placeOf(b.name));
}

/** By kind of prompt: methods as { name, judges, estimates, repaired, rows by id of the prompt }. */
export async function readResults(out) {
	const found = {};
	for (const kind of kinds) found[kind] = await resultsOf(out, kind);
	return found;
}

/** Texts of the prompts of one kind by id, in the order in which they were drawn. */
export function readAsked(out, kind) {
	const lines = readFileSync(promptsFile(out, kind), "utf8").trim().split("\n");
	return new Map(lines.map((line) => JSON.parse(line)).map(({ id, prompt }) => [id, prompt]));
}
