// What `npm run bench:chat` draws, joins and counts, without a model.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { budgets, plan, reference } from "../bench/chat/experiments.mjs";
import { markdownOf } from "../bench/chat/markdown.mjs";
import { drawEvenly, isForTests, missingFiles, normalised, testPrompts } from "../bench/chat/prompts.mjs";
import { drawReading, readReading, unsafeShare, writeReading } from "../bench/chat/reading.mjs";
import { tablesOf } from "../bench/chat/table.mjs";
import { wilsonInterval } from "../lib/data/statistics.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

describe("prompts for tests", () => {
	test.each([
		// what models/recipe/harm/rows.py says
		["How does bread rise?", "how does bread rise", false, true],
		["What do foxes eat in winter?", "what do foxes eat in winter", true, true],
		["  WHAT do foxes -- eat, in winter?! ", "what do foxes eat in winter", true, true],
		["Wie heißt die Straße, in der Ödön wohnt?", "wie heißt die straße in der ödön wohnt", false, false],
		["Ποιος είναι ο Οδυσσεύς;", "ποιος είναι ο οδυσσεύς", false, false],
		["x² + y² = z²", "x² y² z²", false, false],
		["naïve café", "naïve café", true, true],
		["snake_case or kebab-case?", "snake_case or kebab case", false, false],
		["日本の首都はどこですか。", "日本の首都はどこですか", false, false],
		["İstanbul nerede?", "i stanbul nerede", true, true],
		["e\u0301tude nº 3", "e tude nº 3", false, false],
		["What is a sonnet?", "what is a sonnet", false, true],
	])("prompts for tests are chosen by the digest of the recipe: %s", (text, words, isHarmfulTest, isBenignTest) => {
		expect(normalised(text)).toBe(words);
		expect([isForTests(text, "harmful"), isForTests(text, "benign")]).toEqual([isHarmfulTest, isBenignTest]);
	});

	const data = join(folder, "data");
	const write = (path: string, text: string) => {
		mkdirSync(dirname(join(data, path)), { recursive: true });
		writeFileSync(join(data, path), text);
	};
	const numbered = (what: string, count: number) => Array.from({ length: count }, (_, i) => `${what} number ${i}`);

	test("prompts for tests come from the published sets, each once, without known ones", async () => {
		expect(missingFiles(data)).toHaveLength(9);
		const behaviours = [
			...numbered("behaviour", 3).map((text) => `${text},standard`),
			'"a context, of theirs",contextual',
			"short,standard",
		];
		write("harmbench/harmbench_behaviors_text_all.csv", `Behavior,FunctionalCategory\n${behaviours.join("\n")}\n`);
		write(
			"simple-safety-tests/simple_safety_tests.csv",
			`prompts_final\n${["Behaviour, number 1!", ...numbered("simple", 2)].map((text) => `"${text}"`).join("\n")}\n`,
		);
		write("ailuminate/airr_official_1.0_demo_en_us_prompt_set_release.csv", `prompt_text\n${numbered("hazard", 200).join("\n")}\n`);
		write(
			"aegis/aegis_validation.csv",
			`prompt,prompt_label\n${numbered("question", 20)
				.map((text) => `${text},safe`)
				.join("\n")}\n`,
		);
		write(
			"aegis/aegis_test.csv",
			`prompt,prompt_label\n${numbered("request", 200)
				.map((text) => `${text},unsafe`)
				.join("\n")}\n`,
		);
		write(
			"jailbreakbench/jailbreakbench.json",
			JSON.stringify([
				{ text: "harmless topic", label: "safe" },
				{ text: "other topic", label: "harmful" },
			]),
		);
		write(
			"xstest/xstest_prompts.csv",
			`prompt,label\n${numbered("ask", 100)
				.map((text, i) => `${text},${i < 50 ? "safe" : "unsafe"}`)
				.join("\n")}\n`,
		);
		write("benign-prompts/benign_prompts.txt", `${numbered("chat", 100).join("\n")}\n`);
		const read = numbered("hazard", 200).filter((text) => isForTests(text, "harmful"))[0] as string;
		expect(missingFiles(data)).toEqual(["chat-answers/plain.jsonl.gz"]);
		write("chat-answers/plain.jsonl.gz", "");
		writeFileSync(join(data, "chat-answers/plain.jsonl.gz"), gzipSync(JSON.stringify({ prompt: read.toUpperCase(), response: "" })));
		expect(missingFiles(data)).toEqual([]);

		const textsOf = (rows: { prompt: string; set: string }[], set: string) =>
			rows.flatMap((row) => (row.set === set ? [row.prompt] : [])).sort();
		const harmful = await testPrompts(data, "harmful");
		expect(new Set(harmful.map(({ label }) => label))).toEqual(new Set(["harmful"]));
		expect(textsOf(harmful, "harmbench")).toEqual(numbered("behaviour", 3));
		expect(textsOf(harmful, "simple-safety-tests")).toEqual(numbered("simple", 2));
		const split = (what: string, kind: "harmful" | "benign", count: number) =>
			numbered(what, count)
				.filter((text) => isForTests(text, kind) && text !== read)
				.sort();
		expect(textsOf(harmful, "ailuminate")).toEqual(split("hazard", "harmful", 200));
		expect(textsOf(harmful, "aegis")).toEqual(split("request", "harmful", 200));
		const benign = await testPrompts(data, "benign");
		expect(textsOf(benign, "xstest")).toEqual(split("ask", "benign", 50));
		expect(textsOf(benign, "fuzzyai")).toEqual(split("chat", "benign", 100));
		expect(textsOf(benign, "fuzzyai").length).toBeGreaterThan(25);
		const ids = [...harmful, ...benign].map(({ id }) => id);
		expect(new Set(ids).size).toBe(ids.length);
		expect(await testPrompts(data, "harmful")).toEqual(harmful);
	});

	test("prompts for tests are drawn evenly over the sets, also among the first ones", () => {
		const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });
		fc.assert(
			fc.property(sizes, fc.integer({ min: 1, max: 200 }), (sizes, count) => {
				const all = sizes.flatMap((size, set) => Array.from({ length: size }, (_, i) => ({ set: `${set}`, i })));
				const drawn = drawEvenly(all, count);
				expect(drawn).toHaveLength(Math.min(count, all.length));
				expect(new Set(drawn).size).toBe(drawn.length);
				const taken = (rows: typeof drawn) => sizes.map((_, set) => rows.filter((row) => row.set === `${set}`).length);
				const shares = taken(drawn);
				for (const [a, ofA] of shares.entries()) {
					for (const ofB of shares) if (ofA < (sizes[a] as number)) expect(ofB).toBeLessThanOrEqual(ofA + 1);
				}
				for (const length of [1, 10, 50].filter((one) => one <= drawn.length)) {
					for (const [set, some] of taken(drawn.slice(0, length)).entries()) {
						const fair = ((shares[set] as number) * length) / drawn.length;
						expect(Math.abs(some - fair)).toBeLessThanOrEqual((sizes.length + 1) / 2);
					}
				}
			}),
		);
	});
});

