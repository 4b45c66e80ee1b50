import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { type EvaluationPrompt, type PromptSource, readPrompts } from "../lib/evaluation/datasets.js";
import { type PresetName, presetNames } from "../lib/evaluation/presets.js";
import { sharedFile, testWith } from "./shared.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

function written(name: string, content: string | Uint8Array): string {
	const path = join(folder, name);
	writeFileSync(path, content);
	return path;
}

type Rows = Record<string, unknown>[];
const quoted = (value: unknown) => `"${String(value ?? "").replaceAll('"', '""')}"`;
const csv = (rows: Rows) => [Object.keys(rows[0]!), ...rows.map(Object.values)].map((row) => row.map(quoted).join(",")).join("\n");
const jsonLines = (rows: Rows) => rows.map((row) => JSON.stringify(row)).join("\n");
const parquet = (rows: Rows) => {
	const columns = Object.keys(rows[0]!).map((name) => ({ name, data: rows.map((row) => row[name]) }));
	return new Uint8Array(parquetWriteBuffer({ columnData: columns as Parameters<typeof parquetWriteBuffer>[0]["columnData"] }));
};

const prompt = (id: string, text: string, more: Partial<EvaluationPrompt> = {}): EvaluationPrompt => ({
	id,
	text,
	label: null,
	category: null,
	split: null,
	...more,
});

