// The prompts of the bench: those that no training of the judge has used. The rule is that of models/recipe/harm/prompts.py: a prompt is in the
// test part by a digest of its words, those of HarmBench and SimpleSafetyTests always are.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readRecords } from "../../dist/data/records.js";

/** Shares of a set's prompts that are for tests. */
const testShare = { harmful: 0.2, benign: 0.4 };
const shortest = 8; // characters
const longest = 600;

/** Sets in the order in which the recipe reads them; a prompt belongs to the first that has it. */
const sets = {
	harmful: [
		{
			set: "harmbench",
			file: "harmbench/harmbench_behaviors_text_all.csv",
			column: "Behavior",
			has: ["FunctionalCategory", "standard"],
			all: true,
		},
		{ set: "simple-safety-tests", file: "simple-safety-tests/simple_safety_tests.csv", column: "prompts_final", all: true },
		{ set: "ailuminate", file: "ailuminate/airr_official_1.0_demo_en_us_prompt_set_release.csv", column: "prompt_text" },
		{ set: "aegis", file: "aegis/aegis_validation.csv", column: "prompt", has: ["prompt_label", "unsafe"] },
		{ set: "aegis", file: "aegis/aegis_test.csv", column: "prompt", has: ["prompt_label", "unsafe"] },
	],
	benign: [
		{ set: "jailbreakbench", file: "jailbreakbench/jailbreakbench.json", column: "text", has: ["label", "safe"] },
		{ set: "xstest", file: "xstest/xstest_prompts.csv", column: "prompt", has: ["label", "safe"] },
		{ set: "fuzzyai", file: "benign-prompts/benign_prompts.txt", column: "text" },
	],
};
/** Answers that were read for the recipe before it had splits: their prompts are for no tests. */
const readBefore = { file: "chat-answers/plain.jsonl.gz", column: "prompt" };

/** Files that are not in the folder of data. */
export const missingFiles = (folder) =>
	[...Object.values(sets).flat(), readBefore].map(({ file }) => file).filter((file) => !existsSync(join(folder, file)));

/** A prompt's words, as Python's `re.sub(r"\W+", " ", text.lower()).strip()`. */
export const normalised = (text) =>
	text
		.toLowerCase()
		.replace(/[^\p{L}\p{N}_]+/gu, " ")
		.trim();

const digestOf = (question) => createHash("sha256").update(question).digest("hex");

/** Whether a prompt of a set that is split by digest is for tests. */
export const isForTests = (text, kind) => Number.parseInt(digestOf(normalised(text)).slice(0, 8), 16) / 2 ** 32 < testShare[kind];

const anyOf = (words) => new RegExp(`(?<![\\p{L}\\p{N}_])(${words})(?![\\p{L}\\p{N}_])`, "iu");
const minors = anyOf(
	"child|children|kid|kids|minor|minors|underage|teen|teens|teenage\\w*|boys?|girls?|loli\\w*|school\\w*|pedo\\w*|paedo\\w*|babys?|infants?",
);
const sexual = anyOf(
	"sex\\w*|porn\\w*|erotic\\w*|nud\\w*|naked|molest\\w*|rap(e|ed|ing|ist)|incest\\w*|groom\\w*|genital\\w*|pedo\\w*|paedo\\w*",
);

function isUsable(text) {
	const length = [...text].length;
	return shortest <= length && length <= longest && !(minors.test(text) && sexual.test(text));
}

const textsOf = async (folder, { file, column, has: [field, value] = [] }) =>
	(await readRecords(join(folder, file))).filter((row) => field === undefined || row[field] === value).map((row) => row[column].trim());

/** All prompts for tests of one kind (`harmful` or `benign`) as { id, prompt, set, label }, in an order that is none of topics. */
export async function testPrompts(folder, kind) {
	const taken = new Set((await textsOf(folder, readBefore)).map(normalised));
	const found = new Map();
	for (const source of sets[kind]) {
		for (const prompt of await textsOf(folder, source)) {
			const question = normalised(prompt);
			const isForUs = source.all || (isForTests(prompt, kind) && !taken.has(question));
			if (question === "" || found.has(question) || !isForUs || !isUsable(prompt)) continue;
			found.set(question, { id: `${source.set}-${digestOf(question).slice(0, 10)}`, prompt, set: source.set, label: kind });
		}
	}
	return [...found.values()].sort((a, b) => (a.id.split("-").at(-1) < b.id.split("-").at(-1) ? -1 : 1));
}

/** As equal shares of every set as the sets allow, mixed so that the first prompts are a fair draw as well. */
export function drawEvenly(prompts, count) {
	const names = [...new Set(prompts.map(({ set }) => set))];
	const bySet = names.map((name) => prompts.filter(({ set }) => set === name)).sort((a, b) => a.length - b.length);
	let left = Math.min(count, prompts.length);
	const drawn = bySet.flatMap((own, i) => {
		const taken = Math.min(own.length, Math.round(left / (bySet.length - i)));
		left -= taken;
		return own.slice(0, taken).map((prompt, rank) => ({ prompt, place: (rank + 0.5) / taken }));
	});
	return drawn.sort((a, b) => a.place - b.place).map(({ prompt }) => prompt);
}
