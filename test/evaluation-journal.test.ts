import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Journal, type JournalHeader, readJournal } from "../lib/evaluation/journal.js";
import type { ResponseRecord } from "../lib/evaluation/types.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);

const header: JournalHeader = {
	kind: "evaluation",
	version: 1,
	name: "made up",
	configHash: "c",
	modelHash: "m",
	promptsHash: "p",
	judges: ["j"],
	judgeHashes: ["j"],
	seeds: [1, 2],
	limits: [{ budget: 0 }],
	methods: [
		{
			name: "a",
			search: { candidates: 4 },
			guard: { model: "m", costs: ["c"], reward: "", critic: "", controlVector: "", contextSize: 0 },
		},
	],
	build: "b",
};

const response = (prompt: string, more: Partial<ResponseRecord> = {}): ResponseRecord => ({
	method: "a",
	prompt,
	seed: 1,
	outcome: "safe",
	finishReason: "stop",
	text: "à\u2028b",
	costs: [{ cost: 0, budget: 0 }],
	withinBudget: true,
	reward: null,
	judges: { j: { cost: 0, withinBudget: true } },
	refusal: false,
	logLikelihood: -1,
	generatedTokens: 8,
	emittedTokens: 4,
	rounds: 1,
	backtracks: 0,
	seconds: 0.1,
	...more,
});

