// How many threads compute: what is read of the machine, what is capped, and that waiting threads change no answer.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cpuQuota, defaultThreads, type Machine, usableCpus } from "../lib/base/threads.js";
import { embeddedDefault, InferenceGuard } from "../lib/index.js";

type Files = Record<string, string>;
const reading = (files: Files) => (path: string) => files[path];

const mountOf2 = "31 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const mountsOf1 = [
	"32 31 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,mode=755",
	"36 32 0:33 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset",
	"33 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 master:4 - cgroup cgroup rw,cpu,cpuacct",
	"",
].join("\n");
const group2 = (path: string): Files => ({ "/proc/self/cgroup": `0::${path}\n`, "/proc/self/mountinfo": mountOf2 });
const group1 = (path: string): Files => ({
	"/proc/self/cgroup": `12:cpuset:/elsewhere\n4:cpu,cpuacct:${path}\n0::/user.slice\n`,
	"/proc/self/mountinfo": mountsOf1,
});
const quota1 = (folder: string, quota: string, period = "100000"): Files => ({
	[`${folder}/cpu.cfs_quota_us`]: `${quota}\n`,
	[`${folder}/cpu.cfs_period_us`]: `${period}\n`,
});

describe("the CPU time that control groups grant", () => {
	const slice = "/sys/fs/cgroup/system.slice";
	const dockerGroup = "/docker/4f1ac3";
	const dockerMounts = mountsOf1.replace("0:30 / ", `0:30 ${dockerGroup} `);
	test.each<[string, Files, number]>([
		["no cgroups at all", {}, Number.POSITIVE_INFINITY],
		["v2 without a limit", { ...group2("/user.slice"), "/sys/fs/cgroup/user.slice/cpu.max": "max 100000\n" }, Number.POSITIVE_INFINITY],
		["v2 in a container that sees itself as the root", { ...group2("/"), "/sys/fs/cgroup/cpu.max": "150000 100000\n" }, 1.5],
		["v2, a systemd service", { ...group2("/system.slice/a.service"), [`${slice}/a.service/cpu.max`]: "200000 100000\n" }, 2],
		[
			"v2, a smaller limit further up",
			{
				...group2("/system.slice/a.service/worker"),
				[`${slice}/a.service/worker/cpu.max`]: "max 100000\n",
				[`${slice}/a.service/cpu.max`]: "400000 100000\n",
				[`${slice}/cpu.max`]: "150000 50000\n",
			},
			3,
		],
		["v2, a path outside of what is mounted", { ...group2("/../../other"), "/sys/fs/cgroup/cpu.max": "100000 100000\n" }, 1],
		["v1 without a limit", { ...group1("/a"), ...quota1("/sys/fs/cgroup/cpu,cpuacct/a", "-1") }, Number.POSITIVE_INFINITY],
		["v1, a systemd slice", { ...group1("/system.slice/a.service"), ...quota1("/sys/fs/cgroup/cpu,cpuacct/system.slice", "250000") }, 2.5],
		[
			"v1 in Docker, which mounts the container's own group",
			{ ...group1(dockerGroup), "/proc/self/mountinfo": dockerMounts, ...quota1("/sys/fs/cgroup/cpu,cpuacct", "50000") },
			0.5,
		],
		[
			"v1 and v2 side by side",
			{
				...group1("/a"),
				"/proc/self/mountinfo": mountsOf1 + mountOf2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
				...quota1("/sys/fs/cgroup/cpu,cpuacct/a", "300000"),
				"/sys/fs/cgroup/unified/cpu.max": "200000 100000",
			},
			2,
		],
		[
			"a mount with a space in its name",
			{
				...group2("/"),
				"/proc/self/mountinfo": mountOf2.replace("/sys/fs/cgroup", "/my\\040groups"),
				"/my groups/cpu.max": "100000 100000",
			},
			1,
		],
		["a limit that is no number", { ...group2("/"), "/sys/fs/cgroup/cpu.max": "lots 100000" }, Number.POSITIVE_INFINITY],
		["a limit without a period", { ...group2("/"), "/sys/fs/cgroup/cpu.max": "100000" }, Number.POSITIVE_INFINITY],
		["a period of nothing", { ...group2("/"), "/sys/fs/cgroup/cpu.max": "100000 0" }, Number.POSITIVE_INFINITY],
	])("control groups grant CPU time: %s", (_, files, expected) => {
		expect(cpuQuota(reading(files))).toBe(expected);
	});
});

const topology = (cpu: number, siblings: string): Files => ({
	[`/sys/devices/system/cpu/cpu${cpu}/topology/core_cpus_list`]: `${siblings}\n`,
});
/** `cores` cores of two logical CPUs each, numbered as on Intel: cpu i and cpu i + cores. */
const smt = (cores: number) => Array.from({ length: 2 * cores }, (_, i) => topology(i, `${i % cores},${(i % cores) + cores}`));
const linux = (logicalCpus: number, allowed: string, ...files: Files[]): Machine => ({
	platform: "linux",
	arch: "x64",
	logicalCpus,
	read: reading(Object.assign({ "/proc/self/status": `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${allowed}\n` }, ...files)),
	sysctl: () => undefined,
});
const other = (platform: NodeJS.Platform, arch: string, logicalCpus: number, known: Record<string, number> = {}): Machine => ({
	platform,
	arch,
	logicalCpus,
	read: () => undefined,
	sysctl: (name) => known[name],
});