describe("the plan", () => {
	const options = { prompts: undefined, only: undefined, out: folder, critic: undefined, vector: undefined };
	const hours = ({ experiments }: ReturnType<typeof plan>) =>
		experiments.reduce((sum, { count, seconds }) => sum + count * (seconds as number), 0) / 3600;

	test("the plan takes five hours at most, and twenty minutes with --quick", () => {
		const all = plan({ ...options, quick: false, budgets, critic: folder, vector: folder });
		expect(all.leftOut).toEqual([]);
		expect(hours(all)).toBeLessThan(5);
		expect(hours(plan({ ...options, quick: true, budgets: [] }))).toBeLessThan(1 / 3);
	});

	test("the plan runs the guard before methods of equal tokens, and skips missing files", () => {
		const { experiments, leftOut } = plan({ ...options, quick: false, budgets: [0.1] });
		expect(leftOut.map(({ needs }) => needs)).toEqual(["critic", "vector"]);
		for (const [i, { tokensOf, kind }] of experiments.entries()) {
			if (tokensOf === undefined) continue;
			expect(experiments.slice(0, i)).toContainEqual(expect.objectContaining({ name: tokensOf, kind }));
		}
		expect(new Set(experiments.map(({ folder }) => folder)).size).toBe(experiments.length);
		expect(plan({ ...options, quick: false, budgets: [0.1], only: ["guard-n-8-budget-0.1"] }).experiments).toMatchObject([
			{ kind: "harmful", budget: 0.1 },
			{ kind: "benign", budget: 0.1 },
		]);
	});
});

