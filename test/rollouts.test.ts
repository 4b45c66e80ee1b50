import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { InferenceGuard } from "../lib/index.js";
import { collectRollouts, type RolloutOptions, trainCritic } from "../lib/training/index.js";
import { rolloutRecords } from "./rollout-records.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = smallModel(folder, { context: 128 });
const prompts = Array.from({ length: 60 }, (_, i) => `w${300 + i} w${301 + i * 2} w${400 + (i % 7)}`);
const promptFile = join(folder, "prompts.txt");
writeFileSync(promptFile, `${prompts.join("\n")}\n`);
const lexicon = join(folder, "lexicon.txt");
writeFileSync(lexicon, "w3*\n");

const options = (out: string, more: Partial<RolloutOptions> = {}): RolloutOptions => ({
	model,
	cost: { lexicon },
	budget: 1,
	threads: 1,
	prompts: promptFile,
	out: join(folder, out),
	responses: 3,
	maxTokens: 12,
	stride: 4,
	batch: 12,
	seed: 7,
	...more,
});

/** Every file of a folder with the hash of its content. */
function contents(out: string): Record<string, string> {
	const place = join(folder, out);
	return Object.fromEntries(
		readdirSync(place)
			.sort()
			.map((name) => [
				name,
				createHash("sha256")
					.update(readFileSync(join(place, name)))
					.digest("hex"),
			]),
	);
}

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const flags = (out: string, longest = 12) => [
	...["rollouts", "-m", model, "-c", lexicon, "-b", "1", "--threads", "1", "--prompts", promptFile, "-o", join(folder, out)],
	...["-r", "3", "-t", `${longest}`, "--stride", "4", "--batch", "12", "--seed", "7"],
];

/** Runs the command and kills it after some milliseconds; true when it had ended well by itself. */
async function runAndKill(out: string, milliseconds: number, longest?: number): Promise<boolean> {
	const child = spawn(process.execPath, [cli, ...flags(out, longest)], { stdio: "ignore" });
	const ended = new Promise<boolean>((resolve, reject) =>
		child.once("exit", (code, signal) =>
			signal ? resolve(false) : code === 0 ? resolve(true) : reject(new Error(`it exited with ${code}`)),
		),
	);
	const killed = await Promise.race([ended.then(() => false), sleep(milliseconds, true)]);
	if (killed) child.kill("SIGKILL");
	return ended;
}