describe("the layout of", () => {
	test("PKU-SafeRLHF gives each prompt once, without a label", async () => {
		const pair = { response_0: "Flour.", response_1: "Water.", is_response_0_safe: true, is_response_1_safe: false, safer_response_id: 0 };
		const rows = ["How is bread baked?", "How is bread baked?", "Who tunes a piano?"].map((one) => ({ prompt: one, ...pair }));
		const expected = [prompt("1", "How is bread baked?"), prompt("3", "Who tunes a piano?")];
		expect(await readPrompts({ preset: "pku-saferlhf", file: written("pku.jsonl", jsonLines(rows)) })).toEqual(expected);
		expect(await readPrompts({ preset: "pku-saferlhf", file: written("pku.parquet", parquet(rows)) })).toEqual(expected);
	});

	test("BeaverTails gives each prompt once, without the labels of its responses", async () => {
		const rows = [true, false, true].map((is_safe, i) => ({
			prompt: i < 2 ? "What do owls eat?" : "Where do swifts sleep?",
			response: `answer ${i}`,
			category: { animal_abuse: !is_safe, privacy_violation: false },
			is_safe,
		}));
		expect(await readPrompts({ preset: "beavertails", file: written("beaver.jsonl", jsonLines(rows)) })).toEqual([
			prompt("1", "What do owls eat?"),
			prompt("3", "Where do swifts sleep?"),
		]);
		const evaluation = [{ prompt: "What do owls eat?", category: "animal_abuse", category_id: 0 }];
		const source = { preset: "beavertails", file: written("beaver-evaluation.json", JSON.stringify(evaluation)) } as const;
		expect((await readPrompts({ ...source, categoryField: "category" }))[0]?.category).toBe("animal_abuse");
	});

	test("HH-RLHF gives the conversation up to the last response", async () => {
		const rows = [
			{ chosen: "\n\nHuman: Hello\n\nAssistant: Hi, friend!", rejected: "\n\nHuman: Hello\n\nAssistant: Go away" },
			{ chosen: "\n\nHuman: One\n\ntwo\n\nAssistant: Three\n\nHuman: Four\n\nAssistant: Five", rejected: "" },
			{ chosen: "\n\nHuman: Hello\n\nAssistant: Good day", rejected: "" },
		];
		const expected = [
			prompt("1", "\n\nHuman: Hello\n\nAssistant:", { messages: [{ role: "user", content: "Hello" }] }),
			prompt("2", "\n\nHuman: One\n\ntwo\n\nAssistant: Three\n\nHuman: Four\n\nAssistant:", {
				messages: [
					{ role: "user", content: "One\n\ntwo" },
					{ role: "assistant", content: "Three" },
					{ role: "user", content: "Four" },
				],
			}),
		];
		expect(await readPrompts({ preset: "hh-rlhf", file: written("hh.jsonl", jsonLines(rows)) })).toEqual(expected);
		const broken = written("hh-broken.jsonl", jsonLines([{ chosen: "Hello", rejected: "" }]));
		await expect(readPrompts({ preset: "hh-rlhf", file: broken })).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining("row 1: expected a transcript"),
		});
	});

	test("SALAD-Bench gives base and attack-enhanced questions", async () => {
		const categories = { "1-category": "O5: Tea", "2-category": "O14: Green Tea", "3-category": "O60: Sencha" };
		const base = [{ qid: 7, question: "How hot?", source: "GPT-Gen", ...categories }];
		const attack = [{ aid: 1, qid: 7, augq: "Pretend to be a kettle. How hot?", baseq: "How hot?", method: "human", ...categories }];
		const more = { label: "harmful", category: "O5: Tea" } as const;
		expect(await readPrompts({ preset: "salad-bench", file: written("base_set.json", JSON.stringify(base)) })).toEqual([
			prompt("7", "How hot?", more),
		]);
		expect(await readPrompts({ preset: "salad-bench-attack", file: written("attack.parquet", parquet(attack)) })).toEqual([
			prompt("1", "Pretend to be a kettle. How hot?", more),
		]);
	});

	test("SODE gives benign questions", async () => {
		const file = written("sode.csv", csv([{ question: "Why is the sky blue?" }]));
		expect(await readPrompts({ preset: "sode", file })).toEqual([prompt("1", "Why is the sky blue?", { label: "benign" })]);
	});

	test("XSTest gives safe and unsafe prompts", async () => {
		const rows = [
			{ id: 1, prompt: "How do I kill a process?", type: "homonyms", label: "safe", focus: "kill", note: "" },
			{ id: 26, prompt: "An unsafe stand-in", type: "contrast_homonyms", label: "unsafe", focus: "", note: "" },
		];
		const expected = [
			prompt("1", "How do I kill a process?", { label: "benign", category: "homonyms" }),
			prompt("26", "An unsafe stand-in", { label: "harmful", category: "contrast_homonyms" }),
		];
		expect(await readPrompts({ preset: "xstest", file: written("xstest.csv", csv(rows)) })).toEqual(expected);
		expect(await readPrompts({ preset: "xstest", file: written("xstest.parquet", parquet(rows)) })).toEqual(expected);
		// files of one label only
		expect(await readPrompts({ preset: "xstest", file: written("unsafe.csv", csv(rows.slice(1))) })).toEqual(expected.slice(1));
	});

	test("OR-Bench gives benign prompts, and its toxic set harmful ones", async () => {
		const file = written("or-bench-hard-1k.csv", csv([{ prompt: "How does a lock work?", category: "illegal" }]));
		for (const [preset, label] of [
			["or-bench", "benign"],
			["or-bench-toxic", "harmful"],
		] as const) {
			expect(await readPrompts({ preset, file })).toEqual([prompt("1", "How does a lock work?", { label, category: "illegal" })]);
		}
	});

	test("HarmBench gives behaviors after their context", async () => {
		const row = { Behavior: "Summarise it", FunctionalCategory: "standard", SemanticCategory: "illegal", Tags: "" };
		const rows = [
			{ ...row, ContextString: "", BehaviorID: "plain" },
			{ ...row, FunctionalCategory: "contextual", ContextString: "A recipe,\nin two lines", BehaviorID: "contextual" },
		];
		const more = { label: "harmful", category: "illegal" } as const;
		expect(await readPrompts({ preset: "harmbench", file: written("harmbench_behaviors_text_all.csv", csv(rows)) })).toEqual([
			prompt("plain", "Summarise it", more),
			prompt("contextual", "A recipe,\nin two lines\n\n---\n\nSummarise it", more),
		]);
	});

	test("AdvBench, StrongREJECT and AILuminate give harmful prompts", async () => {
		const advbench = written("harmful_behaviors.csv", csv([{ goal: "Write a poem", target: "Sure, here is a poem" }]));
		expect(await readPrompts({ preset: "advbench", file: advbench })).toEqual([prompt("1", "Write a poem", { label: "harmful" })]);
		const strongreject = written("strongreject.csv", csv([{ category: "Poems", source: "custom", forbidden_prompt: "Write a poem" }]));
		expect(await readPrompts({ preset: "strongreject", file: strongreject })).toEqual([
			prompt("1", "Write a poem", { label: "harmful", category: "Poems" }),
		]);
		const row = {
			release_prompt_id: "airr_1",
			prompt_text: "Write a poem",
			hazard: "ipv",
			persona: "normal",
			locale: "en_US",
			prompt_hash: "a",
		};
		const capitalised = Object.fromEntries(Object.entries(row).map(([name, value]) => [name[0]!.toUpperCase() + name.slice(1), value]));
		for (const [name, one] of Object.entries({ row, capitalised })) {
			expect(await readPrompts({ preset: "ailuminate", file: written(`${name}.csv`, csv([one])) })).toEqual([
				prompt("airr_1", "Write a poem", { label: "harmful", category: "ipv" }),
			]);
		}
	});

	test("DiaSafety gives each context once, without the labels of its responses", async () => {
		const rows = ["Safe", "Unsafe"].map((label) => ({ context: "I like tea", response: label, category: "Biased Opinion", label }));
		expect(await readPrompts({ preset: "diasafety", file: written("diasafety.json", JSON.stringify(rows)) })).toEqual([
			prompt("1", "I like tea", { category: "Biased Opinion" }),
		]);
	});

	test("JailbreakBench gives harmful and benign prompts, and each attack once", async () => {
		const rows = [
			{ text: "Write a poem", label: "safe" },
			{ text: "A harmful stand-in", label: "harmful" },
		];
		expect(await readPrompts({ preset: "jailbreakbench", file: written("jbb.json", JSON.stringify(rows)) })).toEqual([
			prompt("1", "Write a poem", { label: "benign" }),
			prompt("2", "A harmful stand-in", { label: "harmful" }),
		]);
		const published = [{ Index: 0, Goal: "Write a poem", Target: "Sure", Behavior: "Poem", Category: "Poetry", Source: "Original" }];
		expect(await readPrompts({ preset: "jailbreakbench", file: written("benign-behaviors.csv", csv(published)) })).toEqual([
			prompt("1", "Write a poem", { category: "Poetry" }),
		]);
		const attack = { method: "PAIR", model: "a", goal: "Write", category: "Poetry", prompt: "Pretend", response: "No", jailbroken: false };
		const artifacts = written("artifacts.jsonl", jsonLines([attack, { ...attack, model: "b", response: "Yes", jailbroken: true }]));
		expect(await readPrompts({ preset: "jailbreakbench-artifacts", file: artifacts })).toEqual([
			prompt("1", "Pretend", { label: "harmful", category: "Poetry" }),
		]);
	});

	test("Aegis gives the annotators' label of each prompt, without withheld prompts", async () => {
		const row = { id: "a", prompt: "Write a poem", response: "", prompt_label: "safe", response_label: "", violated_categories: "" };
		const rows = [
			row,
			{ ...row, id: "b", prompt: "A harmful stand-in", prompt_label: "unsafe", violated_categories: "Violence, Harassment" },
			{ ...row, response: "A poem", response_label: "safe" },
			{ ...row, id: "c", prompt: "REDACTED", prompt_label: "unsafe" },
			{ ...row, id: "d", prompt: "" },
		];
		const file = written("aegis.csv", csv(rows));
		const expected = [prompt("a", "Write a poem", { label: "benign" }), prompt("b", "A harmful stand-in", { label: "harmful" })];
		expect(await readPrompts({ preset: "aegis", file })).toEqual(expected);
		expect((await readPrompts({ preset: "aegis", file, categoryField: "violated_categories" }))[1]?.category).toBe("Violence, Harassment");
		await expect(readPrompts({ preset: "aegis", file: written("held-back.csv", csv(rows.slice(3))) })).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining("expected prompts in"),
		});
	});

	test("DICES gives dialogues up to the last response", async () => {
		const turns = [
			{ role: "user", content: "Hello" },
			{ role: "assistant", content: "Hi!\nHow are you?" },
			{ role: "user", content: "B: is a letter" },
		];
		const judged = (id: number, user_prompt: string, response: string) => ({
			id,
			instance: { user_prompt, response },
			annotations: { safety: { majority_human: "No", individual_human_scores: ["No"] } },
		});
		const file = (name: string, instances: Rows) =>
			written(name, JSON.stringify({ dataset: "Dices", annotations: [{ metric: "safety" }], instances }));
		const letters = "A: Hello\\nB: Hi!\\nHow are you?\\nA: B: is a letter";
		expect(await readPrompts({ preset: "dices", file: file("990.json", [judged(7, letters, "It is"), judged(8, letters, "No")]) })).toEqual(
			[prompt("7", "A: Hello\nB: Hi!\nHow are you?\nA: B: is a letter\nB:", { messages: turns })],
		);
		const names = "USER: Hello\nLAMDA: Hi!\nHow are you?\nUSER: B: is a letter";
		const expected = [prompt("3", `${names}\nLAMDA:`, { messages: turns })];
		expect(await readPrompts({ preset: "dices", file: file("350.json", [judged(3, names, "It is")]) })).toEqual(expected);
		const rating = { id: 1, rater_id: 1, item_id: 3, context: names, response: "It is", Q_overall: "No" };
		const published = written("diverse_safety_adversarial_dialog_350.csv", csv([rating, { ...rating, id: 2, rater_id: 2 }]));
		expect(await readPrompts({ preset: "dices", file: published })).toEqual(expected);
		await expect(readPrompts({ preset: "dices", file: file("other.json", [judged(1, "Hello", "Hi")]) })).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining("row 1: expected a dialogue"),
		});
	});

	test("ToxicChat gives labels of prompts, and those that people read", async () => {
		const row = {
			conv_id: "a",
			user_input: "Write a poem",
			model_output: "A poem",
			human_annotation: "True",
			toxicity: 0,
			jailbreaking: 0,
		};
		const rows = [
			{ ...row, openai_moderation: "[]" },
			{ ...row, conv_id: "b", user_input: "A harmful stand-in", toxicity: 1, jailbreaking: 1, openai_moderation: "[]" },
			{ ...row, conv_id: "c", user_input: "Write two", human_annotation: "False", openai_moderation: "[]" },
		];
		const file = written("toxic-chat_annotation_test.csv", csv(rows));
		const expected = [
			prompt("a", "Write a poem", { label: "benign" }),
			prompt("b", "A harmful stand-in", { label: "harmful" }),
			prompt("c", "Write two", { label: "benign" }),
		];
		expect(await readPrompts({ preset: "toxic-chat", file })).toEqual(expected);
		const read = await readPrompts({
			preset: "toxic-chat",
			file,
			splitField: "human_annotation",
			split: "True",
			categoryField: "jailbreaking",
		});
		expect(read.map(({ id, category }) => [id, category])).toEqual([
			["a", "0"],
			["b", "1"],
		]);
	});

	test("XSafety has rows without a header, and the topic in the file's name", async () => {
		mkdirSync(join(folder, "xsafety"));
		const file = [
			written("xsafety/Insult_n.csv", '"One, two"\n\nThree\n'),
			written("xsafety/Mental_Health.csv", "\ufeffprompt,\r\nFour,\r\n"),
		];
		expect(await readPrompts({ preset: "xsafety", file })).toEqual([
			prompt("1", "One, two", { category: "Insult" }),
			prompt("2", "Three", { category: "Insult" }),
			prompt("3", "prompt", { category: "Mental_Health" }),
			prompt("4", "Four", { category: "Mental_Health" }),
		]);
	});

	test("SimpleSafetyTests, MaliciousInstruct and AdvBench (as HarmBench) are harmful", async () => {
		const row = { id: "PH_1", harm_area: "Poems", counter: 1, category: "Instructions", prompts_final: "Write a poem" };
		expect(await readPrompts({ preset: "simple-safety-tests", file: written("sst.csv", csv([row])) })).toEqual([
			prompt("PH_1", "Write a poem", { label: "harmful", category: "Poems" }),
		]);
		expect(await readPrompts({ preset: "malicious-instruct", file: written("MaliciousInstruct.txt", "Write a poem\n") })).toEqual([
			prompt("1", "Write a poem", { label: "harmful" }),
		]);
		const behavior = { Behavior: "Write a poem", Category: "", Tags: "", ContextString: "", BehaviorID: "poem" };
		expect(await readPrompts({ preset: "advbench", file: written("advbench_behaviors.csv", csv([behavior])) })).toEqual([
			prompt("poem", "Write a poem", { label: "harmful" }),
		]);
	});

	test("plain prompts are a column, or lines of text", async () => {
		const expected = [prompt("1", "one"), prompt("2", "two")];
		expect(await readPrompts({ file: written("plain.txt", "one\n\ntwo\n") })).toEqual(expected);
		expect(await readPrompts({ file: written("plain.tsv", "text\tother\none\t1\ntwo\t2\n") })).toEqual(expected);
		expect(await readPrompts({ file: written("plain.json", '["one","two"]') })).toEqual(expected);
		expect(await readPrompts({ file: [written("a.txt", "one"), written("b.jsonl", '{"prompt":"two"}')] })).toEqual(expected);
	});
});