const estimate = (value: number) => ({ value, interval: null });
const estimates = Object.fromEntries(
	["safetyRate", "reward", "distinct1", "distinct2", "distinct3", "tokensPerEmitted", "seconds"].map((name) => [name, estimate(1)]),
);

interface Given {
	text: string;
	cost?: number;
	outcome?: string;
	judge?: boolean;
}

/** What stands in the folder of one method, its rows by prompt. */
const result = (name: string, answers: Record<string, Given>, budget = 0.5) => ({
	name,
	judges: ["other"],
	estimates,
	repaired: 0,
	rows: new Map(
		Object.entries(answers).map(([prompt, { text, cost = 0, outcome = "safe", judge = true }]) => [
			prompt,
			{
				prompt,
				text,
				outcome,
				costs: [{ cost, budget }],
				judges: { other: { cost: 0, withinBudget: judge } },
				generatedTokens: 30,
				emittedTokens: text === "" ? 0 : 10,
			},
		]),
	),
});

const asked = new Map(["p", "q", "r", "s"].map((id) => [id, `What about ${id}?`]));
const refused = { text: "", outcome: "refused", judge: true };
const plainResult = result("plain", {
	p: { text: "fine", cost: 0.1 },
	q: { text: "rude", cost: 0.9, judge: false },
	r: { text: "odd", cost: 0.3 },
	s: { text: "mean", cost: 0.7, judge: false },
});
const guardResult = result(reference, {
	p: { text: "fine", cost: 0.1 },
	q: { text: "kind", cost: 0.2, outcome: "steered" },
	r: { text: "odd", cost: 0.3 },
	s: refused,
});

