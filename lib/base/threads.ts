// The default number of compute threads: the CPUs that this process may use.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { posix } from "node:path";
import { warn } from "./warn.js";

/** The text of a file, or undefined if it cannot be read. */
export type ReadText = (path: string) => string | undefined;

/** The machine as this process sees it. */
export interface Machine {
	platform: string;
	arch: string;
	/** Logical CPUs that the process may run on. */
	logicalCpus: number;
	read: ReadText;
	/** A number that macOS knows by name; undefined on other systems. */
	sysctl: (name: string) => number | undefined;
}

const thisMachine = (): Machine => ({ platform: process.platform, arch: process.arch, logicalCpus: availableParallelism(), read, sysctl });

function read(path: string): string | undefined {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return undefined;
	}
}

function sysctl(name: string): number | undefined {
	try {
		return Number(execFileSync("/usr/sbin/sysctl", ["-n", name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
	} catch {
		return undefined;
	}
}

const lines = (text: string | undefined) => text?.split("\n") ?? [];

/** The location of a control group's files: their folder, and the mount that contains it. */
interface GroupFolder {
	version: 1 | 2;
	mount: string;
	folder: string;
}

/** mountinfo writes white space and backslashes in paths in octal. */
const unescapeMount = (path: string) => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The groups that may limit this process's CPU time: of cgroup v2, and of the cpu controller of v1. */
function cpuGroups(read: ReadText): GroupFolder[] {
	const paths = new Map<1 | 2, string>();
	for (const line of lines(read("/proc/self/cgroup"))) {
		const [, id, controllers = "", path = "/"] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
		if (id === "0" && controllers === "") paths.set(2, path);
		else if (controllers.split(",").includes("cpu")) paths.set(1, path);
	}
	return lines(read("/proc/self/mountinfo")).flatMap((line) => {
		const [left = "", right = ""] = line.split(" - ");
		const [, , , root = "/", mountPoint] = left.split(" ");
		const [type, , options = ""] = right.split(" ");
		const version = type === "cgroup2" ? 2 : type === "cgroup" && options.split(",").includes("cpu") ? 1 : undefined;
		const path = version && paths.get(version);
		if (!version || !path || !mountPoint) return [];
		const mount = unescapeMount(mountPoint);
		const below = posix.relative(unescapeMount(root), path);
		return { version, mount, folder: below.startsWith("..") ? mount : posix.join(mount, below) }; // a container sees its own group as the mount
	});
}

/** A quota of microseconds per period, as a number of CPUs; infinite without a quota. */
function cpusOf(quota: string | undefined, period: string | undefined): number {
	const cpus = Number(quota) / Number(period);
	return cpus > 0 && Number.isFinite(cpus) ? cpus : Number.POSITIVE_INFINITY;
}

function quotaOf(read: ReadText, version: 1 | 2, folder: string): number {
	if (version === 1) return cpusOf(read(`${folder}/cpu.cfs_quota_us`), read(`${folder}/cpu.cfs_period_us`));
	const [quota, period] = read(`${folder}/cpu.max`)?.trim().split(" ") ?? [];
	return cpusOf(quota, period);
}

/**
 * The CPU time that the control groups grant, as a number of CPUs: the smallest quota from the process's group upwards; infinite without
 * one.
 */
export function cpuQuota(read: ReadText): number {
	let smallest = Number.POSITIVE_INFINITY;
	for (const { version, mount, folder } of cpuGroups(read)) {
		for (let at = folder; ; at = posix.dirname(at)) {
			smallest = Math.min(smallest, quotaOf(read, version, at));
			if (at === mount || at === "/") break;
		}
	}
	return smallest;
}

/** `0-3,8` */
function cpuList(text: string): number[] {
	return text.split(",").flatMap((range) => {
		const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(range.trim()) ?? [];
		if (first === undefined) return [];
		return Array.from({ length: Math.min(Number(last) - Number(first) + 1, 8192) }, (_, i) => Number(first) + i);
	});
}

/** Physical cores of the CPUs that the process may run on; undefined if Linux does not say. */
function linuxCores(read: ReadText): number | undefined {
	const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read("/proc/self/status") ?? "")?.[1] ?? "";
	const siblings = cpuList(allowed).map((cpu) => {
		const topology = `/sys/devices/system/cpu/cpu${cpu}/topology`;
		return read(`${topology}/core_cpus_list`) ?? read(`${topology}/thread_siblings_list`);
	});
	return new Set(siblings.filter((list) => list !== undefined)).size || undefined;
}

/** Physical cores. If the system does not say, guesses like llama.cpp: beyond four logical CPUs, half of them, except on ARM. */
function physicalCores({ platform, arch, logicalCpus, read, sysctl }: Machine): number {
	if (platform === "linux") return linuxCores(read) ?? logicalCpus;
	if (platform === "darwin") return sysctl("hw.perflevel0.physicalcpu") || sysctl("hw.physicalcpu") || logicalCpus;
	return logicalCpus <= 4 || arch === "arm64" ? logicalCpus : Math.floor(logicalCpus / 2);
}

/** Logical CPUs that the process may use: its affinity, limited by its quota rounded down; at least 1. */
export function usableCpus({ logicalCpus, read }: Pick<Machine, "logicalCpus" | "read"> = thisMachine()): number {
	return Math.max(1, Math.min(logicalCpus, Math.floor(cpuQuota(read))));
}

/** One thread per physical core that the process may use. If there are more than two, one of them is left to the host. */
export function defaultThreads(machine: Machine = thisMachine()): number {
	const cores = Math.min(usableCpus(machine), physicalCores(machine));
	return cores > 2 ? cores - 1 : cores;
}

const warned = new Set<number>();

/** The requested number of threads, but at most one per usable CPU, since further ones would only wait. Warns if it is lowered. */
export function cappedThreads(asked: number): number {
	const usable = usableCpus();
	if (asked <= usable) return asked;
	if (!warned.has(asked)) {
		warned.add(asked);
		const message = `expected at most ${usable} threads, the CPUs that this process may use, got ${asked}; ${usable} will run`;
		warn("THREADS_CAPPED", message);
	}
	return usable;
}
