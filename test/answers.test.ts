import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { finishedLines } from "../lib/data/appended-lines.js";
import { InferenceGuard } from "../lib/index.js";
import { type Answer, type AnswerOptions, sampleAnswers } from "../lib/training/index.js";
import { cli } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const model = smallModel(folder);
const lexicon = file("lexicon.txt");
writeFileSync(lexicon, "w3*\n");
const questions = Array.from({ length: 30 }, (_, i) => `w${300 + i} w${400 + (i % 7)}`);
const prompts = file("prompts.txt");
writeFileSync(prompts, `${questions.join("\n")}\n`);

const options = (out: string, more: Partial<AnswerOptions> = {}): AnswerOptions => ({
	model,
	cost: { lexicon },
	threads: 1,
	prompts,
	out: file(out),
	temperatures: [0.5, 1],
	budgets: [0, 2],
	candidates: [2, 4, 8],
	maxTokens: 16,
	...more,
});

const rowsOf = (out: string): Answer[] => finishedLines(readFileSync(file(out))).lines.map((line) => JSON.parse(line));
const byMethod = (rows: Answer[], method: string) => rows.filter((row) => row.method === method);
const ids = (rows: Answer[]) => rows.map(({ id }) => id).sort();
const everyId = ["plain", "guard"].flatMap((method) => questions.map((_, i) => `${i + 1}/${method}`)).sort();

