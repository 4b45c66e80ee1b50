// Locks a file for one process at a time, by a second file that names the holder. Process ids are meaningful only within one container of
// one machine. Therefore the holder also touches its lock every two seconds, as a sign of life for processes elsewhere.
import { readFileSync, readlinkSync } from "node:fs";
import { type FileHandle, open, rename, rm, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { type InferenceGuardError, WriteError } from "../errors.js";
import { writeFailure } from "./output.js";

export type ErrorClass = new (message: string, options?: ErrorOptions) => InferenceGuardError;

const beatEvery = 2000; // ms
const lookEvery = 100; // ms
const silence = 10_000; // ms without a sign of life; after it, a holder about which nothing else is known counts as dead

const holderSchema = z.object({
	pid: z.int().min(1),
	/** When the process started, in the system's own unit, because ids are reused. Empty if unknown. */
	start: z.string(),
	host: z.string(),
	/** Of the machine; it changes with every boot. Empty if unknown. */
	boot: z.string(),
	/** Ids and start times are comparable within the same ones. */
	namespaces: z.string(),
});

type Holder = z.output<typeof holderSchema>;

/** The content of a lock at one moment. */
interface Sight {
	text: string;
	touched: number;
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** Reads from /proc; empty if it is not available. */
function fromProc(read: () => string): string {
	try {
		return read();
	} catch {
		return "";
	}
}

/** State and start are the 3rd and 22nd field; the 2nd is a name in brackets that may contain anything. */
function statusOf(pid: number | "self"): { state: string; start: string } {
	const status = fromProc(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
	const [, state = "", start = ""] = /.*\) (\S) (?:\S+ ){18}(\d+)/s.exec(status) ?? [];
	return { state, start };
}

let own: Holder | undefined;

function thisProcess(): Holder {
	own ??= {
		pid: process.pid,
		start: statusOf("self").start,
		host: hostname(),
		boot: fromProc(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
		namespaces: ["pid", "time"].map((name) => fromProc(() => readlinkSync(`/proc/self/ns/${name}`))).join(" "),
	};
	return own;
}

function holderOf({ text }: Sight): Holder | undefined {
	try {
		return holderSchema.parse(JSON.parse(text));
	} catch {
		return undefined;
	}
}

function isRunning(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return codeOf(error) !== "ESRCH";
	}
}

/** Whether a holder still runs; undefined if that cannot be determined from here. */
function isAlive(holder: Holder): boolean | undefined {
	const { pid, host, boot, namespaces } = thisProcess();
	const isHere = holder.boot === boot && holder.namespaces === namespaces && (boot !== "" || holder.host === host);
	if (!isHere) return undefined;
	if (!isRunning(holder.pid)) return false;
	const isOwnProc = fromProc(() => readlinkSync("/proc/self")) === String(pid); // /proc may belong to another container
	if (!isOwnProc && holder.pid !== pid) return undefined;
	const { state, start } = statusOf(isOwnProc ? holder.pid : "self");
	if (start === "") return undefined;
	return start === holder.start && state !== "Z"; // a zombie has ended
}

/** Creates this process's lock, unless one exists. */
async function make(path: string): Promise<boolean> {
	let file: FileHandle;
	try {
		file = await open(path, "wx");
	} catch (error) {
		if (codeOf(error) === "EEXIST") return false;
		throw error;
	}
	try {
		await file.writeFile(JSON.stringify(thisProcess()));
	} catch (error) {
		await rm(path, { force: true }); // a full disk leaves an empty lock
		throw error;
	} finally {
		await file.close();
	}
	return true;
}

/** Undefined if the lock is gone. Opens the file first, because only that makes a network file system look again. */
async function look(path: string): Promise<Sight | undefined> {
	try {
		const file = await open(path);
		try {
			return { text: await file.readFile("utf8"), touched: (await file.stat()).mtimeMs };
		} finally {
			await file.close();
		}
	} catch (error) {
		if (codeOf(error) !== "ENOENT") throw error;
		return undefined;
	}
}

const isSame = (a: Sight | undefined, b: Sight) => a?.text === b.text && a.touched === b.touched;

/** Whether a lock's holder is dead, or gives no sign of life for a while. */
async function isAbandoned(path: string, seen: Sight): Promise<boolean> {
	const holder = holderOf(seen);
	const alive = holder && isAlive(holder);
	if (alive !== undefined) return !alive;
	for (const begin = performance.now(); performance.now() - begin < silence; ) {
		await wait(lookEvery);
		if (!isSame(await look(path), seen)) return false;
	}
	return true;
}

/** A lock that this process holds. */
export class Lock {
	readonly #path: string;
	readonly #beat: NodeJS.Timeout;

	constructor(path: string) {
		this.#path = path;
		this.#beat = setInterval(() => {
			const now = new Date();
			utimes(path, now, now).catch(() => {}); // if the lock is gone, expectHeld reports it
		}, beatEvery).unref();
	}

	/** Errors: WRITE_FAILED if it was taken over, which happens to a process that was suspended for long. */
	async expectHeld(): Promise<void> {
		if (await this.#isHeld()) return;
		throw new WriteError(`expected to hold ${this.#path}, but it was removed or taken over by another process; start again`);
	}

	/** Moves the lock to another path, and ends at this one; false if it is no longer held. */
	async moveTo(path: string): Promise<boolean> {
		if (!(await this.#isHeld())) return false;
		await rename(this.#path, path);
		clearInterval(this.#beat);
		return true;
	}

	async release(): Promise<void> {
		clearInterval(this.#beat);
		if (await this.#isHeld()) await rm(this.#path, { force: true });
	}

	async #isHeld(): Promise<boolean> {
		return (await look(this.#path).catch(() => undefined))?.text === JSON.stringify(thisProcess());
	}
}

/** The holder of a lock, for a message. */
function nameOf(seen: Sight): string {
	const holder = holderOf(seen);
	return holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
}

/**
 * Takes a lock, also over from a dead process. Returns the lock, or its holder's name. If several processes find it abandoned, one of them
 * replaces it under a second lock, so that a lock that another has just taken stays. The second lock may be taken over from a dead process
 * in the same way. A process whose state is unknown here (it runs or ran in another container, on another machine, or before a restart) is
 * watched for up to ten seconds.
 */
export async function takeLock(path: string): Promise<Lock | string> {
	while (!(await make(path))) {
		const seen = await look(path);
		if (seen === undefined) continue; // just released
		if (!(await isAbandoned(path, seen))) return nameOf(seen);
		const takeover = await takeLock(`${path}.takeover`);
		if (typeof takeover === "string") return takeover;
		let isTaken = false;
		try {
			isTaken = isSame(await look(path), seen) && (await takeover.moveTo(path));
		} finally {
			if (!isTaken) await takeover.release();
		}
		if (isTaken) break;
	}
	return new Lock(path);
}

/**
 * Locks a file by `<path>.lock` next to it. Until that is released, no other process can lock it, in any container and on any machine.
 * Errors: WRITE_FAILED, `Invalid` if it is in use.
 */
export async function lockFile(path: string, Invalid: ErrorClass): Promise<Lock> {
	const beside = `${path}.lock`;
	const lock = await takeLock(beside).catch((cause) => {
		throw writeFailure(beside, cause);
	});
	if (typeof lock !== "string") return lock;
	throw new Invalid(
		`expected ${path} to be free, but ${lock} writes it; wait for its end, choose another place, or remove ${beside} if nothing writes it`,
	);
}
