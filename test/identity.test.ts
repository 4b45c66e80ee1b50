// A fingerprint of a model is of every byte of every part, of the very files that were loaded, and computed once.
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
	closeSync,
	copyFileSync,
	existsSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { harmProbes, harmProbesBySize } from "../lib/costs/harm.js";
import { calibrate, type EvaluationConfig } from "../lib/evaluation/index.js";
import { modelHash } from "../lib/files/fingerprint.js";
import { pinnedModels } from "../lib/files/model-cache.js";
import { readProbe } from "../lib/files/probe.js";
import { embeddedDefault } from "../lib/guard/embedded.js";
import { InferenceGuard, type LoadOptions } from "../lib/index.js";
import { collectRollouts, trainCritic } from "../lib/training/index.js";
import { probesIn } from "./probes.js";
import { smallModel, smallModelParts, temporaryFolder } from "./temporary.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const sha256 = (...paths: string[]) => paths.reduce((hash, path) => hash.update(readFileSync(path)), createHash("sha256")).digest("hex");

/** Changes one byte in place. */
function flip(path: string, at: number): void {
	const byte = readFileSync(path)[at] as number;
	const opened = openSync(path, "r+");
	writeSync(opened, Uint8Array.of(byte ^ 1), 0, 1, at);
	closeSync(opened);
}

describe("the fingerprint of a model", () => {
	test("a model's fingerprint is the SHA-256 of its file, and covers every byte", async () => {
		const path = smallModel(folder, { context: 64 });
		const honest = sha256(path);
		expect(await modelHash(path)).toBe(honest);
		const { length } = readFileSync(path);
		await fc.assert(
			fc.asyncProperty(fc.integer({ min: 32, max: length - 1 }), async (at) => {
				const copy = file("flipped.gguf");
				copyFileSync(path, copy);
				flip(copy, at);
				const hash = await modelHash(copy).catch(({ code }) => code); // a damaged header is no model
				expect(hash).not.toBe(honest);
				if (hash !== "INVALID_MODEL") expect(hash).toBe(sha256(copy));
			}),
			{ numRuns: 20 },
		);
	});

	test("the fingerprint of a split model covers all parts in order, and needs each part", async () => {
		const parts = smallModelParts(folder, { context: 64, parts: 3 });
		const [first, , third] = parts as [string, string, string];
		expect(await modelHash(first)).toBe(sha256(...parts));
		for (const part of parts) {
			const before = await modelHash(first);
			flip(part, statSync(part).size - 1);
			expect(await modelHash(first)).not.toBe(before);
		}
		expect(await modelHash(first)).toBe(sha256(...parts));
		renameSync(third, `${third}.away`);
		await expect(modelHash(first)).rejects.toMatchObject({ code: "INVALID_MODEL", message: expect.stringContaining(third) });
		renameSync(`${third}.away`, third);
		copyFileSync(first, file("first.gguf"));
		await expect(modelHash(file("first.gguf"))).rejects.toMatchObject({
			code: "INVALID_MODEL",
			message: expect.stringContaining("-00001-of-00003.gguf"),
		});
	});

	test("a model's fingerprint is that of the loaded file, on request, and can be aborted", async () => {
		const path = smallModel(folder, { context: 64 });
		await using guard = await InferenceGuard.load({ model: path, cost: { lexicon: ["w300"] }, threads: 1 });
		const { engine } = await guard.generate({ prompt: [1, 300], maxTokens: 2, strategy: "sample" });
		expect(engine.modelHash).toBeNull();
		const stop = new AbortController();
		stop.abort();
		await expect(guard.modelHash({ signal: stop.signal })).rejects.toMatchObject({ code: "ABORTED" });
		const failing = () => {
			throw new Error("mine");
		};
		await expect(guard.modelHash({ onProgress: failing })).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
		const shares: number[] = [];
		expect(await guard.modelHash({ onProgress: (share) => shares.push(share) })).toBe(sha256(path));
		expect(shares.at(-1)).toBe(1);
		expect(shares).toEqual([...shares].sort((a, b) => a - b));
		expect((await guard.generate({ prompt: [1, 300], maxTokens: 2, strategy: "sample" })).engine.modelHash).toBe(sha256(path));
	});

	test.each<[string, (path: string) => void]>([
		[
			"replaced",
			(path) => {
				copyFileSync(path, `${path}.new`);
				flip(`${path}.new`, statSync(path).size - 1);
				renameSync(`${path}.new`, path);
			},
		],
		[
			"changed in place, and its time set back",
			(path) => {
				const { atime, mtime } = statSync(path);
				flip(path, statSync(path).size - 1);
				utimesSync(path, atime, mtime);
			},
		],
		["removed", (path) => rmSync(path)],
	])("a model's fingerprint is refused where the file was %s since it was loaded", async (_, change) => {
		const parts = smallModelParts(folder, { context: 64, parts: 2 });
		for (const part of parts) {
			await using guard = await InferenceGuard.load({ model: parts[0] as string, cost: { lexicon: ["w300"] }, threads: 1 });
			const kept = readFileSync(part);
			change(part);
			await expect(guard.modelHash()).rejects.toMatchObject({ code: expect.stringMatching(/INVALID_MODEL|MODEL_NOT_FOUND/) });
			writeFileSync(part, kept);
		}
	});

	test("the fingerprint of a table is known at once", async () => {
		const model = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }; // biome-ignore format: a table
		await using guard = await InferenceGuard.load({ model });
		const { engine } = await guard.generate({ prompt: [0], maxTokens: 1, strategy: "sample" });
		expect(engine.modelHash).toBe(await guard.modelHash());
	});
});