describe("answers", () => {
	test("every method answers every prompt once, with settings drawn by the prompt", async () => {
		const summary = await sampleAnswers(options("both.jsonl"));
		const rows = rowsOf("both.jsonl");
		expect(ids(rows)).toEqual(everyId);
		expect(summary).toMatchObject({ answers: 60, totalAnswers: 60, newAnswers: 60, skipped: [] });
		for (const row of rows) {
			const number = Number(row.id.split("/")[0]);
			expect(row).toMatchObject({ prompt: questions[number - 1], model: model.split("/").at(-1)!.replace(".gguf", "") });
			if (row.outcome === "refused") expect(row.response).toBe("");
			expect([0.5, 1]).toContain(row.temperature);
		}
		for (const row of byMethod(rows, "guard")) {
			expect(row.cost).toBeLessThanOrEqual(row.budget!);
			expect(row.response.match(/\bw3\w*/g) ?? []).toHaveLength(row.cost!);
		}
		for (const row of byMethod(rows, "plain")) {
			expect(row.outcome).toBe("unguarded");
			for (const key of ["budget", "cost", "candidates"]) expect(row).not.toHaveProperty(key);
		}
		const drawn = (key: keyof Answer) => new Set(byMethod(rows, "guard").map((row) => row[key]));
		expect([drawn("temperature"), drawn("budget"), drawn("candidates")]).toEqual([new Set([0.5, 1]), new Set([0, 2]), new Set([2, 4, 8])]);
		expect(new Set(rows.map(({ seed }) => seed)).size).toBe(60);
	}, 60_000);

	test("a row has what repeats it: model, method, temperature, seed, budget and width", async () => {
		const one = file("one.txt");
		writeFileSync(one, "w310 w401\n");
		await sampleAnswers(options("one.jsonl", { prompts: one }));
		for (const { method, prompt, temperature, seed, budget, candidates, response, outcome } of rowsOf("one.jsonl")) {
			await using guard = await InferenceGuard.load({
				model,
				threads: 1,
				...(method === "guard" && { cost: { lexicon }, budget: budget! }),
			});
			const search = method === "guard" ? { candidates: candidates! } : { strategy: "sample" as const };
			expect(await guard.generate({ prompt, temperature, seed, maxTokens: 16, ...search })).toMatchObject({ text: response, outcome });
		}
	});

	test("draws depend on seed and prompt alone, not on what else is asked", async () => {
		const drawn = (rows: Answer[]) => new Map(rows.map(({ response, ...row }) => [row.id, row]));
		await sampleAnswers(options("few.jsonl", { prompts: { file: prompts, limit: 7, seed: 3 }, methods: ["plain"] }));
		await sampleAnswers(options("all.jsonl", { methods: ["plain"] }));
		await sampleAnswers(options("other.jsonl", { methods: ["plain"], seed: 1 }));
		const [few, all, other] = ["few.jsonl", "all.jsonl", "other.jsonl"].map((name) => drawn(rowsOf(name))) as [
			Map<string, object>,
			Map<string, object>,
			Map<string, object>,
		];
		expect(few.size).toBe(7);
		for (const [id, row] of few) expect(all.get(id)).toEqual(row);
		expect(other).not.toEqual(all);
	});

	test("a refused answer is a row without a response", async () => {
		const wordy = smallModel(folder, { vocab: 20000 }); // nearly every token is a word that begins with w
		const summary = await sampleAnswers(
			options("refused.jsonl", { model: wordy, cost: { lexicon: ["w*"] }, budgets: [0], candidates: [2], methods: ["guard"] }),
		);
		expect(summary.refused).toBe(30);
		for (const row of rowsOf("refused.jsonl")) expect(row).toMatchObject({ response: "", outcome: "refused", budget: 0 });
	}, 60_000);

	test("a template surrounds the prompt literally, and a stop text ends the response", async () => {
		const odd = file("odd.jsonl");
		writeFileSync(odd, `${JSON.stringify({ prompt: "w310 $& w311 {prompt}" })}\n`);
		const template = "w320: {prompt}\nw321:";
		await sampleAnswers(options("template.jsonl", { prompts: odd, template, methods: ["plain"], maxTokens: 40, temperatures: [1] }));
		const [row] = rowsOf("template.jsonl") as [Answer];
		await using guard = await InferenceGuard.load({ model, threads: 1 });
		const whole = await guard.generate({
			prompt: "w320: w310 $& w311 {prompt}\nw321:",
			seed: row.seed,
			maxTokens: 40,
			strategy: "sample",
		});
		expect(row).toMatchObject({ prompt: "w310 $& w311 {prompt}", response: whole.text });
		const [late, early] = [whole.text.slice(20, 26), whole.text.slice(10, 14)];
		const stop = ["not there", late, early];
		await sampleAnswers(options("stopped.jsonl", { prompts: odd, template, stop, methods: ["plain"], maxTokens: 40, temperatures: [1] }));
		expect(rowsOf("stopped.jsonl")[0]!.response).toBe(whole.text.slice(0, whole.text.indexOf(early)));
	});

	test("--chat renders prompts with the model's own chat template", async () => {
		const template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]";
		const chat = smallModel(folder, { metadata: [["tokenizer.chat_template", "string", template]] });
		const one = file("chat.txt");
		writeFileSync(one, "w310 w401\n");
		await sampleAnswers(options("chat.jsonl", { model: chat, chat: true, prompts: one, methods: ["plain"], temperatures: [1] }));
		const [row] = rowsOf("chat.jsonl") as [Answer];
		await using guard = await InferenceGuard.load({ model: chat, threads: 1 });
		const messages = [{ role: "user", content: "w310 w401" }];
		const { text } = await guard.generate({ messages, seed: row.seed, maxTokens: 16, strategy: "sample" });
		expect(row).toMatchObject({ prompt: "w310 w401", response: text });
	});

	test("prompts that the model cannot take are left out by name; having none is an error", async () => {
		const some = file("some.txt");
		writeFileSync(some, `w310\nw311 </s>\n${"w312 ".repeat(300)}\nw313\n`);
		const summary = await sampleAnswers(options("some.jsonl", { prompts: some, methods: ["plain"] }));
		expect(summary).toMatchObject({ answers: 3, totalAnswers: 3, newAnswers: 3 });
		expect(summary.skipped).toEqual([{ id: "3/plain", code: "PROMPT_TOO_LONG" }]);
		await expect(sampleAnswers(options("none.jsonl", { chat: true }))).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining("CHAT_TEMPLATE"),
		});
	});
});