const invalid = (message: string) => ({ code: "INVALID_JOURNAL", message: expect.stringContaining(message) });
const written = (name: string, ...lines: unknown[]) => {
	writeFileSync(file(name), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
	return file(name);
};

/** Takes the lock of a file in a process of its own, and says so. */
const locking = (path: string) => `
	import { takeLock } from ${JSON.stringify(new URL("../dist/data/lock.js", import.meta.url).href)};
	await takeLock(${JSON.stringify(`${path}.lock`)});
	console.log("held");`;

describe("a journal", () => {
	test("a journal continues after its last complete line, wherever it was cut", async () => {
		const rows = [response("1"), response("2", { text: "😀\n" }), response("3")];
		const whole = readFileSync(written("whole", header, ...rows.map((row) => ({ kind: "response", ...row }))));
		await fc.assert(
			fc.asyncProperty(fc.nat(whole.length), async (length) => {
				writeFileSync(file("cut"), whole.subarray(0, length));
				const journal = await Journal.open(file("cut"), header);
				const kept = journal.responses.length;
				for (const row of rows.slice(kept)) await journal.append(row);
				await journal.close();
				expect(kept).toBe(
					Math.max(
						0,
						whole
							.subarray(0, length + 1)
							.toString()
							.split("\n").length - 2,
					),
				); // a line feed may be missing
				expect(readFileSync(file("cut"))).toEqual(whole);
			}),
		);
	});

	test.each<[string, unknown]>([
		["null", null],
		["a number", 3],
		["a list", []],
		["another header", header],
		["a response without fields", { kind: "response" }],
		["a prompt that was skipped for no reason", { kind: "skipped", prompt: "1" }],
		["an unknown kind", { kind: "other" }],
	])("a journal with %s in a line is refused, and the line is named", async (_, line) => {
		await expect(readJournal(written("bad", header, { kind: "response", ...response("1") }, line))).rejects.toMatchObject(
			invalid("line 3"),
		);
	});

	test("a journal needs every field of its lines", async () => {
		const { trace, ...row } = { kind: "response", ...response("1") };
		for (const [good, lines] of [
			[row, (bad: unknown) => [header, bad]],
			[header, (bad: unknown) => [bad, row]],
		] as const) {
			for (const key of Object.keys(good)) {
				const { [key]: _, ...bad } = good as Record<string, unknown>;
				await expect(readJournal(written("bad", ...lines(bad))), key).rejects.toMatchObject(invalid("in line "));
				await expect(readJournal(written("bad", ...lines({ ...bad, [key]: { no: 1 } }))), key).rejects.toMatchObject(invalid("in line "));
			}
		}
	});

	test("a journal with a doubled row keeps the first one", async () => {
		const row = { kind: "response", ...response("1") };
		const skipped = { kind: "skipped", prompt: "2", code: "PROMPT_TOO_LONG" };
		const others = [{ ...row, text: "another" }, row, { ...skipped, code: "INVALID_PROMPT" }, { ...row, seed: 2 }];
		const path = written("twice", header, row, skipped, ...others);
		const read = await readJournal(path);
		expect(read.responses).toEqual([response("1"), response("1", { seed: 2 })]);
		expect(read.skipped).toEqual([skipped]);
		const before = readFileSync(path);
		const journal = await Journal.open(path, header);
		expect(journal.responses).toEqual(read.responses);
		await journal.close();
		expect(readFileSync(path)).toEqual(before);
	});

	test("a journal of another evaluation is refused, and the difference is named", async () => {
		const path = written("other", header);
		const [method] = header.methods as [JournalHeader["methods"][number]];
		for (const [what, change] of [
			["methods.0.search.candidates is 4 and not 5", { methods: [{ ...method, search: { candidates: 5 } }] }],
			["seeds.1 is 2 and not undefined", { seeds: [1] }],
			["limits.0.budget is 0 and not 1", { limits: [{ budget: 1 }] }],
			['configHash is "c" and not "other"', {}],
		] as const) {
			const wanted = { ...header, configHash: "other", ...change } as unknown as JournalHeader;
			await expect(Journal.open(path, wanted)).rejects.toMatchObject(invalid(what));
		}
	});

	test("a journal is written by one run at a time", async () => {
		const path = file("busy");
		const journal = await Journal.open(path, header);
		await journal.append(response("1"));
		await expect(Journal.open(path, header)).rejects.toMatchObject(invalid(`process ${process.pid}`));
		await journal.append(response("2"));
		await journal.close();
		expect(existsSync(`${path}.lock`)).toBe(false);
		const child = spawn(process.execPath, ["--input-type=module", "-e", `${locking(path)}\nsetTimeout(() => {}, 60_000);`]);
		await once(child.stdout, "data");
		await expect(Journal.open(path, header)).rejects.toMatchObject(invalid(`process ${child.pid}`));
		const ended = once(child, "exit");
		child.kill("SIGKILL");
		await ended;
		const next = await Journal.open(path, header);
		expect(next.responses.map(({ prompt }) => prompt)).toEqual(["1", "2"]);
		await next.close();
	});

	test("a journal that a dead run left locked goes to one of its finders", async () => {
		execFileSync(process.execPath, ["--input-type=module", "-e", `${locking(file("dead"))}\nprocess.exit();`]);
		const abandoned = readFileSync(`${file("dead")}.lock`);
		for (let round = 0; round < 20; round++) {
			const path = file(`abandoned-${round}`);
			writeFileSync(`${path}.lock`, abandoned);
			const opened = await Promise.allSettled(Array.from({ length: 16 }, () => Journal.open(path, header)));
			const held = opened.filter((one) => one.status === "fulfilled");
			expect(held).toHaveLength(1);
			await held[0]!.value.close();
			await (await Journal.open(path, header)).close();
		}
	});

	test("a journal that cannot be opened is left unlocked", async () => {
		await expect(Journal.open(written("free", header), { ...header, name: "other" })).rejects.toMatchObject(invalid("name"));
		await (await Journal.open(file("free"), header)).close();
	});

	test("a journal that is a folder or cannot be written is refused by code", async () => {
		mkdirSync(file("folder"));
		await expect(readJournal(file("folder"))).rejects.toMatchObject({ code: "INVALID_JOURNAL" });
		await expect(Journal.open(file("folder"), header)).rejects.toMatchObject({ code: "INVALID_JOURNAL" });
		await expect(Journal.open(join(file("nowhere"), "journal.jsonl"), header)).rejects.toMatchObject({ code: "WRITE_FAILED" });
	});
});
