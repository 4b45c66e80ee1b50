import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { collectRollouts, type RolloutOptions, trainCritic } from "../lib/index.js";
import { readRollouts } from "../lib/training/rollout-files.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = smallModel(folder, { context: 128 });
const prompts = Array.from({ length: 60 }, (_, i) => `t${i} t${i * 2 + 1} t${i % 7}`);
const promptFile = join(folder, "prompts.txt");
writeFileSync(promptFile, `${prompts.join("\n")}\n`);
const lexicon = join(folder, "lexicon.txt");
writeFileSync(lexicon, "t1*\n");

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
const flags = (out: string) => [
	...["rollouts", "-m", model, "-c", lexicon, "-b", "1", "--threads", "1", "--prompts", promptFile, "-o", join(folder, out)],
	...["-r", "3", "-t", "12", "--stride", "4", "--batch", "12", "--seed", "7"],
];

/** Runs the command and kills it after some milliseconds; true when it had ended well by itself. */
async function runAndKill(out: string, milliseconds: number): Promise<boolean> {
	const child = spawn(process.execPath, [cli, ...flags(out)], { stdio: "ignore" });
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
	test("killed at random moments and resumed give the bytes of an undisturbed run", async () => {
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

	test("goes on after a file that ends in the middle, wherever that is", async () => {
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

	test("of several machines are the whole when copied together", async () => {
		await collectRollouts(options("one"));
		for (const part of ["1/3", "2/3", "3/3"]) {
			await collectRollouts(options(`part-${part[0]}`, { shard: part }));
			cpSync(join(folder, `part-${part[0]}`), join(folder, "merged"), { recursive: true });
		}
		expect(contents("merged")).toEqual(contents("one"));
		const sizes = [1, 2, 3].map((part) => Object.keys(contents(`part-${part}`)).length);
		expect(Math.min(...sizes)).toBeGreaterThan(1);
	}, 60_000);

	test("tell their size and progress, and stop when asked", async () => {
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

	test("of other options do not mix in one folder", async () => {
		await collectRollouts(options("claimed"));
		for (const other of [
			{ seed: 8 },
			{ stride: 6 },
			{ budget: 2 },
			{ prompts: prompts.slice(1) },
			{ cost: { lexicon: ["t2*"] } },
			{ costFloor: null },
		]) {
			await expect(collectRollouts(options("claimed", other))).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		}
		const shard = join(folder, "claimed", "shard-00000.rollouts");
		writeFileSync(shard, Buffer.concat([Buffer.alloc(400, 1), readFileSync(shard)]));
		await expect(collectRollouts(options("claimed"))).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
	}, 60_000);

	test("that are damaged or missing are an error for the training, never a crash", async () => {
		await collectRollouts(options("damaged", { prompts: prompts.slice(0, 20) }));
		const train = () =>
			trainCritic({ rollouts: join(folder, "damaged"), out: join(folder, "never.gguf"), width: 4, members: 1, threads: 1, epochs: 1 });
		const manifestPath = join(folder, "damaged", "manifest.json");
		const manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
		writeFileSync(manifestPath, "{");
		await expect(train()).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
		writeFileSync(manifestPath, JSON.stringify({ ...manifest, version: 2 }));
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

	test("hold what the base model and the cost model really did", async () => {
		await collectRollouts(options("truth", { prompts: [[3], [5, 6]], responses: 4 }));
		const { manifest, records, missing } = await readRollouts(join(folder, "truth"));
		expect(missing).toBe(0);
		expect(manifest.shape).toEqual({ hidden: 64, summary: 11, constraints: 1 });
		const responses: { prompt: number; response: number; tokens: number; positions: number; cost: number }[] = [];
		for (const record of records) {
			for (let at = 0; at < record.length; ) {
				const [prompt, response] = [record.readInt32LE(at), record.readInt32LE(at + 4)];
				const [tokens, positions] = [record.readUInt32LE(at + 8), record.readUInt32LE(at + 12)];
				responses.push({ prompt, response, tokens, positions, cost: record.readDoubleLE(at + 24) });
				at += 24 + 8 + 4 * tokens + positions * (4 + 4 * 11 + 16 + 2 * 64);
			}
		}
		expect(responses.map(({ prompt, response }) => [prompt, response])).toEqual([0, 1].flatMap((p) => [0, 1, 2, 3].map((r) => [p, r])));
		for (const { tokens, positions, cost } of responses) {
			expect(tokens).toBeLessThanOrEqual(12);
			expect(positions).toBe(Math.ceil(tokens / 4));
			expect(cost).toBeGreaterThanOrEqual(0);
		}
	}, 60_000);
});