describe("the fields of a source", () => {
	const rows = [
		{ key: "a", say: "one", kind: "ok", topic: 1, split: "train" },
		{ key: "b", say: "two", kind: "bad", topic: null, split: "test" },
		{ key: "c", say: "three", kind: "", topic: "x", split: "test" },
	];
	const source: PromptSource = { file: written("named.jsonl", jsonLines(rows)), promptField: "say" };
	const named: PromptSource = { ...source, idField: "key", labelField: "kind", benign: ["ok", "fine"], categoryField: "topic" };

	test("the fields of a source name columns, labels and a split", async () => {
		const all = [
			prompt("a", "one", { label: "benign", category: "1", split: "train" }),
			prompt("b", "two", { label: "harmful", split: "test" }),
			prompt("c", "three", { category: "x", split: "test" }),
		];
		expect(await readPrompts(named)).toEqual(all);
		expect(await readPrompts({ ...named, split: "test" })).toEqual(all.slice(1));
		expect(await readPrompts({ ...named, splitField: "kind", split: "bad" })).toEqual([{ ...all[1], split: "bad" }]);
		// a row keeps its number
		expect((await readPrompts({ ...source, split: "test" })).map(({ id }) => id)).toEqual(["2", "3"]);
	});

	test("the fields of a source override those of a preset", async () => {
		const file = written(
			"xs.csv",
			csv([
				{ id: 1, prompt: "one", label: "fine" },
				{ id: 1, prompt: "two", label: "unsafe" },
			]),
		);
		const found = await readPrompts({ preset: "xstest", file, benign: ["fine"], idField: "prompt" });
		expect(found.map(({ id, label }) => [id, label])).toEqual([
			["one", "benign"],
			["two", "harmful"],
		]);
	});

	test("benign labels may be absent from a file of one label, or be none", async () => {
		const labels = async (kinds: string[], benign: string[]) => {
			const file = written("labels.jsonl", jsonLines(kinds.map((kind, i) => ({ text: `prompt ${i}`, kind }))));
			return (await readPrompts({ file, labelField: "kind", benign })).map(({ label }) => label);
		};
		expect(await labels(["unsafe", "unsafe"], ["safe"])).toEqual(["harmful", "harmful"]);
		expect(await labels(["unsafe", ""], ["safe"])).toEqual(["harmful", null]);
		expect(await labels(["theft", "violence"], [])).toEqual(["harmful", "harmful"]);
		await expect(labels(["theft", "violence"], ["safe"])).rejects.toMatchObject({ code: "INVALID_DATA" });
		await expect(labels(["", ""], ["safe"])).rejects.toMatchObject({ message: expect.stringContaining("got no labels") });
	});

	const invalid: [string, object, string][] = [
		["no file", {}, "file: expected the path"],
		["an empty list of files", { file: [] }, "file: expected at least one path"],
		["an unknown preset", { ...source, preset: "xs-test" }, `preset: expected one of ${presetNames.join(", ")}`],
		["an unknown field", { ...source, promptColumn: "say" }, "promptColumn: there is no such option"],
		["a label column without labels", { ...source, labelField: "kind" }, "benign: expected the labels"],
		["labels without a column", { ...source, benign: ["ok"] }, "benign: expected labelField"],
		["labels beside a preset without a column", { ...source, preset: "advbench", benign: ["ok"] }, "benign: expected labelField"],
		["a seed without a limit", { ...source, seed: 1 }, "seed: expected limit"],
		["a limit of none", { ...source, limit: 0 }, "limit: expected an integer from 1"],
	];
	for (const [name, given, message] of invalid) {
		test(`a wrong field is refused with INVALID_OPTION: ${name}`, async () => {
			const found = readPrompts(given as PromptSource);
			await expect(found).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringContaining(message) });
		});
	}

	const bad: [string, PromptSource, string][] = [
		["a missing file", { file: join(folder, "absent.csv") }, "absent.csv"],
		["a missing column", { file: source.file }, "one of the columns prompt, text for the prompt"],
		["a missing column of a preset", { file: source.file, preset: "xstest" }, "name the column with promptField"],
		["a missing column that was named", { ...named, idField: "nr" }, "expected a column nr"],
		["a split without a column", { file: written("s.txt", "one"), split: "test" }, "expected a column split"],
		["a split of no rows", { ...source, split: "dev" }, 'of the split "dev"'],
		["labels of no rows", { ...named, benign: ["OK"] }, 'expected prompts labelled "OK", got "ok", "bad"; mend benign'],
		["an id that occurs twice", { ...source, idField: "split" }, 'got "test" twice'],
		["a row without an id", { ...source, idField: "topic" }, "expected an id in the column topic of row 2"],
		["a prompt that is empty", { file: written("e.jsonl", '{"text":" "}') }, "of row 1, got an empty text"],
		["a prompt that is no text", { file: written("n.jsonl", '{"text":5}') }, "of row 1, got 5"],
		["a category that is a list", { file: written("c.jsonl", '{"text":"a","c":[1]}'), categoryField: "c" }, "got [1]"],
	];
	for (const [name, given, message] of bad) {
		test(`a wrong file is refused with INVALID_DATA: ${name}`, async () => {
			await expect(readPrompts(given)).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining(message) });
		});
	}
});

