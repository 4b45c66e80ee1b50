// What the command line says about a wrong option: it speaks of the flag that was typed, of every command and every flag there is.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command, Option } from "commander";
import { beforeAll, expect, test } from "vitest";
import { program } from "../lib/cli/program.js";
import { calibrate } from "../lib/evaluation/index.js";
import { collectRollouts } from "../lib/training/index.js";
import { cli } from "./child.js";
import { writeSmallBert } from "./small-bert.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const model = smallModel(folder);
const bert = fileURLToPath(new URL("reference/encoders/bert-one-label", import.meta.url));
const base = writeSmallBert(file("base"), ["hate", "like"]);
const lines = (make: (i: number) => object) => Array.from({ length: 60 }, (_, i) => `${JSON.stringify(make(i))}\n`).join("");
writeFileSync(file("words.txt"), "w300\n");
writeFileSync(
	file("prompts.jsonl"),
	lines((i) => ({ prompt: `w${280 + i}` })),
);
writeFileSync(
	file("others.jsonl"),
	lines((i) => ({ prompt: `w${380 + i}` })),
);
writeFileSync(
	file("labelled.jsonl"),
	lines((i) => ({ prompt: `w${i}`, text: `${i % 2 ? "hate" : "like"} w${280 + i}`, label: i % 2 })),
);
writeFileSync(
	file("answers.jsonl"),
	lines((i) => ({ id: `${i}`, prompt: "a", response: "b" })),
);
writeFileSync(
	file("answers.labels.jsonl"),
	lines((i) => ({ id: `${i}`, label: "safe" })),
);
const guard = { model, cost: { lexicon: file("words.txt") }, budget: 0, threads: 1 };
const experiment = {
	name: "small",
	guard,
	data: { file: file("prompts.jsonl"), limit: 2 },
	defaults: { maxTokens: 4 },
	methods: [{ name: "base", strategy: "guard" as const }],
};
writeFileSync(file("eval.json"), JSON.stringify(experiment));

beforeAll(async () => {
	await collectRollouts({ ...guard, prompts: file("prompts.jsonl"), out: file("rollouts"), responses: 2, maxTokens: 4 });
	await calibrate({ config: experiment, evaluation: file("evaluation"), out: file("certificate") });
});

let runs = 0;
const out = () => file(`out-${runs++}`);
const loading = ["--model", model, "--threads", "1"];
const sampling = [...loading, "--prompts", file("prompts.jsonl"), "--max-tokens", "4"];

/** A sound command line of every command that has options with values. */
const sound: Record<string, (flag: string) => string[]> = {
	generate: (flag) => [
		...[...loading, "--cost", file("words.txt"), "--prompt", "w7", "--max-tokens", "4", "--candidates", "2"],
		...(["--sparsity", "--strength"].includes(flag) ? ["--steering", file("none.gguf")] : []),
	],
	serve: (flag) => [
		...[...loading, "--cost", file("words.txt"), "--port", "0"],
		...(["--sparsity", "--strength"].includes(flag) ? ["--steering", file("none.gguf")] : []),
	],
	demo: (flag) => (flag === "--model" ? ["--prompt", "hello"] : ["--embedded", "--threads", "1"]),
	rollouts: () => [...sampling, "--cost", file("words.txt"), "--out", out(), "--responses", "2"],
	answers: () => [...sampling, "--cost", file("words.txt"), "--out", out()],
	label: () => [file("answers.jsonl")],
	"train-cost": (flag) => [
		...["--data", file("labelled.jsonl"), "--out", out()],
		...(["--model", "--layers", "--device"].includes(flag) ? ["--kind", "probe", ...loading] : []),
		...(["--base", "--python", "--members", "--shared", "--minutes"].includes(flag)
			? ["--kind", "encoder", "--base", base, "--context-field", "prompt"]
			: []),
	],
	convert: () => [bert, "--out", out()],
	"steer-vector": () => [...loading, "--positive", file("prompts.jsonl"), "--negative", file("others.jsonl"), "--out", out()],
	train: () => ["--rollouts", file("rollouts"), "--out", out(), "--epochs", "1"],
	eval: () => ["--config", file("eval.json"), "--out", out()],
	calibrate: () => ["--config", file("eval.json"), "--evaluation", out(), "--out", out()],
	verify: () => [file("certificate"), "--journal", join(file("evaluation"), "journal.jsonl")],
};