describe("the default number of threads", () => {
	test.each<[string, Machine, number]>([
		["eight cores of two threads: seven", linux(16, "0-15", ...smt(8)), 7],
		["two cores of two threads: both", linux(4, "0-3", ...smt(2)), 2],
		["pinned to two threads of one core", linux(2, "0,8", ...smt(8)), 1],
		["pinned to four cores", linux(4, "0-3", ...smt(8)), 3],
		[
			"older kernels name the siblings otherwise",
			linux(2, "0-1", { "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0-1" }),
			1,
		],
		["CPUs that are offline have no topology", linux(2, "0-127", topology(0, "0"), topology(1, "1")), 2],
		["no topology at all", linux(6, "0-5"), 5],
		[
			"a quota of one CPU and a half on 64 cores",
			linux(128, "0-127", ...smt(64), group2("/"), { "/sys/fs/cgroup/cpu.max": "150000 100000" }),
			1,
		],
		["a quota of half a CPU", linux(8, "0-7", ...smt(4), group2("/"), { "/sys/fs/cgroup/cpu.max": "50000 100000" }), 1],
		["a quota of four CPUs on 64 cores", linux(128, "0-127", ...smt(64), group2("/"), { "/sys/fs/cgroup/cpu.max": "400000 100000" }), 3],
		["macOS with fast and slow cores", other("darwin", "arm64", 10, { "hw.perflevel0.physicalcpu": 8, "hw.physicalcpu": 10 }), 7],
		["macOS on Intel", other("darwin", "x64", 8, { "hw.physicalcpu": 4 }), 3],
		["macOS that does not say", other("darwin", "arm64", 8), 7],
		["Windows", other("win32", "x64", 16), 7],
		["Windows with four logical CPUs", other("win32", "x64", 4), 3],
		["Windows on ARM", other("win32", "arm64", 8), 7],
	])("the default number of threads: %s", (_, machine, expected) => {
		expect(defaultThreads(machine)).toBe(expected);
	});

	test("the default number of threads is between 1 and the CPUs that may be used", () => {
		const paths = ["/proc/self/cgroup", "/proc/self/mountinfo", "/proc/self/status", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/a/cpu.max"];
		const part = fc.constantFrom(
			..."0:/ ,-\n\\".split(""),
			...["0::", "/a", "cgroup2", " - ", "/sys/fs/cgroup", "4:cpu:", "max", "100000", "-5", "Cpus_allowed_list:\t", "0-3", "9-1", "\\777"],
		);
		const texts = fc.oneof(
			fc.array(part, { maxLength: 24 }).map((parts) => parts.join("")),
			fc.string(),
			fc.constant(mountOf2),
		);
		fc.assert(
			fc.property(
				fc.tuple(...paths.map(() => fc.option(texts, { nil: undefined }))),
				fc.integer({ min: 1, max: 64 }),
				(contents, logicalCpus) => {
					const read = (path: string) => contents[paths.indexOf(path)];
					const machine: Machine = { platform: "linux", arch: "x64", logicalCpus, read, sysctl: () => undefined };
					const [usable, threads] = [usableCpus(machine), defaultThreads(machine)];
					expect(usable).toBeLessThanOrEqual(logicalCpus);
					expect(threads).toBeGreaterThanOrEqual(1);
					expect(threads).toBeLessThanOrEqual(usable);
					expect(Number.isInteger(threads)).toBe(true);
				},
			),
		);
	});
});

const request = { prompt: "The kettle", maxTokens: 24, candidates: 4, startCandidates: 4, seed: 5 };

async function replyOf(threads?: number) {
	await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
	return await guard.generate(request);
}

describe("a guard", () => {
	test("a guard says how many threads ran", async () => {
		expect((await replyOf(1)).engine.threads).toBe(1);
		expect((await replyOf()).engine.threads).toBe(defaultThreads());
	});

	test("a guard runs no more threads than there are CPUs for, and warns", async () => {
		const warnings: NodeJS.ErrnoException[] = [];
		const listen = (warning: Error) => warnings.push(warning);
		process.on("warning", listen);
		try {
			expect((await replyOf(512)).engine.threads).toBe(usableCpus());
			await new Promise(setImmediate);
		} finally {
			process.off("warning", listen);
		}
		expect(warnings).toContainEqual(
			expect.objectContaining({
				code: "THREADS_CAPPED",
				message: expect.stringMatching(/^expected at most \d+ threads, .*, got 512; \d+ will run$/),
			}),
		);
	});

	test("a guard answers with several threads as with one", async () => {
		const [one, several] = [await replyOf(1), await replyOf(2)];
		expect(several.text).toBe(one.text);
		expect(several.logLikelihood).toBeCloseTo(one.logLikelihood, 5);
	});

	test("a guard answers the same while other work keeps its CPUs busy", async () => {
		const alone = await replyOf(2);
		const busy = Array.from({ length: 2 * availableParallelism() }, () =>
			spawn(process.execPath, ["-e", "const end = Date.now() + 60_000; while (Date.now() < end);"]),
		);
		try {
			expect((await replyOf(2)).text).toBe(alone.text);
		} finally {
			for (const one of busy) one.kill();
		}
	});
});