describe("packed files", () => {
	const rows = [{ text: "one" }, { text: "zwei ü" }];
	const formats: Record<string, string> = {
		txt: "one\nzwei ü\n",
		jsonl: jsonLines(rows),
		json: JSON.stringify(rows),
		csv: csv(rows),
		tsv: "text\none\nzwei ü\n",
	};
	for (const [format, content] of Object.entries(formats)) {
		test(`a packed file is read as .${format}.gz`, async () => {
			const expected = [prompt("1", "one"), prompt("2", "zwei ü")];
			expect(await readPrompts({ file: written(`packed.${format}.gz`, gzipSync(content)) })).toEqual(expected);
			// in several parts, as parallel packers write
			const half = Buffer.from(content);
			const parts = Buffer.concat([half.subarray(0, 9), half.subarray(9)].map((part) => gzipSync(part)));
			expect(await readPrompts({ file: written(`parts.${format}.GZ`, parts) })).toEqual(expected);
		});
	}

	const whole = gzipSync("one\n".repeat(1000));
	const damaged: [string, Uint8Array, string][] = [
		["cut", whole.subarray(0, whole.length - 12), "expected a gzip file of text"],
		["changed", whole.map((byte, i) => (i === whole.length - 6 ? byte ^ 255 : byte)), "expected a gzip file of text"],
		["empty", new Uint8Array(), "expected at least one row"],
		["of bytes", gzipSync(Buffer.from([0x6f, 0xe4, 0x0a])), "expected a gzip file of text"],
	];
	for (const [name, content, message] of damaged) {
		test(`a packed file that is ${name} is refused with INVALID_DATA`, async () => {
			const found = readPrompts({ file: written(`${name}.txt.gz`, content) });
			await expect(found).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining(message) });
		});
	}

	test("packed files are recognised by their content, not by their names", async () => {
		expect(await readPrompts({ file: written("unpacked.txt.gz", "one\n") })).toEqual([prompt("1", "one")]);
		expect(await readPrompts({ file: written("packed.txt", gzipSync("one\n")) })).toEqual([prompt("1", "one")]);
	});

	test("packed files must hold text: others are INVALID_DATA", async () => {
		for (const name of ["a.parquet.gz", "a.gz", "a.gz.gz"]) {
			const found = readPrompts({ file: written(name, gzipSync("one")) });
			await expect(found).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining("or one of them with .gz") });
		}
	});
});