const noPlace = join(file("words.txt"), "below");
const wrongNumbers = ["much", "-1", "1e999", ""];

/** Values that are wrong for an option, by what stands behind its flag in the help, or by the flag. */
const wrong: Record<string, readonly string[]> = {
	"<n>": [...wrongNumbers, "1.5"],
	"<number>": wrongNumbers,
	"<share>": [...wrongNumbers, "2"],
	"<probability>": [...wrongNumbers, "2"],
	"<file>": [noPlace, ""],
	"<folder>": [noPlace, ""],
	"<command>": [noPlace, ""],
	"<key>": [""],
	"<date>": ["yesterday", "2026-02-30", ""],
	"<name>": ["none of these", ""],
	"<label>": ["none of these", ""],
	"<list>": ["none of these", "1,much", ""],
	"<low:high>": ["low:high", "2:1", "1:2:3", ""],
	"<first:last>": ["first:last", "2:1", "1:2:3", "1:99", ""],
	"<n|all>": ["some", "-1", ""],
	"<i/n>": ["3/2", "one", ""],
	"<text>": [""],
	"generate --strength": ["much", "1e999", ""],
	"serve --strength": ["much", "1e999", ""],
	"serve --alias": ["", "a,"],
	"serve --cors-origins": ["", "http://localhost,"],
	"serve --allowed-hosts": ["", "a,"],
	"label --labels": ["ab=safe", "a,a", ""],
	"label --categories": ["a,a", ""],
	"train-cost --minutes": wrongNumbers,
};

/** How the interface for programs names options, which nobody types. */
const namesOfPrograms = /\b[a-z]+[A-Z]\w*|^(inferenceguard: | {2})[\w.]+: |\b[a-z]\w*\.\d+\b|InferenceGuard/m;

const placeholderOf = ({ flags }: Option) => /<.*>$/.exec(flags)?.[0];
const commandsWithValues = program.commands.filter(({ options }) => options.some(placeholderOf));
const cases = commandsWithValues.flatMap((command: Command) =>
	command.options.flatMap((option) => {
		const [flag, value] = [option.long as string, placeholderOf(option)];
		if (value === undefined) return [];
		const values = wrong[`${command.name()} ${flag}`] ?? wrong[value] ?? [];
		return [{ command: command.name(), flag, value, values }];
	}),
);

test("every command has a sound line, and every option a wrong value", () => {
	expect(Object.keys(sound)).toEqual(commandsWithValues.map((command) => command.name()));
	expect(cases.filter(({ values }) => values.length === 0)).toEqual([]);
});

test.each(cases.map((one) => [`${one.command} ${one.flag}`, one] as const))(
	"%s with a wrong value is refused by its name",
	async (_, { command, flag, values }) => {
		for (const value of values) {
			const { status, stderr } = await cli(command, ...(sound[command]?.(flag) ?? []), `${flag}=${value}`);
			const shown = stderr.replaceAll(folder, "");
			expect(status).not.toBe(0);
			expect(shown).toContain(flag);
			expect(shown).not.toMatch(namesOfPrograms);
			expect(shown).not.toContain("[INTERNAL]");
		}
	},
);

test("problems in an experiment's file are reported by the names in the file", async () => {
	const methods = [{ name: "base", strategy: "guard", maxTokens: 0 }];
	writeFileSync(file("wrong.json"), JSON.stringify({ ...experiment, now: "yesterday", methods, guard: { ...guard, threads: "many" } }));
	const { stderr } = await cli("eval", "--config", file("wrong.json"), "--out", out());
	for (const place of ["now: expected a date", "methods.0.maxTokens: expected", "guard.threads: expected"]) expect(stderr).toContain(place);
	expect(stderr).not.toMatch(/--now|--max-tokens|--threads/);
});
