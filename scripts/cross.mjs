// Binaries for distribution made and tried on another Linux machine than theirs, with zig as the compiler and qemu as the machine:
//
//     node scripts/cross.mjs build linux-arm64-gnu [LEVEL …]      prebuilds/linux-arm64-gnu/, of these levels or of all
//     node scripts/cross.mjs run linux-arm64-gnu [--cpu MODEL]    what is there, on an emulated processor (`qemu-aarch64-static -cpu help`)
//
// `run` has cross-check.mjs generate there and on this machine with the embedded model, and compares.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureAddon, ensureDependencies, ensureDist } from "./ensure.mjs";
import { llamaSource } from "./llama-source.mjs";
import { platformNamed } from "./platforms.mjs";
import { prebuildLevels } from "./prebuild.mjs";
import { hasTool, main, projectRoot, requireTool, step, UserError } from "./tools.mjs";

const zigVersion = "0.17.1";
const nodeVersion = "22.23.3";

/** What zig, CMake, qemu and Debian call a processor. */
const processors = {
	x64: { zig: "x86_64", cmake: "x86_64", emulator: "qemu-x86_64-static", libraries: "/" },
	arm64: { zig: "aarch64", cmake: "aarch64", emulator: "qemu-aarch64-static", libraries: "/usr/aarch64-linux-gnu" },
};

/** The C library that zig links against: the oldest one that the package supports. */
const abis = { glibc: "gnu.2.28", musl: "musl" };

const folder = (...names) => join(projectRoot, "build-cross", ...names);

/** The zig of the Python package index, without what it depends on. */
function zig() {
	const path = folder("zig", "ziglang", "zig");
	if (!existsSync(path)) {
		requireTool("pip", "to install the zig compiler");
		step(`Installing zig ${zigVersion} (100 MB, from the Python package index)`);
		execFileSync("pip", ["install", "--quiet", "--no-deps", "--target", folder("zig"), `ziglang==${zigVersion}`], {
			stdio: ["ignore", 2, 2],
		});
	}
	return path;
}

/** A program that CMake can call by one path. Zig has names of its own for arm64's extensions, and `-march` takes only those. */
function wrapper(name, command) {
	const path = folder("bin", name);
	const translated = String.raw`s/^-march=armv8\.2-a/-mcpu=generic+v8_2a/; s/+fp16/+fullfp16/`;
	const script = [
		"#!/bin/sh",
		'for argument; do shift; case "$argument" in',
		`-march=armv8.2-a*) argument=$(echo "$argument" | sed '${translated}') ;;`,
		'esac; set -- "$@" "$argument"; done',
		`exec ${command} "$@"`,
	];
	mkdirSync(folder("bin"), { recursive: true });
	writeFileSync(path, `${script.join("\n")}\n`);
	chmodSync(path, 0o755);
	return path;
}

function build(platform, levels) {
	requireTool("cmake", "to build the native addon");
	if (!hasTool("ninja")) throw new UserError("ninja is needed to build the native addon, and was not found on PATH");
	const { name, cpu, libc } = platform;
	const target = `${processors[cpu].zig}-linux-${abis[libc]}`;
	const tool = (tool, ...options) => wrapper(`${name}-${tool}`, [zig(), tool, ...options].join(" "));
	// zig compiles its C++ library for each set of these options: they are the binary's from the beginning
	const compiler = (name) => tool(name, "-target", target, "-O2", "-fPIC", "-s");
	const out = folder(name);
	const configure = {
		CMAKE_BUILD_TYPE: "Release",
		CMAKE_SYSTEM_NAME: "Linux",
		CMAKE_SYSTEM_PROCESSOR: processors[cpu].cmake,
		CMAKE_TRY_COMPILE_TARGET_TYPE: "STATIC_LIBRARY",
		CMAKE_C_COMPILER: compiler("cc"),
		CMAKE_CXX_COMPILER: compiler("c++"),
		CMAKE_AR: tool("ar"),
		CMAKE_RANLIB: tool("ranlib"),
		CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(out, "Release"),
		LLAMA_CPP_DIR: llamaSource(),
		NODE_EXECUTABLE: process.execPath,
	};
	prebuildLevels(platform, levels, (level) => {
		const defined = Object.entries({ ...configure, INFERENCEGUARD_LEVEL: level }).map(([key, value]) => `-D${key}=${value}`);
		for (const command of [
			["-S", projectRoot, "-B", out, "-G", "Ninja", ...defined],
			["--build", out, "--target", "inferenceguard"],
		]) {
			execFileSync("cmake", command, { stdio: ["ignore", 2, 2] });
		}
		return join(out, "Release");
	});
}