describe("a limit", () => {
	const file = written("many.txt", Array.from({ length: 50 }, (_, i) => `prompt ${i + 1}`).join("\n"));
	const ids = async (source: Omit<PromptSource, "file">) => (await readPrompts({ file, ...source })).map(({ id }) => Number(id));

	test("a limit takes the first prompts, or all", async () => {
		expect(await ids({ limit: 3 })).toEqual([1, 2, 3]);
		expect(await ids({ limit: 500 })).toHaveLength(50);
		expect(await ids({ limit: 500, seed: 1 })).toHaveLength(50);
	});

	test("a limit with a seed takes the same prompts again, in their order", async () => {
		const found = await ids({ limit: 10, seed: 4 });
		expect(new Set(found).size).toBe(10);
		expect(found).toEqual([...found].sort((a, b) => a - b));
		expect(await ids({ limit: 10, seed: 4 })).toEqual(found);
		expect(await ids({ limit: 10, seed: 5 })).not.toEqual(found);
	});

	test("a limit with a seed takes every prompt, and every pair, equally often", async () => {
		const runs = 1500;
		const counts = new Array<number>(51).fill(0);
		let neighbours = 0;
		for (let seed = 0; seed < runs; seed++) {
			const found = await ids({ limit: 10, seed });
			for (const id of found) counts[id]!++;
			for (let id = 1; id < 50; id++) if (found.includes(id) && found.includes(id + 1)) neighbours++;
		}
		const chiSquared = counts.slice(1).reduce((sum, count) => sum + (count - runs / 5) ** 2 / (runs / 5), 0);
		// 49 degrees of freedom, shrunk by sampling without replacement; 0.999 quantile
		expect(chiSquared).toBeLessThan(86);
		// P(a pair) = 10·9 / (50·49)
		const share = neighbours / (runs * 49);
		expect(Math.abs(share - 90 / 2450)).toBeLessThan(0.003);
	});
});

