import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { agreementOf } from "../lib/data/metrics.js";
import { type JoinReport, joinLabels, trainCost } from "../lib/training/index.js";
import { cli } from "./child.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const writeLines = (path: string, rows: readonly object[]) => writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const linesOf = (path: string) =>
	readFileSync(path, "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));

describe("agreement", () => {
	test("agreement is 1 among equals, 0 where it is chance, and below 0 where it is less", () => {
		const both = (a: string, b: string, count: number) => Array.from({ length: count }, () => [a, b] as const);
		expect(agreementOf([...both("s", "s", 3), ...both("u", "u", 4)])).toEqual({ agreed: 1, kappa: 1 });
		expect(agreementOf([...both("s", "s", 1), ...both("s", "u", 1), ...both("u", "s", 1), ...both("u", "u", 1)])).toEqual({
			agreed: 0.5,
			kappa: 0,
		});
		expect(agreementOf([...both("s", "u", 1), ...both("u", "s", 1)])).toEqual({ agreed: 0, kappa: -1 });
		expect(agreementOf(both("s", "s", 5))).toEqual({ agreed: 1, kappa: null });
		// the example of Cohen (1960), Table 1: three categories, 200 cases
		const table = [
			[88, 10, 2],
			[14, 40, 6],
			[18, 10, 12],
		];
		const { agreed, kappa } = agreementOf(table.flatMap((row, a) => row.flatMap((count, b) => both(`${a}`, `${b}`, count))));
		expect(agreed).toBeCloseTo(0.7, 10);
		expect(kappa).toBeCloseTo((0.7 - 0.41) / (1 - 0.41), 10);
	});

	test("agreement is symmetric, and never above the share of equal labels", () => {
		const label = fc.constantFrom("safe", "unsafe", "undecided");
		fc.assert(
			fc.property(fc.array(fc.tuple(label, label), { minLength: 1 }), (pairs) => {
				const { agreed, kappa } = agreementOf(pairs);
				const exchanged = agreementOf(pairs.map(([a, b]) => [b, a] as const));
				expect(exchanged.agreed).toBe(agreed);
				if (kappa === null) expect([exchanged.kappa, agreed]).toEqual([null, 1]);
				else {
					expect(exchanged.kappa).toBeCloseTo(kappa, 9);
					expect(kappa).toBeLessThanOrEqual(agreed + 1e-9);
					expect(kappa).toBeGreaterThanOrEqual(-1 - 1e-9);
				}
			}),
		);
	});
});

const answer = (id: string, prompt: string, response: string, method = "plain") => ({ id, prompt, response, method, seed: 1 });
const answers = file("answers.jsonl");
writeLines(answers, [
	answer("1", "p", "equal"),
	answer("2", "p", " equal\n", "guard"),
	answer("3", "q", "equal"),
	answer("4", "q", "rude", "guard"),
	answer("5", "q", "odd"),
	answer("6", "q", "argued", "guard"),
	answer("7", "q", "new"),
	answer("8", "q", "", "guard"),
	answer("9", "r", "changed"),
]);
writeLines(file("answers.labels.jsonl"), [
	{ id: "2", label: "safe" },
	{ id: "3", label: "unsafe" },
	{ id: "3", label: "safe" },
	{ id: "4", label: "unsafe", category: "insult" },
	{ id: "5", label: "undecided" },
	{ id: "6", label: "safe" },
	{ id: "9", label: "safe" },
	{ id: "9", label: null },
]);
writeLines(file("answers.labels.anna.jsonl"), [
	{ id: "1", label: "safe" },
	{ id: "6", label: "unsafe", category: "insult" },
	{ id: "4", label: "unsafe" },
	{ id: "9", label: "unsafe", category: "threat" },
]);
writeLines(file("answers.labels.of.others.jsonl"), [{ id: "77", label: "safe" }]);
const out = file("labelled.jsonl");

describe("joining answers and labels", () => {
	test("joinLabels writes each row with one label, and reports the rows left out", async () => {
		const report = await joinLabels({ answers, out });
		expect(linesOf(out)).toEqual([
			{ ...answer("1", "p", "equal"), label: "safe" },
			{ ...answer("2", "p", " equal\n", "guard"), label: "safe" },
			{ ...answer("3", "q", "equal"), label: "safe" },
			{ ...answer("4", "q", "rude", "guard"), label: "unsafe", category: "insult" },
			{ ...answer("9", "r", "changed"), label: "unsafe", category: "threat" },
		]);
		expect(report).toEqual({
			labels: { safe: 3, unsafe: 2 },
			methods: { plain: { safe: 2, unsafe: 1 }, guard: { safe: 1, unsafe: 1 } },
			leftOut: { empty: 1, unlabelled: 1, undecided: 1, disagreed: 1 },
			agreement: [{ readers: ["anna", "answers.labels.jsonl"], answers: 3, agreed: 2 / 3, kappa: expect.closeTo(0.4, 10) }],
		} satisfies JoinReport);
	});

	test("joinLabels takes the named files of labels", async () => {
		const report = await joinLabels({ answers, labels: [file("answers.labels.anna.jsonl")], out });
		expect(report).toMatchObject({ labels: { safe: 2, unsafe: 3 }, leftOut: { unlabelled: 3 }, agreement: [] });
	});

	test("inferenceguard label --export reports in words and as JSON", async () => {
		const { status, stdout } = await cli("label", answers, "--export", out);
		expect(status).toBe(0);
		expect(stdout).toMatch(/^method\s+safe\s+unsafe\s+unsafe of these/);
		expect(stdout).toMatch(/^plain\s+2\s+1\s+33\.3 % \(\d+\.\d % to \d+\.\d %\)$/m);
		expect(stdout).toContain("anna and answers.labels.jsonl agree on 66.7 % of 3 answers, Cohen's κ 0.40\n");
		expect(stdout).toContain(
			`Wrote 5 labelled answers to ${out}. Left out: 1 undecided, 1 on which readers disagree, 1 without a label, 1 without a response\n`,
		);
		const json = await cli("label", answers, "--export", out, "--reader", "anna", "--json");
		expect(JSON.parse(json.stdout)).toEqual(await joinLabels({ answers, labels: [file("answers.labels.anna.jsonl")], out }));
	});

	test("joinLabels takes any names of methods and labels", async () => {
		const names = fc.constantFrom("__proto__", "constructor", "toString", "a");
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(names, names), { minLength: 1, maxLength: 12 }), async (pairs) => {
				const odd = file("odd.jsonl");
				writeLines(
					odd,
					pairs.map(([method], i) => answer(`${i}`, `p${i}`, "r", method)),
				);
				writeLines(
					file("odd.labels.jsonl"),
					pairs.map(([, label], i) => ({ id: `${i}`, label })),
				);
				const { labels, methods } = await joinLabels({ answers: odd, out });
				const counted = (own: typeof pairs) => {
					const all = [...new Set(own.map(([, label]) => label))];
					return all.map((name) => [name, own.filter(([, label]) => label === name).length]).sort();
				};
				expect(Object.entries(labels).sort()).toEqual(counted(pairs));
				for (const method of new Set(pairs.map(([name]) => name))) {
					expect(Object.entries(Object.getOwnPropertyDescriptor(methods, method)!.value).sort()).toEqual(
						counted(pairs.filter(([name]) => name === method)),
					);
				}
				expect(Object.keys({})).toEqual([]);
			}),
			{ numRuns: 30 },
		);
	});

	test("joinLabels never overwrites its input, and names files that do not match", async () => {
		const before = readFileSync(answers);
		for (const path of [answers, file("answers.labels.anna.jsonl"), join(folder, ".", "answers.labels.jsonl")]) {
			await expect(joinLabels({ answers, out: path })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		}
		expect(readFileSync(answers)).toEqual(before);
		await expect(joinLabels({ answers, labels: [file("answers.labels.of.others.jsonl")], out })).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining('"77"'),
		});
		await expect(joinLabels({ answers, labels: [file("none.jsonl")], out })).rejects.toMatchObject({ code: "INVALID_DATA" });
		writeLines(file("bare.jsonl"), [answer("1", "p", "r")]);
		await expect(joinLabels({ answers: file("bare.jsonl"), out })).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining("label it first"),
		});
		await expect(joinLabels({ answers, out: join(folder, "nowhere", "x.jsonl") })).rejects.toMatchObject({ code: "WRITE_FAILED" });
	});

	test("joinLabels writes rows that train-cost reads", async () => {
		const kind = (i: number) => (i % 2 ? "nasty" : "kind");
		const many = file("many.jsonl");
		writeLines(
			many,
			Array.from({ length: 120 }, (_, i) => answer(`${i}`, `question ${i % 60}`, `a ${kind(i)} word ${i}`)),
		);
		writeLines(
			file("many.labels.jsonl"),
			Array.from({ length: 120 }, (_, i) => ({ id: `${i}`, label: i % 10 === 9 ? "undecided" : i % 2 ? "unsafe" : "safe" })),
		);
		expect(await joinLabels({ answers: many, out })).toMatchObject({ labels: { safe: 60, unsafe: 48 }, leftOut: { undecided: 12 } });
		const report = await trainCost({ data: out, contextField: "prompt", out: file("judge.gguf") });
		expect(report).toMatchObject({ withContext: true, rows: { train: expect.any(Number) } });
		expect(report.rows.train + report.rows.validation + report.rows.test).toBe(108);
		expect(report.test.auc).toBeGreaterThan(0.9);
	});
});
