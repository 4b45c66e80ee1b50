// Checks what the Linux binaries in prebuilds/ need of the system that they are loaded on, and what they tell of the one that built them:
//
//     node scripts/check-binaries.mjs [--any-glibc]
//
// Libraries, versions of glibc, exported symbols, search paths, paths of the build, and instructions above their CPU level, as far as objdump
// knows their processor. With --any-glibc, versions are left out: a compiler links against the glibc of its own system.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { platforms } from "./platforms.mjs";
import { main, projectRoot, UserError } from "./tools.mjs";

const mostGlibc = "2.28"; // that of Node's own binaries

const libraries = {
	glibc: /^(lib(c|m|pthread|dl|rt)\.so\.\d|ld-linux-[\w-]+\.so\.\d)$/,
	musl: /^(libc\.musl-\w+\.so\.1|libc\.so)$/,
};

const exported = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

const machines = { x64: "Advanced Micro Devices X86-64", arm64: "AArch64" };

// instructions, as objdump writes them
const avx = /\tv[a-z]/;
const avx512 = /%zmm|%[xy]mm(1[6-9]|2\d|3[01])|\{%k[1-7]\}/;
const amx = /\t(tdpb[su][su]d|tileloadd)/;
const dotprod = /\t[us]dot\t/;
const i8mm = /\t[us]mmla\t/;

/** What tells levels apart, and the probe (`cpu`) from them: what a binary has, and what it must not have. */
const instructions = {
	cpu: { x64: { without: [avx, avx512, amx] }, arm64: { without: [dotprod, i8mm] } },
	avx2: { with: [/%ymm/], without: [avx512, amx] },
	avx512: { with: [/%zmm/, /\tvpdpbusd/], without: [amx] },
	amx: { with: [/%zmm/, amx] },
	dotprod: { with: [dotprod], without: [i8mm] },
	i8mm: { with: [dotprod, i8mm] },
};

const isNewer = (version, than) => version.localeCompare(than, "en", { numeric: true }) > 0;

/** Lines of the disassembly; undefined where no objdump here knows the processor. */
function disassembly(path, cpu) {
	for (const objdump of ["objdump", `${{ x64: "x86_64", arm64: "aarch64" }[cpu]}-linux-gnu-objdump`]) {
		const { status, stdout } = spawnSync(objdump, ["--disassemble", "--no-show-raw-insn", path], { encoding: "utf8", maxBuffer: 2 ** 30 });
		if (status === 0 && /^\s+[0-9a-f]+:/m.test(stdout)) return stdout;
	}
	return undefined;
}

function instructionProblems(path, cpu) {
	const [, level = "cpu"] = basename(path).match(/^inferenceguard\.(\w+)\.node$/) ?? [];
	const expected = level === "cpu" ? instructions.cpu[cpu] : instructions[level];
	if (!expected) return [`is of no known level, ${level}`];
	const lines = disassembly(path, cpu);
	if (lines === undefined) {
		console.log(`${path}: instructions were not looked at, for want of an objdump for ${cpu}`);
		return [];
	}
	return [
		...(expected.with ?? []).filter((kind) => !kind.test(lines)).map((kind) => `has no ${kind.source}: it is not of its level`),
		...(expected.without ?? [])
			.filter((kind) => kind.test(lines))
			.map((kind) => `has ${lines.match(kind)[0].trim()}: an instruction above its level`),
	];
}

/** What is wrong with a binary of a platform in scripts/platforms.json. */
export function binaryProblems({ cpu, libc }, path, { anyGlibc = false } = {}) {
	const readelf = (...options) => execFileSync("readelf", ["--wide", ...options, path], { encoding: "utf8" });
	const dynamic = readelf("--dynamic");
	const bytes = readFileSync(path, "latin1");
	const machine = readelf("--file-header").match(/Machine:\s+(.+)/)?.[1];
	const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name);
	const versions = new Set([...readelf("--version-info").matchAll(/GLIBC_([\d.]+)/g)].map(([, version]) => version));
	const symbols = [...readelf("--dyn-syms").matchAll(/\s(?:GLOBAL|WEAK)\s+\w+\s+(?!UND)\S+\s+([^\s@]+)/g)].map(([, name]) => name);
	const places = [projectRoot, homedir(), ...["home", "root", "Users", "__w", "tmp"].map((name) => `/${name}/`)];
	return [
		...(machine === machines[cpu] ? [] : [`is for ${machine}`]),
		...needed.filter((name) => !libraries[libc].test(name)).map((name) => `needs ${name} of the system`),
		...[...versions]
			.filter((version) => !anyGlibc && isNewer(version, mostGlibc))
			.map((version) => `needs glibc ${version}, newer than ${mostGlibc}`),
		...symbols.filter((name) => !exported.includes(name)).map((name) => `exports ${name}`),
		...(/\((RPATH|RUNPATH)\)/.test(dynamic) ? ["has a search path for libraries"] : []),
		...places.filter((place) => place.length > 1 && bytes.includes(place)).map((place) => `tells a path of its build, ${place}`),
		...instructionProblems(path, cpu),
	].map((problem) => `${path} ${problem}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => {
		const { values } = parseArgs({ options: { "any-glibc": { type: "boolean" } } });
		const binaries = platforms
			.filter(({ os, name }) => os === "linux" && existsSync(join(projectRoot, "prebuilds", name)))
			.flatMap((platform) => readdirSync(join(projectRoot, "prebuilds", platform.name)).map((file) => ({ platform, file })));
		const problems = binaries.flatMap(({ platform, file }) =>
			binaryProblems(platform, `prebuilds/${platform.name}/${file}`, { anyGlibc: values["any-glibc"] }),
		);
		if (problems.length > 0) throw new UserError(`expected binaries that load elsewhere, got:\n- ${problems.join("\n- ")}`);
		console.log(`${binaries.length} binaries for Linux, each as it should be`);
	});
}
