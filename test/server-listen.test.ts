// The server on a socket, and the command that runs it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { describe, expect, test, vi } from "vitest";
import { embeddedDefault, InferenceGuard } from "../lib/index.js";
import { listen } from "../lib/server/index.js";
import { cli, main } from "./child.js";
import { chatMetadata } from "./listening-model.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const messages = [{ role: "user" as const, content: "w301" }];
const search = { maxTokens: 4, blockLength: 2, candidates: 1 };

describe("a server on a socket", () => {
	test("a client that disconnects ends its search, and others are answered", async () => {
		let [arrived, open] = [0, () => {}];
		const gate = new Promise<void>((resolve) => {
			open = resolve;
		});
		const cost = async (candidates: readonly unknown[]) => {
			arrived++;
			await gate;
			return candidates.map(() => 0);
		};
		const model = smallModel(folder, { metadata: chatMetadata });
		await using guard = await InferenceGuard.load({ model, cost, budget: 1, threads: 1 });
		const server = await listen(guard, { port: 0, parallel: 1, search });
		const client = new OpenAI({ apiKey: "none", baseURL: `${server.url}/v1`, maxRetries: 0 });
		for (const stream of [false, true]) {
			const leaving = new AbortController();
			const before = arrived;
			const asked = client.chat.completions.create({ model: "inferenceguard", messages, stream }, { signal: leaving.signal });
			while (arrived === before) await sleep(2);
			leaving.abort();
			await expect(asked).rejects.toThrow();
		}
		const last = client.chat.completions.create({ model: "inferenceguard", messages });
		while (arrived < 3) await sleep(2);
		open();
		expect((await last).usage?.completion_tokens).toBe(4);
		await server.close();
		await expect(fetch(`${server.url}/health`)).rejects.toThrow();
	});

	test("a request in chunks is read, up to the limit", async () => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder), constraints: [], threads: 1 });
		const server = await listen(guard, { port: 0, search: { ...search, strategy: "sample" }, maxBody: 1000 });
		const post = async (text: string) => {
			const body = new Blob([text.slice(0, 5), text.slice(5)]).stream();
			const { status } = await fetch(`${server.url}/v1/completions`, { method: "POST", body, duplex: "half" } as RequestInit);
			return status;
		};
		expect(await post(JSON.stringify({ prompt: "w301" }))).toBe(200);
		expect(await post(JSON.stringify({ prompt: "w301", user: "x".repeat(1000) }))).toBe(413);
		await server.close();
	});

	test("a request in the name of another site is refused by default", async () => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder), constraints: [], threads: 1 });
		const server = await listen(guard, { port: 0, search: { strategy: "sample" } });
		const asked = request(`${server.url}/v1/models`, { headers: { host: "evil.example" } }).end();
		const [response] = await once(asked, "response");
		expect(response.statusCode).toBe(403);
		response.resume();
		await server.close();
	});

	test("a server that is closed answers 503 until what runs has ended, however often it is told", async () => {
		let open = () => {};
		const gate = new Promise<void>((resolve) => {
			open = resolve;
		});
		let isAsked = false;
		const cost = async (candidates: readonly unknown[]) => {
			isAsked = true;
			await gate;
			return candidates.map(() => 0);
		};
		await using guard = await InferenceGuard.load({ model: smallModel(folder), cost, budget: 1, threads: 1 });
		const server = await listen(guard, { port: 0, search });
		const body = JSON.stringify({ prompt: "w301" });
		const running = fetch(`${server.url}/v1/completions`, { method: "POST", body });
		while (!isAsked) await sleep(2);
		const closed = [server.close(), server.close()];
		expect((await fetch(`${server.url}/health`)).status).toBe(503);
		open();
		expect((await running).status).toBe(200);
		await Promise.all(closed);
		await expect(fetch(`${server.url}/health`)).rejects.toThrow();
	});

	test("an address that others reach needs a key", async () => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder), constraints: [], threads: 1 });
		for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.com"]) {
			await expect(listen(guard, { host, port: 0, search: { strategy: "sample" } })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		}
		for (const more of [{ apiKeys: ["k"] }, { auth: false }]) {
			const server = await listen(guard, { host: "0.0.0.0", port: 0, search: { strategy: "sample" }, ...more });
			const { port } = new URL(server.url);
			expect((await fetch(`http://127.0.0.1:${port}/v1/models`)).status).toBe("apiKeys" in more ? 401 : 200);
			await server.close();
		}
	});
});

describe("inferenceguard serve", () => {
	const noKeys = join(folder, "no-keys");
	writeFileSync(noKeys, "# nobody yet\n\n");
	const [, lexicon] = embeddedDefault.constraints;
	const flags = [
		"serve",
		"--model",
		embeddedDefault.model,
		"--cost",
		lexicon.cost.lexicon,
		"--budget",
		"2",
		"--threads",
		"1",
		"--port",
		"0",
	];

	test("serves until it is told to end, and lets what runs end first", async () => {
		writeFileSync(join(folder, "keys"), "# of the team\nsecret\n");
		const child = spawn(process.execPath, [main, ...flags, "--api-key-file", join(folder, "keys"), "--max-tokens", "64"]);
		const ended = once(child, "exit");
		const [line] = (await once(createInterface(child.stdout), "line")) as [string];
		const [, url] = /^two-shelves answers at (http:\/\/127\.0\.0\.1:\d+\/v1) within the budget 2, without a certificate$/.exec(line) ?? [];
		const client = new OpenAI({ apiKey: "secret", baseURL: url, maxRetries: 0 });
		const stream = await client.completions.create({ model: "two-shelves", prompt: "The old man", stream: true });
		child.kill("SIGTERM");
		let reason: string | null = null;
		for await (const { choices } of stream) reason = choices[0]?.finish_reason ?? null;
		expect(reason).toMatch(/^(stop|length)$/);
		expect(await ended).toEqual([0, null]);
	});

	test("a variable for the key that is empty does not open the server", async () => {
		for (const key of ["", " \n"]) {
			vi.stubEnv("INFERENCEGUARD_API_KEY", key);
			const { status, stderr } = await cli("serve", "--model", join(folder, "none.gguf")).finally(() => vi.unstubAllEnvs());
			expect(stderr).toMatch(/expected a key in INFERENCEGUARD_API_KEY/);
			expect(status).toBe(2);
		}
	});

	test.each([
		[["--host", "0.0.0.0"], /--host: expected a key/],
		[["--port", "x"], /--port: expected an integer from 0 to 65535/],
		[["--parallel", "0"], /--parallel: expected an integer from 1 to 64/],
		[["--candidates", "2", "--beams", "3"], /--beams: expected at most/],
		[["--api-key-file", "/nowhere"], /--api-key-file: expected a file of keys/],
		[["--api-key-file", noKeys], /--api-key-file: expected a file of keys/],
		[["--api-key", ""], /--api-key: expected a key/],
	])("says before it loads what is wrong with %j", async (wrong, message) => {
		const { status, stderr } = await cli("serve", "--model", join(folder, "none.gguf"), ...wrong);
		expect(stderr).toMatch(message);
		expect(status).toBe(2);
	});
});