describe("rollouts", () => {
	test("rollouts killed at random moments and resumed have the bytes of one run", async () => {
		const begin = performance.now();
		expect(await runAndKill("undisturbed", 60_000)).toBe(true);
		const whole = performance.now() - begin;
		const expected = contents("undisturbed");
		const random = fc.sample(fc.double({ min: 0.05, max: 1, noNaN: true }), { numRuns: 20, seed: 1 });
		let kills = 0;
		for (const share of random) {
			if (await runAndKill("killed", share * whole)) rmSync(join(folder, "killed"), { recursive: true });
			else kills++;
		}
		expect(kills).toBeGreaterThan(5);
		expect(await runAndKill("killed", 60_000)).toBe(true);
		expect(contents("killed")).toEqual(expected);
	}, 300_000);

	test.skipIf(process.platform === "win32")(
		"rollouts interrupted with Ctrl-C say so, and resume",
		async () => {
			const child = spawn(process.execPath, [cli, ...flags("interrupted", 100)], { stdio: ["ignore", "ignore", "pipe"] });
			let said = "";
			child.stderr.on("data", (chunk) => (said += chunk));
			child.stderr.once("data", () => child.kill("SIGINT")); // it has told its size: the sampling begins
			const [status, signal] = await once(child, "close");
			expect([status, signal]).toEqual([1, null]);
			expect(said).toContain("[ABORTED]");
			expect(await runAndKill("interrupted", 60_000, 100)).toBe(true);
			expect(await runAndKill("not-interrupted", 60_000, 100)).toBe(true);
			expect(contents("interrupted")).toEqual(contents("not-interrupted"));
		},
		120_000,
	);

	test("rollouts resume after a file that was cut anywhere", async () => {
		await collectRollouts(options("cut-reference"));
		const expected = contents("cut-reference");
		const shard = Object.keys(expected).find((name) => name.startsWith("shard")) as string;
		const bytes = readFileSync(join(folder, "cut-reference", shard));
		for (const length of fc.sample(fc.integer({ min: 0, max: bytes.length }), { numRuns: 15, seed: 2 })) {
			cpSync(join(folder, "cut-reference"), join(folder, "cut"), { recursive: true });
			writeFileSync(join(folder, "cut", shard), bytes.subarray(0, length));
			await collectRollouts(options("cut"));
			expect(contents("cut")).toEqual(expected);
		}
		appendFileSync(join(folder, "cut", shard), "half a record");
		await collectRollouts(options("cut"));
		expect(contents("cut")).toEqual(expected);
	}, 120_000);

	test("rollouts of several machines are the whole when copied together", async () => {
		await collectRollouts(options("one"));
		for (const part of ["1/3", "2/3", "3/3"]) {
			await collectRollouts(options(`part-${part[0]}`, { shard: part }));
			cpSync(join(folder, `part-${part[0]}`), join(folder, "merged"), { recursive: true });
		}
		expect(contents("merged")).toEqual(contents("one"));
		const sizes = [1, 2, 3].map((part) => Object.keys(contents(`part-${part}`)).length);
		expect(Math.min(...sizes)).toBeGreaterThan(1);
	}, 60_000);

	test("rollouts report their size and progress, and stop on request", async () => {
		const seen: number[] = [];
		const stop = new AbortController();
		const run = collectRollouts(
			options("stopped", {
				onProgress: ({ prompts, totalPrompts, totalBytes }) => {
					expect(totalPrompts).toBe(60);
					expect(totalBytes).toBeGreaterThan(60 * 3 * 3 * 64 * 2);
					seen.push(prompts);
					if (prompts >= 20) stop.abort();
				},
				signal: stop.signal,
			}),
		);
		await expect(run).rejects.toMatchObject({ code: "ABORTED" });
		expect(seen).toEqual([0, 4, 8, 12, 16, 20]);
		await collectRollouts(options("stopped"));
		await collectRollouts(options("unstopped"));
		expect(contents("stopped")).toEqual(contents("unstopped"));
	}, 60_000);

	test("rollouts of other options do not mix in one folder", async () => {
		await collectRollouts(options("claimed"));
		for (const other of [
			{ seed: 8 },
			{ stride: 6 },
			{ budget: 2 },
			{ prompts: prompts.slice(1) },
			{ cost: { lexicon: ["w4*"] } },
			{ costFloor: null },
		]) {
			await expect(collectRollouts(options("claimed", other))).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		}
		const shard = join(folder, "claimed", "shard-00000.rollouts");
		writeFileSync(shard, Buffer.concat([Buffer.alloc(400, 1), readFileSync(shard)]));
		await expect(collectRollouts(options("claimed"))).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
	}, 60_000);

	test("rollouts that are damaged or missing are an error of the training, not a crash", async () => {
		await collectRollouts(options("damaged", { prompts: prompts.slice(0, 20) }));
		const train = () =>
			trainCritic({ rollouts: join(folder, "damaged"), out: join(folder, "never.gguf"), width: 4, members: 1, threads: 1, epochs: 1 });
		const manifestPath = join(folder, "damaged", "manifest.json");
		const manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
		writeFileSync(manifestPath, "{");
		await expect(train()).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		writeFileSync(manifestPath, JSON.stringify({ ...manifest, version: 1 }));
		await expect(train()).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		const { shape } = manifest;
		const shapes = [{ ...shape, hidden: 1e9 }, { ...shape, hidden: -5 }, { ...shape, constraints: 2 }, null];
		for (const wrong of [...shapes.map((other) => ({ ...manifest, shape: other })), { ...manifest, prompts: 1e15 }, null]) {
			writeFileSync(manifestPath, JSON.stringify(wrong));
			await expect(train()).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		}
		writeFileSync(manifestPath, JSON.stringify(manifest));
		const shards = readdirSync(join(folder, "damaged")).filter((name) => name.startsWith("shard"));
		for (const tail of [Buffer.alloc(4096), Buffer.from([4, 0, 0, 0, 0xcd, 0xfb, 0x3c, 0xb6, 0, 0, 0, 0, 1, 2, 3, 4])]) {
			for (const name of shards) {
				const bytes = readFileSync(join(folder, "damaged", name));
				writeFileSync(join(folder, "damaged", name), Buffer.concat([bytes.subarray(0, 12 + bytes.readUInt32LE(8)), tail]));
			}
			await expect(train()).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		}
		rmSync(manifestPath);
		await expect(train()).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		mkdirSync(join(folder, "empty"));
		await expect(trainCritic({ rollouts: join(folder, "empty"), out: join(folder, "never.gguf") })).rejects.toMatchObject({
			code: "INVALID_ROLLOUTS",
		});
		expect(existsSync(join(folder, "never.gguf"))).toBe(false);
	}, 60_000);

	test("rollouts read on from a raw prompt, where a lexicon's phrase may begin", async () => {
		const overBudget = async (out: string, term: string) => {
			const given = options(out, { cost: { lexicon: [term] }, budget: 0, prompts: [[300, 400]], responses: 40, batch: 40, maxTokens: 1 });
			return (await collectRollouts(given)).overBudget;
		};
		expect(await overBudget("border", "w400 w*")).toBeGreaterThan(0);
		expect(await overBudget("inside", "w300 w*")).toBe(0);
	});

	test("rollouts are judged with the prompt that they answer", async () => {
		const given = ["how do I hurt somebody", "how do I bake a cake"];
		await collectRollouts(options("answers", { cost: "harm", budget: 0.5, prompts: given, responses: 2, maxTokens: 4 }));
		await using judge = await CostScorer.load({ constraints: [{ cost: "harm" }], threads: 1 });
		const textOf = (tokens: number[]) =>
			Buffer.concat(tokens.map((token) => (token < 259 ? Buffer.from([token - 3]) : Buffer.from(` w${token}`)))).toString();
		let answers = 0;
		for (const record of (await rolloutRecords(join(folder, "answers"))).records) {
			const bytes = new DataView(record.buffer, record.byteOffset, record.length);
			const prompt = given[bytes.getInt32(0, true)] as string; // of the record's first response
			const tokens = Array.from({ length: bytes.getUint32(8, true) }, (_, i) => bytes.getInt32(32 + 4 * i, true));
			const text = textOf(tokens.filter((token) => token !== 2));
			const [[scored]] = (await judge.score(prompt, [text])) as unknown as [[{ cost: number }]];
			expect(bytes.getFloat64(24, true)).toBeCloseTo(scored.cost, 5);
			answers++;
		}
		expect(answers).toBeGreaterThan(0);
	});

	test("rollouts hold what the base model and the cost model really did", async () => {
		const given = [[3], [5, 6]];
		await collectRollouts(options("truth", { prompts: given, responses: 4 }));
		const { manifest, records } = await rolloutRecords(join(folder, "truth"));
		expect(manifest.shape).toEqual({ hidden: 64, summary: 11, constraints: 1 });
		await using guard = await InferenceGuard.load({ model, cost: { lexicon }, budget: 1, threads: 1 });
		const costOf = (tokens: number[]) => tokens.filter((token) => token >= 300 && token < 400).length; // "w300" to "w399"
		let responses = 0;
		let cost = 0;
		for (const record of records) {
			const bytes = new DataView(record.buffer, record.byteOffset, record.length);
			const numbers = (at: number, n: number) => Array.from({ length: n }, (_, i) => bytes.getFloat32(at + 4 * i, true));
			for (let at = 0; at < record.length; responses++) {
				const prompt = given[bytes.getInt32(at, true)] as number[];
				expect(bytes.getInt32(at + 4, true)).toBe(responses % 4);
				const [nTokens, nPositions] = [bytes.getUint32(at + 8, true), bytes.getUint32(at + 12, true)];
				const tokens = Array.from({ length: nTokens }, (_, i) => bytes.getInt32(at + 32 + 4 * i, true));
				const likelihoods = await guard.logLikelihoods(prompt, tokens);
				expect(bytes.getFloat64(at + 16, true)).toBeCloseTo(likelihoods.reduce((sum, x) => sum + x, 0) / nTokens, 3);
				expect(bytes.getFloat64(at + 24, true)).toBe(costOf(tokens));
				cost += costOf(tokens);
				at += 32 + 4 * nTokens;
				expect(nPositions).toBe(Math.ceil(nTokens / 4));
				for (let position = 0; position < nPositions; position++) {
					const soFar = tokens.slice(0, bytes.getInt32(at, true));
					expect(soFar.length).toBe(4 * position);
					const all = await Promise.all(Array.from({ length: 512 }, (_, token) => guard.logLikelihoods([...prompt, ...soFar], [token])));
					const sorted = all.flat().sort((a, b) => b - a);
					const entropy = sorted.reduce((sum, x) => sum - x * Math.exp(x), 0);
					const mean = likelihoods.slice(0, soFar.length).reduce((sum, x) => sum + x / soFar.length, 0);
					const expected = [...sorted.slice(0, 8), entropy, likelihoods[soFar.length - 1] ?? 0, mean];
					numbers(at + 4, 11).forEach((x, i) => {
						expect(x).toBeCloseTo(expected[i] as number, 2);
					});
					expect(bytes.getFloat64(at + 48, true)).toBe(costOf(soFar));
					expect(bytes.getFloat64(at + 56, true)).toBe(costOf(soFar));
					at += 4 + 44 + 24 + 128;
				}
			}
		}
		expect(responses).toBe(8);
		expect(cost).toBeGreaterThan(0);
	}, 120_000);

	test("rollouts take conversations, and texts as a user's message", async () => {
		const template = "{% for m in messages %}w300 {{ m.content }} {% endfor %}w301";
		const chat = { model: smallModel(folder, { context: 128, metadata: [["tokenizer.chat_template", "string", template]] }) };
		const conversations = prompts.slice(0, 4).map((content) => [{ role: "user", content }]);
		const file = join(folder, "conversations.jsonl");
		writeFileSync(file, conversations.map((messages) => JSON.stringify({ messages })).join("\n"));
		await collectRollouts(options("conversations", { ...chat, prompts: conversations }));
		await collectRollouts(options("conversation-file", { ...chat, prompts: file }));
		await collectRollouts(options("as-messages", { ...chat, prompts: prompts.slice(0, 4), chat: true }));
		await collectRollouts(options("rendered", { ...chat, prompts: prompts.slice(0, 4).map((prompt) => `w300 ${prompt} w301`) }));
		await collectRollouts(options("raw", { ...chat, prompts: prompts.slice(0, 4) }));
		for (const same of ["conversation-file", "as-messages", "rendered"]) expect(contents(same)).toEqual(contents("conversations"));
		expect(contents("raw")).not.toEqual(contents("conversations"));
	}, 60_000);

	test("rollouts name prompts that cannot be used, and options that conflict", async () => {
		const many = prompts.slice(0, 5);
		const cases: [Partial<RolloutOptions>, string, RegExp][] = [
			[{ prompts: [...many, ""] }, "INVALID_PROMPT", /prompt 6: .*empty/],
			[{ prompts: [...many, [{ role: "user</s>", content: "a" }]] }, "SPECIAL_TOKEN_TEXT", /prompt 6: /],
			[{ prompts: [...many, "w300 ".repeat(200)] }, "PROMPT_TOO_LONG", /prompt 6: /],
			[{ prompts: [...many, Array(120).fill(300)] }, "INVALID_DATA", /room for 12 tokens/],
			[{ prompts: many, responses: 20 }, "INVALID_OPTION", /batch: .*responses/],
			[{ prompts: many, kvCells: 8 }, "KV_CAPACITY", /batch, responses or maxTokens/],
			[{ prompts: many, onProgress: () => { throw new Error("mine"); } }, "CALLBACK_FAILED", /mine/], // biome-ignore format: one case a line
		];
		for (const [i, [more, code, message]] of cases.entries()) {
			await expect(collectRollouts(options(`case-${i}`, more))).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
		}
		const file = join(folder, "splits.jsonl");
		writeFileSync(file, many.map((prompt) => JSON.stringify({ prompt, split: "train" })).join("\n"));
		await expect(collectRollouts(options("splits", { prompts: file }))).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringMatching(/validation or test/),
		});
	}, 60_000);
});
