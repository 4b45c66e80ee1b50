// Every example runs, with the embedded model; the Electron app with a stand-in for Electron, and unpacked from an archive.
import { spawn, spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { placeBinary, placeCode, placeFolder, platform, root } from "./installed.js";
import { temporaryFolder } from "./temporary.js";

const example = (path: string) => join(root, "examples", path);

function output(...args: string[]): string {
	const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
	expect(stderr).toBe("");
	expect(status).toBe(0);
	return stdout;
}

const outcomes = /^(safe|steered|truncated)/m;

test("the example for Node prints a response, a stream and their outcomes", () => {
	const said = output(example("node/main.mjs"), "The girl opened the door.");
	expect(said).toMatch(/^(safe|steered), cost [\d.]+ of 0\.5:./s);
	expect(said.trimEnd().split("\n").at(-1)).toMatch(outcomes);
});

test("the example with a worker thread prints what the thread streams", () => {
	const said = output(example("worker-threads/main.mjs"));
	expect(said.trimEnd().split("\n").at(-1)).toMatch(outcomes);
	expect(said.length).toBeGreaterThan(20);
});

/** A program that runs until it is told to end, line by line. */
function started(...args: string[]) {
	const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, PORT: "0" } });
	const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const ended = new Promise((resolve) => child.once("close", resolve));
	const end = () => {
		child.kill("SIGTERM");
		return ended;
	};
	return { line: async () => (await lines.next()).value as string, end };
}

test.skipIf(process.platform === "win32")("the server streams events, survives clients that leave and bad requests, and ends", async () => {
	const server = started(example("sse-server/server.mjs"));
	const address = await server.line();
	const ask = (body: string, signal?: AbortSignal) => fetch(address, { method: "POST", body, signal: signal ?? null });

	const leaving = new AbortController();
	await ask(JSON.stringify({ prompt: "The girl opened the door." }), leaving.signal);
	leaving.abort();

	const events = (await (await ask(JSON.stringify({ prompt: "The girl opened the door." }))).text()).trim().split("\n\n");
	const kinds = events.map((event) => /^event: (\w+)\ndata: \{/.exec(event)?.[1]);
	expect(kinds.at(-1)).toBe("reply");
	expect(new Set(kinds.slice(0, -1))).toEqual(new Set(["piece"]));

	expect(await (await ask("{}")).text()).toMatch(/^event: error\ndata: \{"code":"INVALID_(OPTION|PROMPT)"/);
	expect(await (await ask("no JSON")).text()).toMatch(/^event: error\ndata: \{"code":"INVALID_REQUEST"/);
	expect((await fetch(new URL("/elsewhere", address))).status).toBe(404);
	expect(await server.end()).toBe(0);
});

const folder = temporaryFolder();

/** The app as packagers lay it out: its code and its dependencies in the archive, what must be files beside it. */
function packagedApp(): string {
	const archive = join(folder, "app.asar");
	const modules = join(archive, "node_modules");
	cpSync(example("electron"), archive, { recursive: true });
	cpSync(join(root, "test/electron-stub"), join(modules, "electron"), { recursive: true });
	placeCode(modules);
	const unpacked = join(folder, "app.asar.unpacked/node_modules");
	placeFolder("models", unpacked);
	placeBinary(join(unpacked, "@inferenceguard", platform), platform);
	// an archive lists the files beside it too
	cpSync(join(unpacked, "@inferenceguard"), join(modules, "@inferenceguard"), {
		recursive: true,
		filter: (path) => !path.endsWith(".node"),
	});
	return join(archive, "main.mjs");
}

test("the Electron app streams through its processes, and finds binary and models beside the archive", () => {
	const { text, pieces, reply, aborted, invalid } = JSON.parse(output(packagedApp()));
	expect(pieces).toBeGreaterThan(0);
	expect(text.length).toBeGreaterThan(10);
	expect(reply.outcome).toMatch(outcomes);
	expect(reply.cost).toBeLessThanOrEqual(reply.budget);
	expect(aborted).toMatch(/^ABORTED: /);
	expect(invalid).toMatch(/^INVALID_(OPTION|PROMPT): /);
});