describe("the cache of fingerprints", () => {
	const model = smallModel(folder, { context: 64 });
	const copy = () => {
		const path = file(`${randomBytes(4).toString("hex")}.gguf`);
		copyFileSync(model, path);
		return path;
	};
	const inCache = async (cache: string, path: string) => {
		const env = { ...process.env, XDG_CACHE_HOME: cache };
		const { stdout } = await promisify(execFile)(process.execPath, [main, "inspect", path, "--json"], { env });
		return JSON.parse(stdout).hash as string;
	};
	const entryIn = (cache: string) => {
		const hashes = join(cache, "inferenceguard", "hashes");
		const [name = "", ...more] = readdirSync(hashes);
		expect(more).toEqual([]);
		return join(hashes, name);
	};

	test("the cache of fingerprints saves a second reading, and holds the file's status", async () => {
		const [cache, path] = [file("cache"), copy()];
		expect(await inCache(cache, path)).toBe(sha256(path));
		const entry = entryIn(cache);
		const kept = JSON.parse(readFileSync(entry, "utf8"));
		expect(kept).toMatchObject({ sha256: sha256(path), files: [{ path, size: statSync(path).size, inode: `${statSync(path).ino}` }] });
		const other = "0".repeat(64);
		writeFileSync(entry, JSON.stringify({ ...kept, sha256: other }));
		expect(await inCache(cache, path)).toBe(other); // so it was not read
	});

	test.each<[string, (path: string) => void]>([
		[
			"another content of the same size and time",
			(path) => {
				const { atime, mtime } = statSync(path);
				flip(path, statSync(path).size - 1);
				utimesSync(path, atime, mtime);
			},
		],
		[
			"another file of the same size and time",
			(path) => {
				const { atime, mtime } = statSync(path);
				copyFileSync(path, `${path}.new`);
				flip(`${path}.new`, statSync(path).size - 1);
				utimesSync(`${path}.new`, atime, mtime);
				renameSync(`${path}.new`, path);
			},
		],
	])("the cache of fingerprints does not take %s for the known file", async (_, change) => {
		const [cache, path] = [file(randomBytes(4).toString("hex")), copy()];
		const before = await inCache(cache, path);
		change(path);
		expect(await inCache(cache, path)).toBe(sha256(path));
		expect(sha256(path)).not.toBe(before);
	});

	test("a cache of fingerprints that is damaged or cannot be written is ignored", async () => {
		const [cache, path] = [file("damaged"), copy()];
		const honest = await inCache(cache, path);
		const entry = entryIn(cache);
		const kept = JSON.parse(readFileSync(entry, "utf8"));
		for (const text of ["", "{", "null", "[]", JSON.stringify({ ...kept, sha256: "short" }), JSON.stringify({ ...kept, files: [] })]) {
			writeFileSync(entry, text);
			expect(await inCache(cache, path)).toBe(honest);
		}
		rmSync(entry);
		mkdirSync(entry);
		expect(await inCache(cache, path)).toBe(honest);
		writeFileSync(file("no-folder"), "");
		expect(await inCache(file("no-folder"), path)).toBe(honest);
		expect(existsSync(dirname(entry))).toBe(true);
	});
});