describe("the encoding of a file of text", () => {
	const formats = { txt: "é\nü\n", jsonl: '"é"\n{"text":"ü"}\n', json: '["é","ü"]', csv: 'text\n"é"\nü\n', tsv: "text\né\nü\n" };
	const marked = (content: string) => Buffer.from(`\ufeff${content}`, "utf16le");
	for (const [format, content] of Object.entries(formats)) {
		test(`a file of text may be UTF-8 or UTF-16 with a byte order mark: .${format}`, async () => {
			const expected = [prompt("1", "é"), prompt("2", "ü")];
			for (const bytes of [content, `\ufeff${content}`, marked(content), marked(content).swap16()]) {
				expect(await readPrompts({ file: written(`encoded.${format}`, bytes) })).toEqual(expected);
			}
		});

		test(`a file of text in another encoding is refused: .${format}`, async () => {
			const others: [Buffer, RegExp][] = [
				[Buffer.from(content, "latin1"), /no UTF-8 in lines? \d/],
				[Buffer.from(content, "utf16le"), /NUL|no UTF-8/],
				[Buffer.from(content.replaceAll("é", "\ud800"), "utf16le"), /NUL|no UTF-8/],
				[marked(content.replaceAll("é", "\ud800")), /halves of characters in line \d/],
				[Buffer.from("PK\x03\x04", "latin1"), /a zip archive/],
				[Buffer.from("GGUF\x03", "latin1"), /a GGUF file/],
			];
			for (const [bytes, message] of others) {
				const found = readPrompts({ file: written(`other.${format}`, bytes) });
				await expect(found).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringMatching(message) });
			}
		});

		test(`a file of text may have line ends of any kind: .${format}`, async () => {
			for (const end of ["\r", "\r\n"]) {
				const file = written(`ends.${format}`, content.replaceAll("\n", end));
				expect(await readPrompts({ file })).toEqual([prompt("1", "é"), prompt("2", "ü")]);
			}
		});
	}

	test("values in Parquet must be text in UTF-8", async () => {
		const columnData = [
			{ name: "text", data: ["one"], type: "STRING" as const },
			{ name: "raw", data: [Uint8Array.of(0x6f, 0xe4)], type: "BYTE_ARRAY" as const },
		];
		const file = written("bytes.parquet", new Uint8Array(parquetWriteBuffer({ columnData })));
		expect(await readPrompts({ file })).toEqual([prompt("1", "one")]);
		const found = readPrompts({ file, promptField: "raw" });
		await expect(found).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining("got 2 bytes that are no UTF-8") });
	});

	test.skipIf(process.platform === "win32")("devices and pipes, which may have no end, are not read as prompts", async () => {
		execFileSync("mkfifo", [join(folder, "pipe.txt")]);
		symlinkSync("/dev/urandom", join(folder, "device.txt"));
		for (const name of ["pipe.txt", "device.txt"]) {
			const found = readPrompts({ file: join(folder, name) });
			await expect(found).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining("a device, pipe or socket") });
		}
	});
});

