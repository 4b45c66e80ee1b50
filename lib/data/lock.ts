// One process at a time: a file beside what it guards that holds the id of the process.
import { readFile, rm, stat, writeFile } from "node:fs/promises";

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** Whether the process that made a lock is no more. Ids come again, in a container at once: then the lock is older than this process. */
async function isAbandoned(path: string, pid: string): Promise<boolean> {
	if (!/^[1-9]\d*$/.test(pid)) return false;
	if (Number(pid) === process.pid) return (await stat(path)).mtimeMs < performance.timeOrigin;
	try {
		process.kill(Number(pid), 0);
		return false;
	} catch (error) {
		return codeOf(error) === "ESRCH";
	}
}

/** Makes the file, unless there is one. */
async function make(path: string): Promise<boolean> {
	try {
		await writeFile(path, String(process.pid), { flag: "wx" });
		return true;
	} catch (error) {
		if (codeOf(error) !== "EEXIST") throw error;
		return false;
	}
}

/** What stands in the file; undefined where it is gone. */
async function read(path: string): Promise<string | undefined> {
	try {
		return await readFile(path, "utf8");
	} catch (error) {
		if (codeOf(error) !== "ENOENT") throw error;
		return undefined;
	}
}

/**
 * Takes a lock, over from a process that is no more. Returns the process that holds it, undefined where that is now this one. Of the
 * processes that find it abandoned one replaces it, under a lock of its own, so that what another has taken meanwhile stays.
 */
export async function takeLock(path: string): Promise<string | undefined> {
	const takeover = `${path}.takeover`;
	while (!(await make(path))) {
		const holder = await read(path);
		if (holder === undefined) continue; // just released
		if (!(await isAbandoned(path, holder)) || !(await make(takeover))) return holder;
		try {
			if ((await read(path)) !== holder) continue;
			await writeFile(path, String(process.pid));
			break;
		} finally {
			await rm(takeover, { force: true });
		}
	}
	return undefined;
}