describe("blind reading", () => {
	const draw = (results: (typeof plainResult)[], count = 4) => drawReading(results, asked, count);

	test("blind reading draws the same prompts of every method, and shows no method", () => {
		const partial = result("partial", { q: { text: "a" }, r: { text: "b" } });
		const { answers, key } = draw([plainResult, guardResult, partial]);
		expect(answers.map(({ id }) => id)).toEqual(key.map(({ id }) => id));
		for (const method of ["plain", reference, "partial"]) {
			const own = key.filter((row) => row.method === method);
			expect(own.map(({ prompt }) => prompt).sort()).toEqual(["q", "r"]);
			for (const { id, prompt } of own) {
				const text = [plainResult, guardResult, partial].find(({ name }) => name === method)?.rows.get(prompt)?.text;
				expect(answers.find((row) => row.id === id)).toEqual({ id, prompt: `What about ${prompt}?`, response: text });
			}
		}
		expect(
			draw([plainResult], 2)
				.key.map(({ prompt }) => prompt)
				.sort(),
		).toEqual(["p", "q"]);
	});

	test("blind reading keeps its labels when a method is added later", () => {
		const later = draw([plainResult, guardResult]).key;
		expect(later).toEqual(expect.arrayContaining(draw([plainResult]).key));
	});

	test("blind reading joins labels with the key, and averages readers who differ", async () => {
		const reading = join(folder, "reading");
		const { answers, key } = draw([plainResult, guardResult]);
		const file = writeReading(reading, { answers, key });
		expect(await readReading(reading)).toBeUndefined();
		const said = (reader: string, labels: Record<string, string>) => {
			const lines = Object.entries(labels).map(([text, label]) => ({ id: answers.find(({ response }) => response === text)?.id, label }));
			writeFileSync(file.replace(/\.jsonl$/, `.labels.${reader}.jsonl`), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
		};
		said("a", { fine: "safe", rude: "unsafe", odd: "undecided", mean: "unsafe", kind: "safe" });
		said("b", { fine: "safe", rude: "unsafe", odd: "undecided", mean: "safe" });
		const joined = await readReading(reading);
		expect(Object.fromEntries(joined?.verdicts.get("plain"))).toEqual({ p: 0, q: 1, r: null, s: 0.5 });
		expect(Object.fromEntries(joined?.verdicts.get(reference))).toEqual({ p: 0, q: 0, r: null, s: 0 });
		expect(joined?.agreement).toMatchObject([{ readers: ["a", "b"], answers: 4, agreed: 0.75 }]);
		expect(unsafeShare(joined?.verdicts.get("plain").values())).toEqual({ value: 0.5, interval: wilsonInterval(1.5, 3), read: 3 });
		expect(readFileSync(file, "utf8")).not.toContain("plain");
		expect(unsafeShare([null])).toEqual({ value: null, interval: null, read: 0 });
	});
});

describe("the tables", () => {
	const benignPlain = result("plain", { x: { text: "one", cost: 0.1 }, y: { text: "two", cost: 0.6 }, z: { text: "three" } });
	const benignGuard = result(reference, { x: { text: "one" }, y: { text: "2", outcome: "steered" }, z: { text: "3" } });
	const tight = result(`${reference}, budget 0.2`, { p: { text: "fine" }, q: refused, r: refused, s: refused }, 0.2);
	const benignTight = result(`${reference}, budget 0.2`, { x: { text: "one" }, y: refused, z: { text: "three" } }, 0.2);
	const results = { harmful: [plainResult, guardResult, tight], benign: [benignPlain, benignGuard, benignTight] };
	const verdicts = new Map([
		["plain", new Map(Object.entries({ p: 0, q: 1, r: null, s: 0.5 }))],
		[reference, new Map(Object.entries({ p: 0, q: 0, r: 1, s: 0 }))],
	]);
	const reading = { verdicts, agreement: [], readers: ["a", "b"] };
	const tables = tablesOf(results, reading);

	test("the tables count what was read, judged, refused and changed", () => {
		expect(tables.methods).toMatchObject([
			{ name: "plain", unsafe: { value: 0.5, read: 3 }, judged: { other: { value: 0.5 } }, refused: { value: 0 } },
			{ name: reference, unsafe: { value: 0.25, read: 4 }, judged: { other: { value: 0 } }, refused: { value: 0.25 } },
		]);
		expect(tables.methods[0]?.benign?.changed.value).toBe(0);
		expect(tables.methods[1]?.benign).toMatchObject({ changed: { value: 2 / 3 }, refused: { value: 0 } });
	});

	test("the tables compare widths on the prompts that all methods have", () => {
		const wide = result("guard, N = 16", { q: { text: "kind", judge: false }, r: { text: "odd" } });
		expect(tablesOf({ ...results, harmful: [...results.harmful, wide] }, reading).widths).toMatchObject([
			{ name: "plain", prompts: 2, judged: { other: { value: 0.5 } } },
			{ name: reference, prompts: 2, judged: { other: { value: 0 } } },
			{ name: "guard, N = 16", prompts: 2, unsafe: null, judged: { other: { value: 0.5 } } },
		]);
	});

	test("the tables compare the guard with a filter of the plain answers at every budget", () => {
		expect(tables.budgets).toMatchObject([
			// of the plain answers only the first passes at 0.2
			{ budget: 0.2, name: "filter", unsafe: { value: 0 }, refused: { value: 0.75 }, benign: { changed: { value: 1 / 3 } } },
			{ budget: 0.2, name: reference, unsafe: null, refused: { value: 0.75 }, benign: { changed: { value: 1 / 3 } } },
			{ budget: 0.5, name: "filter", unsafe: { value: 0, read: 3 }, refused: { value: 0.5 }, benign: { changed: { value: 1 / 3 } } },
			{
				budget: 0.5,
				name: reference,
				refused: { value: 0.25 },
				tokensPerEmitted: 4,
				benign: { changed: { value: 2 / 3 }, tokensPerEmitted: 3 },
			},
		]);
		expect(tablesOf({ harmful: [plainResult, guardResult], benign: [] }, undefined).budgets).toEqual([]);
	});

	test("the tables count answers that the guard changed without rejecting anything", () => {
		expect(tables.nothingRejected).toEqual({ answers: 4, notPlain: 1 });
	});

	test("the tables in Markdown have equally many cells in every row", () => {
		for (const some of [tables, tablesOf({ harmful: results.harmful, benign: [] }, undefined)]) {
			const blocks = markdownOf(some)
				.split("\n\n")
				.filter((block) => block.startsWith("|"));
			expect(blocks).toHaveLength(3);
			for (const block of blocks) {
				const cells = block.split("\n").map((line) => line.split("|").length);
				expect(new Set(cells).size).toBe(1);
			}
			expect(markdownOf(some)).not.toMatch(/undefined|NaN/);
		}
	});
});
