// One process at a time, in whichever container and on whichever machine it runs.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { AppendedLines } from "../lib/data/appended-lines.js";
import { takeLock } from "../lib/data/lock.js";
import { InvalidDataError } from "../lib/errors.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const fresh = () => join(mkdtempSync(join(folder, "case-")), "rows.jsonl");

const code = `
	import { AppendedLines } from ${JSON.stringify(new URL("../dist/data/appended-lines.js", import.meta.url).href)};
	try {
		const [file] = await AppendedLines.open(process.argv[1], Error, () => {});
		console.log("held");
		await new Promise((resolve) => process.stdin.once("data", resolve));
		console.log(await file.append({ row: process.pid }).then(() => "written", ({ code }) => code));
		await file.close();
	} catch ({ message }) {
		console.log(message);
	}
	process.exit();`;

const children: ChildProcess[] = [];
afterAll(() => {
	for (const child of children) child.kill("SIGKILL");
});

/** A process that holds a file until it is written to. */
function holder(path: string, command: string[] = []) {
	const [program = "", ...args] = [...command, process.execPath, "--input-type=module", "-e", code, path];
	const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
	children.push(child);
	const said: string[] = [];
	child.stdout.setEncoding("utf8").on("data", (text: string) => said.push(...text.trim().split("\n")));
	const next = async () => {
		while (said.length === 0) await once(child.stdout, "data");
		return said.shift();
	};
	return { child, next };
}

const container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const withoutProc = ["unshare", "--pid", "--fork", "--kill-child"]; // /proc is that of another container
const otherHost = [...container, "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"];
const canUnshare = spawnSync(container[0] as string, [...otherHost.slice(1), "true"]).status === 0;
const testInContainers = test.skipIf(!canUnshare);

const lockOf = (path: string) => JSON.parse(readFileSync(`${path}.lock`, "utf8"));
const open = (path: string) => AppendedLines.open(path, InvalidDataError, (lines) => lines);

describe.concurrent("a file that is open elsewhere", () => {
	testInContainers.for<[string, string[], string[]]>([
		["two containers", container, container],
		["this one and a container", [], container],
		["a container and this one", container, []],
		["two containers without a /proc of their own", withoutProc, withoutProc],
		["one container without a /proc of its own, and this one", withoutProc, []],
		["two machines", otherHost, container],
	])("a file that is opened by %s is held by one of them", { timeout: 60_000 }, async ([, first, second], { expect }) => {
		const path = fresh();
		const one = holder(path, first);
		expect(await one.next()).toBe("held");
		const { pid, host } = lockOf(path);
		expect(await holder(path, second).next()).toContain(`process ${pid} on ${host} writes it`);
		one.child.stdin.write("\n");
		expect(await one.next()).toBe("written");
		await once(one.child, "exit");
		expect(existsSync(`${path}.lock`)).toBe(false);
		const [file, lines] = await open(path);
		expect(lines).toHaveLength(1);
		await file.close();
	});

	testInContainers(
		"a file locked by a killed process goes to the next one, wherever it runs",
		async ({ expect }) => {
			const path = fresh();
			const one = holder(path, container);
			expect(await one.next()).toBe("held");
			one.child.kill("SIGKILL");
			await once(one.child, "exit");
			expect(await holder(path, otherHost).next()).toBe("held");
			expect(lockOf(path).host).toBe("elsewhere");
		},
		60_000,
	);

	test("a file with an unknown lock is free once the lock gives no sign of life", async ({ expect }) => {
		await Promise.all(
			["", "17", '{"pid":', JSON.stringify({ pid: 1, start: "1", host: "elsewhere", boot: "another", namespaces: "others" })].map(
				async (text) => {
					const path = fresh();
					writeFileSync(`${path}.lock`, text);
					const begin = performance.now();
					const [file] = await open(path);
					expect(performance.now() - begin).toBeGreaterThan(9000);
					await file.close();
				},
			),
		);
	}, 60_000);

	test("a file locked by a living process on another machine stays locked", async ({ expect }) => {
		const path = fresh();
		writeFileSync(`${path}.lock`, JSON.stringify({ pid: 7, start: "1", host: "elsewhere", boot: "another", namespaces: "others" }));
		let beats = 0;
		const timer = setInterval(() => utimesSync(`${path}.lock`, ++beats, beats), 2000);
		await expect(open(path)).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining("process 7 on elsewhere") });
		clearInterval(timer);
	}, 60_000);

	test("a file that was taken over is written by its new holder alone", async ({ expect }) => {
		const path = fresh();
		const [file] = await open(path);
		await file.append({ row: 1 });
		writeFileSync(`${path}.lock`, JSON.stringify({ ...lockOf(path), pid: 1, host: "elsewhere" }));
		await expect(file.append({ row: 2 })).rejects.toMatchObject({ code: "WRITE_FAILED", message: expect.stringContaining("taken over") });
		await file.close();
		expect([readFileSync(path, "utf8"), lockOf(path).host]).toEqual(['{"row":1}\n', "elsewhere"]);
	});
});

describe.concurrent("a takeover that was killed on its way", () => {
	const unknown = JSON.stringify({ pid: 1, start: "1", host: "elsewhere", boot: "another", namespaces: "others" });
	const left: [string, string[]][] = [
		["the lock of a process that is no more", ["dead"]],
		["an empty lock", [""]],
		["the lock of a process that nothing is known of", [unknown]],
		["the locks of a takeover that was itself taken over", ["dead", "dead", "dead"]],
	];

	test.for(left)("a killed takeover leaves %s, and blocks nobody", { timeout: 60_000 }, async ([, takeovers], { expect }) => {
		const path = fresh();
		const gone = holder(path);
		expect(await gone.next()).toBe("held");
		gone.child.kill("SIGKILL");
		await once(gone.child, "exit");
		const dead = readFileSync(`${path}.lock`, "utf8");
		for (const [i, text] of takeovers.entries()) writeFileSync(`${path}.lock${".takeover".repeat(i + 1)}`, text === "dead" ? dead : text);
		const several = Array.from({ length: 4 }, () => holder(path));
		const said = await Promise.all(several.map((one) => one.next()));
		expect(said.map((text) => text === "held" || text?.endsWith("if nothing writes it"))).toEqual([true, true, true, true]);
		const winners = several.filter((_, i) => said[i] === "held");
		expect(winners.map(({ child }) => child.pid)).toEqual([lockOf(path).pid]);
		const [{ child, next }] = winners as [(typeof winners)[number]];
		child.stdin.write("\n");
		expect(await next()).toBe("written");
		await once(child, "exit");
		expect(readdirSync(dirname(path))).toEqual(["rows.jsonl"]);
	});
});

describe.skipIf(process.platform !== "linux")("an id that comes again", () => {
	test.each([process.pid, process.ppid])("a reused process id is another process if it started at another time", async (pid) => {
		const path = fresh();
		const lock = await takeLock(`${path}.lock`);
		expect(lock).not.toBeTypeOf("string");
		const own = lockOf(path);
		const start = (/.*\) (?:\S+ ){19}(\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [])[1];
		writeFileSync(`${path}.lock`, JSON.stringify({ ...own, pid, start }));
		expect(await takeLock(`${path}.lock`)).toBe(`process ${pid} on ${own.host}`);
		writeFileSync(`${path}.lock`, JSON.stringify({ ...own, pid, start: `${Number(start) - 1}` }));
		expect(await takeLock(`${path}.lock`)).not.toBeTypeOf("string");
		expect(lockOf(path)).toEqual(own);
	});
});