/** Node for a processor: this one, or that of npm. */
function nodeFor(cpu) {
	if (cpu === process.arch) return process.execPath;
	const place = folder(`node-${cpu}`);
	const node = join(place, "package/bin/node");
	if (!existsSync(node)) {
		step(`Fetching Node ${nodeVersion} for ${cpu}`);
		mkdirSync(place, { recursive: true });
		const spec = `node-linux-${cpu}@${nodeVersion}`;
		const tarball = execFileSync("npm", ["pack", spec, "--silent", "--loglevel=error"], { cwd: place, encoding: "utf8" }).trim();
		execFileSync("tar", ["-xzf", tarball, "package/bin/node"], { cwd: place });
		rmSync(join(place, tarball));
	}
	return node;
}

/** An application with the package as it is published, so that the binary is found in prebuilds/. */
function application() {
	const app = folder("app");
	const installed = join(app, "node_modules/inferenceguard");
	rmSync(app, { recursive: true, force: true });
	mkdirSync(installed, { recursive: true });
	writeFileSync(join(app, "package.json"), '{ "type": "module" }\n');
	cpSync(join(projectRoot, "scripts/cross-check.mjs"), join(app, "main.js"));
	for (const path of ["dist", "package.json"]) cpSync(join(projectRoot, path), join(installed, path), { recursive: true });
	for (const path of ["models", "models.lock.json", "prebuilds"]) symlinkSync(join(projectRoot, path), join(installed, path));
	return app;
}

/** What cross-check.mjs reports. */
function report(command, options) {
	const { stdout, stderr, status, signal } = spawnSync(command[0], command.slice(1), { encoding: "utf8", ...options });
	if (status !== 0)
		throw new UserError(`expected ${command.join(" ")} to end well, got ${signal ?? `status ${status}`}:\n${stdout}${stderr}`);
	return JSON.parse(stdout);
}

/** The largest difference between the log-likelihoods of tokens. Throws where the machines do not generate the same, or one does not behave. */
function compare(there, here) {
	const different = here.tokens.findIndex((token, i) => token !== there.tokens[i]);
	if (different >= 0 || here.tokens.length !== there.tokens.length) {
		const at = ({ tokens, logLikelihoods }) => `${tokens[different]} (log-likelihood ${logLikelihoods[different]})`;
		throw new UserError(`expected the greedy tokens of this machine; token ${different} is ${at(there)} there and ${at(here)} here`);
	}
	for (const { isWithinBudget, isStreamed, abortedWith } of [there, here]) {
		if (!isWithinBudget || !isStreamed || abortedWith !== "ABORTED") {
			throw new UserError(
				`expected a stream within budget and an end by ABORTED, got ${JSON.stringify({ isWithinBudget, isStreamed, abortedWith })}`,
			);
		}
	}
	return Math.max(...here.logLikelihoods.map((value, i) => Math.abs(value - there.logLikelihoods[i])));
}

async function run({ name, cpu, libc }, model) {
	const { emulator, libraries } = processors[cpu];
	const packages = `apt-get install qemu-user-static libc6-${cpu}-cross libstdc++6-${cpu}-cross`;
	if (!hasTool(emulator) || !existsSync(libraries) || libc !== "glibc") {
		throw new UserError(`expected ${emulator}, and libraries for glibc in ${libraries} (Debian: ${packages}); there are none for musl`);
	}
	ensureDist();
	await ensureAddon();
	const cwd = application();
	const there = report([emulator, ...(model ? ["-cpu", model] : []), "-L", libraries, nodeFor(cpu), "main.js"], { cwd });
	const here = report([process.execPath, "main.js"], {
		cwd,
		env: { ...process.env, INFERENCEGUARD_ADDON: join(projectRoot, "build/Release/inferenceguard.node") },
	});
	const difference = compare(there, here);
	console.log(
		`${name} on ${model ?? "qemu's default processor"}: level ${there.cpu}, compared with ${here.cpu} here\n` +
			`- ${there.tokens.length} greedy tokens are equal, their log-likelihoods within ${difference.toExponential(1)}\n` +
			`- the guarded text is ${there.text === here.text ? "equal" : "another one"}, ${there.outcome}; it streams, aborts and ends`,
	);
}

await main(async () => {
	const { values, positionals } = parseArgs({ options: { cpu: { type: "string" } }, allowPositionals: true });
	const [command, name, ...levels] = positionals;
	const platform = platformNamed(name);
	if (platform.os !== "linux") throw new UserError(`expected a platform of Linux, got ${name}`);
	ensureDependencies();
	if (command === "build") build(platform, levels);
	else if (command === "run") await run(platform, values.cpu);
	else throw new UserError(`expected build or run, got ${command}`);
});