describe("any text survives", () => {
	const anyText = fc
		.oneof(
			fc.string({ unit: "binary" }),
			fc.string({ unit: fc.constantFrom('"', "'", ",", "\t", "\n", "\r", "\r\n", "\\", " ", "é", "😀", "\u2028", "\ufeff", "a") }),
		)
		.map((text) => text.replaceAll("\0", "")) // of which a file of text has none
		.filter((text) => text.trim() !== "");
	const anyTexts = fc
		.array(fc.record({ id: anyText, prompt: anyText }), { minLength: 1, maxLength: 6 })
		.map((rows) => rows.filter((row, i) => rows.findIndex(({ id }) => id === row.id) === i));

	const formats: Record<string, (rows: Rows) => string | Uint8Array> = {
		csv,
		jsonl: jsonLines,
		json: JSON.stringify,
		parquet,
	};
	for (const [format, write] of Object.entries(formats)) {
		test(`any text survives in .${format}`, async () => {
			await fc.assert(
				fc.asyncProperty(anyTexts, async (rows) => {
					const found = await readPrompts({ file: written(`any.${format}`, write(rows)), idField: "id" });
					expect(found.map(({ id, text }) => ({ id, prompt: text }))).toEqual(rows);
				}),
				{ numRuns: format === "parquet" ? 30 : 150 }, // which is read in a thread of its own
			);
		});
	}
});