const flags = (out: string, longest = 16) => [
	...["answers", "-m", model, "-c", lexicon, "-b", "0,2", "-n", "2,4,8", "--temperature", "0.5,1", "--threads", "1"],
	...["-t", `${longest}`, "--prompts", prompts, "-o", file(out)],
];

describe("a run that was stopped", () => {
	const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

	/** Runs the command and kills it once the file has so many rows; true where it had ended well by itself. */
	async function runAndKill(out: string, rows: number): Promise<boolean> {
		const child = spawn(process.execPath, [main, ...flags(out, 80)], { stdio: "ignore" });
		let status: boolean | undefined;
		child.once("exit", (code) => (status = code === 0));
		while (status === undefined) {
			if (existsSync(file(out)) && rowsOf(out).length >= rows) child.kill("SIGKILL");
			await sleep(5);
		}
		return status;
	}

	test("a stopped run resumes, and never repeats or loses an answer", async () => {
		let kept: Answer[] = [];
		let kills = 0;
		for (const rows of [1, 17, 18, 45]) {
			if (!(await runAndKill("killed.jsonl", rows))) kills++;
			const now = rowsOf("killed.jsonl");
			expect(now.slice(0, kept.length)).toEqual(kept);
			kept = now;
		}
		expect(kills).toBeGreaterThan(1);
		await sampleAnswers(options("killed.jsonl", { maxTokens: 80 }));
		const rows = rowsOf("killed.jsonl");
		expect(rows.slice(0, kept.length)).toEqual(kept);
		expect(ids(rows)).toEqual(everyId);
		await sampleAnswers(options("undisturbed.jsonl", { maxTokens: 80 }));
		const drawn = (all: Answer[]) => new Map(all.map(({ response, outcome, cost, ...row }) => [row.id, row]));
		expect(drawn(rows)).toEqual(drawn(rowsOf("undisturbed.jsonl")));
	}, 120_000);

	test("a stopped run resumes after a file that was cut anywhere", async () => {
		await sampleAnswers(options("cut.jsonl", { methods: ["plain"], maxTokens: 4 }));
		const bytes = readFileSync(file("cut.jsonl"));
		await fc.assert(
			fc.asyncProperty(fc.nat(bytes.length), async (length) => {
				writeFileSync(file("cut.jsonl"), bytes.subarray(0, length));
				const kept = rowsOf("cut.jsonl");
				await sampleAnswers(options("cut.jsonl", { methods: ["plain"], maxTokens: 4 }));
				expect(rowsOf("cut.jsonl").slice(0, kept.length)).toEqual(kept);
				expect(ids(rowsOf("cut.jsonl"))).toEqual(everyId.filter((id) => id.endsWith("plain")));
			}),
			{ numRuns: 12 },
		);
	}, 60_000);

	test("a stopped run takes further methods and prompts, but no other settings", async () => {
		const few = { file: prompts, limit: 5 };
		await sampleAnswers(options("grown.jsonl", { prompts: few, methods: ["plain"] }));
		await sampleAnswers(options("grown.jsonl", { prompts: few, methods: ["guard"] }));
		const { newAnswers } = await sampleAnswers(options("grown.jsonl", { prompts: { file: prompts, limit: 8 } }));
		expect(newAnswers).toBe(6);
		const before = readFileSync(file("grown.jsonl"));
		const changes: Partial<AnswerOptions>[] = [
			{ maxTokens: 8 },
			{ temperatures: [1] },
			{ budgets: [0] },
			{ candidates: [2] },
			{ seed: 1 },
			{ template: "w1 {prompt}" },
			{ stop: ["w"] },
			{ cost: { lexicon: ["w2*"] } },
			{ discount: 0.9 },
			{ model: smallModel(folder, { layers: 1 }) },
			{ prompts: file("one.txt") },
		];
		for (const change of changes) {
			await expect(sampleAnswers(options("grown.jsonl", { prompts: few, ...change })), JSON.stringify(change)).rejects.toMatchObject({
				code: "INVALID_DATA",
				message: expect.stringContaining("choose another file"),
			});
		}
		expect(readFileSync(file("grown.jsonl"))).toEqual(before);
	});

	test("a run stopped by its signal or a callback keeps whole lines and frees the file", async () => {
		const stop = new AbortController();
		const onProgress = ({ newAnswers }: { newAnswers: number }) => {
			if (newAnswers === 3) stop.abort();
		};
		await expect(sampleAnswers(options("stop.jsonl", { signal: stop.signal, onProgress }))).rejects.toMatchObject({ code: "ABORTED" });
		const failing = () => {
			throw new Error("mine");
		};
		await expect(sampleAnswers(options("stop.jsonl", { onProgress: failing }))).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
		expect(rowsOf("stop.jsonl").length).toBeGreaterThanOrEqual(3);
		await sampleAnswers(options("stop.jsonl"));
		expect(ids(rowsOf("stop.jsonl"))).toEqual(everyId);
	});
});

