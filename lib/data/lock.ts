// One process at a time: a file beside what it guards that says which process holds it. Process ids mean something within one container of
// one machine only. Where a lock comes from elsewhere, its holder gives signs of life: it touches the file every two seconds.
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
const silence = 10_000; // ms without a sign of life, after which a holder of whom nothing else is known is no more

const holderSchema = z.object({
	pid: z.int().min(1),
	/** When the process started, in the system's own measure: ids come again. Empty where that is not to be had. */
	start: z.string(),
	host: z.string(),
	/** Of the machine, new with every boot; empty where there is none. */
	boot: z.string(),
	/** Within which ids and starts can be compared. */
	namespaces: z.string(),
});

type Holder = z.output<typeof holderSchema>;

/** What a lock says at one moment. */
interface Sight {
	text: string;
	touched: number;
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** Of what /proc says; empty where it does not. */
function fromProc(read: () => string): string {
	try {
		return read();
	} catch {
		return "";
	}
}

/** State and start are the 3rd and 22nd field; the 2nd is a name in brackets that may hold anything. */
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

/** Whether a holder still runs; undefined where that cannot be known from here. */
function isAlive(holder: Holder): boolean | undefined {
	const { pid, host, boot, namespaces } = thisProcess();
	const isHere = holder.boot === boot && holder.namespaces === namespaces && (boot !== "" || holder.host === host);
	if (!isHere) return undefined;
	if (!isRunning(holder.pid)) return false;
	const isOwnProc = fromProc(() => readlinkSync("/proc/self")) === String(pid); // it may be that of another container
	if (!isOwnProc && holder.pid !== pid) return undefined;
	const { state, start } = statusOf(isOwnProc ? holder.pid : "self");
	if (start === "") return undefined;
	return start === holder.start && state !== "Z"; // a zombie has ended
}

/** Makes a lock of this process, unless there is one. */
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
		await rm(path, { force: true }); // a full disk leaves an empty one
		throw error;
	} finally {
		await file.close();
	}
	return true;
}

/** Undefined where the lock is gone. Opened first, since a network's file system is asked again only then. */
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

/** Whether the holder of a lock is no more, or gives no sign of life for a while. */
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
			utimes(path, now, now).catch(() => {}); // where it is gone, expectHeld tells
		}, beatEvery).unref();
	}

	/** Errors: WRITE_FAILED where it was taken over, as happens to a process that was stopped for long. */
	async expectHeld(): Promise<void> {
		if (await this.#isHeld()) return;
		throw new WriteError(`expected to hold ${this.#path}, but it was removed or taken over by another process; start again`);
	}

	/** Becomes the lock at another path, and is none any more itself; false where it is no longer held. */
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

/** Who holds a lock, for a message. */
function nameOf(seen: Sight): string {
	const holder = holderOf(seen);
	return holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
}

/**
 * Takes a lock, over from a process that is no more. Returns the lock, or who holds it. Of the processes that find it abandoned one
 * replaces it, under a lock of its own, so that what another has taken meanwhile stays; that lock too may be taken over from a process
 * that is no more. Where a process is unknown here (it runs or ran in another container, on another machine, or before a restart), it is
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
 * Locks a file by one beside it, `<path>.lock`; until that is released, no other process can, in whichever container and on whichever
 * machine. Errors: WRITE_FAILED, `Invalid` where it is in use.
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