describe("the real files", () => {
	const xstest = sharedFile("data/xstest/xstest_prompts.csv");
	testWith(xstest)("XSTest's file has 250 benign and 200 harmful prompts of 18 types", async () => {
		const found = await readPrompts({ preset: "xstest", file: xstest });
		const count = (label: string) => found.filter((one) => one.label === label).length;
		expect([found.length, count("benign"), count("harmful"), new Set(found.map(({ category }) => category)).size]).toEqual([
			450, 250, 200, 18,
		]);
	});

	const counts = (prompts: readonly EvaluationPrompt[]) => ({
		prompts: prompts.length,
		benign: prompts.filter(({ label }) => label === "benign").length,
		harmful: prompts.filter(({ label }) => label === "harmful").length,
		categories: new Set(prompts.flatMap(({ category }) => category ?? [])).size,
	});
	const harmful = (prompts: number, categories = 0) => ({ prompts, benign: 0, harmful: prompts, categories });
	const unlabelled = (prompts: number, categories = 0) => ({ prompts, benign: 0, harmful: 0, categories });

	const files: [PresetName, string, ReturnType<typeof counts>][] = [
		["jailbreakbench", "jailbreakbench/jailbreakbench.json", { prompts: 195, benign: 98, harmful: 97, categories: 0 }],
		["jailbreakbench-artifacts", "jailbreakbench/attack_artifacts.jsonl", harmful(1062, 10)],
		["aegis", "aegis/aegis_test.csv", { prompts: 1898, benign: 883, harmful: 1015, categories: 0 }],
		["aegis", "aegis/aegis_validation.csv", { prompts: 1182, benign: 551, harmful: 631, categories: 0 }],
		["dices", "dices/dices_350_expert.json", unlabelled(271)],
		["dices", "dices/dices_990.json", unlabelled(979)],
		["simple-safety-tests", "simple-safety-tests/simple_safety_tests.csv", harmful(88, 5)],
		["malicious-instruct", "malicious-instruct/malicious_instruct.txt", harmful(100)],
		["harmbench", "harmbench/harmbench_behaviors_text_all.csv", harmful(398, 7)],
		["advbench", "advbench/advbench_behaviors.csv", harmful(514)],
		["strongreject", "strongreject/strongreject_dataset.csv", harmful(308, 6)],
		["ailuminate", "ailuminate/airr_official_1.0_demo_en_us_prompt_set_release.csv", harmful(1094, 14)],
		["ailuminate", "ailuminate/airr_official_1.0_demo_fr_fr_prompt_set_release.csv", harmful(1100, 14)],
		["hh-rlhf", "hh-rlhf/harmless_base_test.jsonl.gz", unlabelled(2290)],
		["pku-saferlhf", "evaluation-only/pku-saferlhf/pku_saferlhf_test_pairs.json", unlabelled(929)],
	];
	for (const [preset, path, expected] of files) {
		const file = sharedFile(`data/${path}`);
		testWith(file)(`the real file of ${preset} has the published counts: ${path}`, async () => {
			expect(counts(await readPrompts({ preset, file }))).toEqual(expected);
		});
	}

	testWith(sharedFile("data/dices/dices_990.json"))(
		"the real files of DICES alternate the turns, and the user's turn is last",
		async () => {
			for (const name of ["dices_350_expert", "dices_990"]) {
				for (const { messages, text } of await readPrompts({ preset: "dices", file: sharedFile(`data/dices/${name}.json`) })) {
					expect(messages?.every(({ role }, i) => role === (i % 2 === 0 ? "user" : "assistant"))).toBe(true);
					expect((messages?.length ?? 0) % 2).toBe(1);
					expect(text).toMatch(/\n(LAMDA|B):$/);
				}
			}
		},
	);

	for (const [language, size] of Object.entries({ en: 2797, zh: 2800, de: 2800, fr: 2800 })) {
		const languageFolder = sharedFile(`data/xsafety/${language}`);
		testWith(languageFolder)(`XSafety's real files in ${language} have 14 topics`, async () => {
			const file = readdirSync(languageFolder).map((name) => join(languageFolder, name));
			expect(counts(await readPrompts({ preset: "xsafety", file }))).toEqual(unlabelled(size, 14));
		});
	}

	const answers = sharedFile("data/chat-answers/plain.jsonl.gz");
	testWith(answers)("a packed real file is read, with columns that are named", async () => {
		const source: PromptSource = { file: answers, labelField: "kind", benign: ["benign"], categoryField: "set" };
		expect(counts(await readPrompts(source))).toEqual({ prompts: 1110, benign: 226, harmful: 884, categories: 7 });
	});

	const diasafety = (split: string) => sharedFile(`data/diasafety/${split}.json`);
	testWith(diasafety("train"))("DiaSafety's real file has different contexts of 5 categories", async () => {
		const sizes = await Promise.all(
			["train", "val", "test"].map(async (split) => (await readPrompts({ preset: "diasafety", file: diasafety(split) })).length),
		);
		expect(sizes).toEqual([6512, 1029, 1046]);
		const found = await readPrompts({ preset: "diasafety", file: ["train", "val", "test"].map(diasafety) });
		expect(new Set(found.map(({ text }) => text)).size).toBe(found.length);
		expect(new Set(found.map(({ category }) => category)).size).toBe(5);
	});
});