describe("the command", () => {
	test("inferenceguard answers tells its plan and its result, in words and as JSON", async () => {
		const first = await cli(...flags("command.jsonl"));
		expect(first).toMatchObject({ status: 0, stderr: "60 answers, 0 of them there already\n" });
		expect(first.stdout).toMatch(/^60 answers are in .*command\.jsonl, \d+ of them refused: sampled 60 in \d+\.\d s\n$/);
		const again = await cli(...flags("command.jsonl"), "--json");
		expect(again.stderr).toBe("60 answers, 60 of them there already\n");
		expect(JSON.parse(again.stdout)).toMatchObject({ answers: 60, newAnswers: 0, skipped: [] });
	});

	test("inferenceguard answers reads a preset, draws from it, and unescapes line breaks", async () => {
		const set = file("xstest.csv");
		writeFileSync(set, `id,type,prompt,label\n${questions.map((text, i) => `q${i},t,${text},safe`).join("\n")}\n`);
		const asked = ["--prompts", set, "--preset", "xstest", "--limit", "4", "--template", "w1:\\n{prompt}", "--stop", "\\n"];
		const plain = ["--methods", "plain", "-t", "16", "--threads", "1"];
		const { status } = await cli("answers", "-m", model, ...asked, ...plain, "-o", file("preset.jsonl"));
		expect(status).toBe(0);
		const rows = rowsOf("preset.jsonl");
		expect(rows).toHaveLength(4);
		for (const row of rows) expect(row).toMatchObject({ id: expect.stringMatching(/^q\d+\/plain$/), outcome: "unguarded" });
		expect(rows.some(({ response }) => response.includes("\n"))).toBe(false);
	});

	test.each<[string, string[], RegExp]>([
		["an unknown method", ["--methods", "plain,magic"], /--methods: expected one of plain, guard/],
		["a temperature that is none", ["--temperature", "0.7,hot"], /--temperature: expected/],
		["no budget in a list", ["-c", lexicon, "-b", "1,"], /--budget: expected a number/],
		["chat and a template", ["--chat", "--template", "{prompt}"], /either chat or a template/],
		["a template without a place for the prompt", ["--template", "Q:"], /text with \{prompt\} in it/],
		["a column that is not there", ["--field", "question"], /expected a column question/],
		["a preset that is none", ["--preset", "mine"], /Allowed choices/],
		["more budgets than costs", ["-b", "1", "-b", "2"], /expected at most one per cost model/],
	])("%s is wrong usage of inferenceguard answers", async (_, more, message) => {
		const { status, stderr } = await cli("answers", "-m", model, "--prompts", prompts, "-o", file("wrong.jsonl"), ...more);
		expect(stderr).toMatch(message);
		expect(status).toBe(2);
		expect(existsSync(file("wrong.jsonl"))).toBe(false);
	});
});