describe("what was made for a model", () => {
	test("files in the package carry the fingerprints of their models", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
		expect(await guard.modelHash()).toBe(sha256(embeddedDefault.model));
		const [smollm2] = pinnedModels.smollm2?.files ?? [];
		expect([...harmProbesBySize.keys()]).toEqual([smollm2?.size]);
		expect(harmProbes.map((probe) => readProbe(probe).modelHash)).toEqual([smollm2?.sha256]);
	});

	test("files with a fingerprint of the first version are refused with the remedy", async () => {
		const model = smallModel(folder);
		const old = (path: string) => {
			const bytes = readFileSync(path);
			const key = Buffer.from("inferenceguard.format_version");
			bytes.writeDoubleLE(1, bytes.indexOf(key) + key.length + 4); // behind the type
			writeFileSync(file("old.gguf"), bytes);
			return file("old.gguf");
		};
		const message = expect.stringMatching(/version 2.*has version 1.*make the file again/);
		const critic = { ...embeddedDefault, critic: old(embeddedDefault.critic) };
		await expect(InferenceGuard.load(critic)).rejects.toMatchObject({ code: "INVALID_CRITIC", message });
		const probe = old((await probesIn(folder)(model, 64, [0])).path);
		await expect(InferenceGuard.load({ model, cost: { probe } })).rejects.toMatchObject({ code: "INVALID_COST_MODEL", message });
		const out = file("rollouts");
		await collectRollouts({ model, cost: { lexicon: ["w300"] }, threads: 1, prompts: [[1], [2], [3]], responses: 2, maxTokens: 2, out });
		const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
		writeFileSync(join(out, "manifest.json"), JSON.stringify({ ...manifest, version: 2 }));
		await expect(trainCritic({ rollouts: out, out: file("never.gguf") })).rejects.toMatchObject({ code: "INVALID_ROLLOUTS" });
	});

	test("a certificate does not cover a model with another second part", async () => {
		const [model, second] = smallModelParts(folder, { parts: 2 }) as [string, string];
		const guard: LoadOptions = { model, cost: { lexicon: ["w3*"] }, budget: 0, threads: 1 };
		writeFileSync(file("prompts.txt"), "w301 w302\nw303\n");
		const search = { maxTokens: 4, candidates: 2 };
		const methods = [{ name: "guard", ...search }];
		const config: EvaluationConfig = { name: "parts", guard, data: { file: file("prompts.txt") }, methods };
		await calibrate({ config, out: file("certificate.json"), evaluation: file("evaluation") });
		const certified = () => InferenceGuard.load({ ...guard, certificate: file("certificate.json") });
		await using covered = await certified();
		expect((await covered.generate({ prompt: "w301", ...search })).certificate).toBeDefined();
		flip(second, statSync(second).size - 1);
		await expect(certified()).rejects.toMatchObject({ code: "CERTIFICATE_MISMATCH", message: expect.stringContaining("model") });
	});
});
