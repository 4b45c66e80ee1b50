// What packagers of applications rely on: the binary binds to Node-API alone, and the package finds its own files wherever it lies.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { addonPath } from "../lib/native/addon.js";
import { describeSystem, gpuPackages, platforms, thisSystem } from "../lib/native/platform-packages.js";
import { gpuPackages as publishedForGpus, publishedManifest } from "../scripts/packages.mjs";
import { platformHere, platforms as published } from "../scripts/platforms.mjs";
import { cli } from "./child.js";
import { placeBinary, placeCode, placeFolder, platform, root } from "./installed.js";
import { testWhere } from "./shared.js";
import { temporaryFolder } from "./temporary.js";

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const isPlainBuild = process.platform === "linux" && process.env.INFERENCEGUARD_ADDON === undefined;
const hasNm = spawnSync("nm", ["--version"]).status === 0;

testWhere(isPlainBuild && hasNm, "nm, or a build without sanitizers")("the binary asks its host for functions of Node-API alone", () => {
	const { stdout } = spawnSync("nm", ["-D", "--undefined-only", addonPath()], { encoding: "utf8" });
	const needed = stdout
		.trim()
		.split("\n")
		.map((line) => line.trim().split(/\s+/)) as [string, string][];
	// the C and C++ libraries give their symbols a version; weak symbols need not be there
	const fromHost = needed.filter(([kind, name]) => kind === "U" && !name.includes("@")).map(([, name]) => name);
	expect(fromHost.filter((name) => !name.startsWith("napi_"))).toEqual([]);
	expect(fromHost).toContain("napi_create_function");
	// Electron has no external buffers
	expect(fromHost.filter((name) => /external_.*(buffer|string)/.test(name))).toEqual([]);
});

describe("a package in a store of packages", () => {
	const store = join(temporaryFolder(), "store/node_modules");
	const app = join(store, "../../app");
	const installed = join(store, "inferenceguard");
	const own = join(store, "@inferenceguard", platform);
	const cuda = join(store, "@inferenceguard/linux-x64-cuda");
	const built = join(installed, "build/Release/inferenceguard.node");
	const prebuilt = join(installed, "prebuilds", platform);

	placeCode(store);
	for (const path of ["models", "models.lock.json"]) placeFolder(path, store);
	mkdirSync(join(app, "node_modules"), { recursive: true });
	symlinkSync(installed, join(app, "node_modules/inferenceguard"), "junction");

	beforeEach(() => {
		for (const folder of [join(store, "@inferenceguard"), join(installed, "build"), join(installed, "prebuilds")]) {
			rmSync(folder, { recursive: true, force: true });
		}
	});

	interface Circumstances {
		env?: Record<string, string>;
		cpu?: string;
	}

	function run(code: string, { env = {}, cpu = process.arch }: Circumstances = {}) {
		const { INFERENCEGUARD_ADDON: _, npm_config_user_agent: __, ...inherited } = process.env;
		const imported = `data:text/javascript,Object.defineProperty(process, "arch", { value: "${cpu}" })`;
		writeFileSync(join(app, "main.mjs"), code);
		const { stdout, stderr } = spawnSync(process.execPath, ["--import", imported, "main.mjs"], {
			cwd: app,
			encoding: "utf8",
			env: { ...inherited, ...env },
		});
		return stdout + stderr;
	}

	const generated = () =>
		run(`
			import { embeddedDefault, InferenceGuard } from "inferenceguard";
			const guard = await InferenceGuard.load({ ...embeddedDefault, isolate: true });
			const { outcome } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 8, blockLength: 8 });
			console.log(outcome);
			await guard.dispose();`);

	/** What loading says: the binary, or the error. */
	const loaded = (circumstances?: Circumstances) =>
		run(
			`
			import { listDevices } from "inferenceguard";
			try {
				listDevices();
				console.log(process.report.getReport().sharedObjects.filter((path) => path.endsWith(".node")).join());
			} catch ({ code, message }) {
				console.log(code + ": " + message);
			}`,
			circumstances,
		);

	test("finds the package of its platform, its models and its dependencies from an application that has none of them", () => {
		placeBinary(own, platform);
		expect(generated()).toMatch(/^(safe|steered)\n$/);
	});

	test.skipIf(process.platform === "win32")(
		"takes what INFERENCEGUARD_ADDON names, a source build, its platform's package, and prebuilds, in this order",
		() => {
			const inOwn = join(own, "inferenceguard.node");
			placeBinary(prebuilt, platform);
			expect(loaded()).toBe(`${join(prebuilt, "inferenceguard.node")}\n`);
			placeBinary(own, platform);
			expect(loaded()).toBe(`${inOwn}\n`);
			mkdirSync(dirname(built), { recursive: true });
			cpSync(join(root, "build/Release/inferenceguard.node"), built);
			expect(loaded()).toBe(`${built}\n`);
			expect(loaded({ env: { INFERENCEGUARD_ADDON: inOwn } })).toBe(`${inOwn}\n`);
		},
	);

	test("takes the binary of the best level, and says which there are where another one is asked for", () => {
		placeBinary(own, platform);
		const [level] = platformHere().levels;
		renameSync(join(own, "inferenceguard.node"), join(own, `inferenceguard.${level}.node`));
		cpSync(join(root, "build/Release/cpu.node"), join(own, "cpu.node"));
		expect(loaded()).toContain(`inferenceguard.${level}.node`);
		expect(loaded({ env: { INFERENCEGUARD_CPU: level } })).toContain(`inferenceguard.${level}.node`);
		expect(loaded({ env: { INFERENCEGUARD_CPU: "sse2" } })).toMatch(
			new RegExp(`^INVALID_OPTION: .*got "sse2"; levels of the binaries here: ${level}; this processor runs: ${level}\n$`),
		);
	});

	test("says how to get the package of its platform where it is missing, and which is there instead", () => {
		placeBinary(join(store, "@inferenceguard/win32-arm64"), "win32-arm64");
		const { os, cpu, libc } = thisSystem();
		const said = loaded();
		expect(said).toContain(`ADDON_NOT_FOUND: inferenceguard found no native binary that loads on ${describeSystem(thisSystem())}, Node `);
		expect(said).toContain(`The package @inferenceguard/${platform} is missing; the one for win32-arm64 is there instead`);
		const libcFlag = libc ? ` --libc=${libc}` : "";
		expect(said).toContain(`: npm install --include=optional --os=${os} --cpu=${cpu}${libcFlag} inferenceguard@${version}\n`);
		expect(said).toContain(`: node "${join(installed, "scripts/build.mjs")}"\n`);
		expect(said).toContain(`looked for in ${installed}`);
	});

	test.each([
		["pnpm", "pnpm add --os="],
		["yarn", "yarn add inferenceguard@"],
		["bun", "bun add --os="],
	])("says so in the words of %s where that runs it", (manager, command) => {
		expect(loaded({ env: { npm_config_user_agent: `${manager}/1.0.0 node/v22.0.0` } })).toContain(`Install it with: ${command}`);
	});

	test("says how to build from source where there is no binary for the processor", () => {
		const said = loaded({ cpu: "riscv64" });
		expect(said).toMatch(
			/^ADDON_NOT_FOUND: .*\n- There is no prebuilt binary for \w+-riscv64[\w-]*\.\n- Build it from source, .*scripts\/build\.mjs"\n/,
		);
		expect(said).not.toContain("Install it with");
	});

	test("names the variable that names a wrong binary", () => {
		placeBinary(own, platform);
		const path = join(app, "nowhere.node");
		const said = loaded({ env: { INFERENCEGUARD_ADDON: path } });
		expect(said).toMatch(/^ADDON_NOT_FOUND: /);
		expect(said).toContain(`INFERENCEGUARD_ADDON names ${path}`);
	});

	test("a binary that does not load is an error with its cause, and does not send to a package that is there", () => {
		placeBinary(own, platform);
		writeFileSync(join(own, "inferenceguard.node"), "not a library");
		const said = loaded();
		expect(said).toMatch(/^ADDON_NOT_FOUND: /);
		expect(said).toContain(join(own, "inferenceguard.node"));
		expect(said).not.toContain("is missing");
	});

	describe.skipIf(platform !== "linux-x64-gnu")("with the package of a GPU", () => {
		test("takes its binary first", () => {
			placeBinary(own, platform);
			placeBinary(cuda, "linux-x64-cuda");
			expect(loaded()).toBe(`${join(cuda, "inferenceguard.node")}\n`);
		});

		test("warns where it does not load, and takes the one for the CPU", () => {
			placeBinary(own, platform);
			placeBinary(cuda, "linux-x64-cuda");
			writeFileSync(join(cuda, "inferenceguard.node"), "not a library");
			const said = loaded();
			expect(said.split("\n")[0]).toBe(join(own, "inferenceguard.node"));
			expect(said).toMatch(/\[GPU_UNUSABLE\] InferenceGuardWarning: expected @inferenceguard\/linux-x64-cuda to load, got: .*cuda/);
		});
	});
});

describe("what is published", () => {
	test("every package with a binary has its place in the loader, and no other", () => {
		const names = (packages: { name: string }[]) => packages.map(({ name }) => name).sort();
		expect([...platforms].sort()).toEqual(names(published));
		expect(Object.values(gpuPackages).flatMap((kinds) => Object.values(kinds))).toEqual(names(publishedForGpus));
		const source = readFileSync(join(root, "lib/native/platform-packages.ts"), "utf8");
		const required = [...source.matchAll(/case "(.*)":\n\s*return require\("@inferenceguard\/(.*)"\);/g)];
		expect(required.map(([, name]) => name)).toEqual(required.map(([, , name]) => name));
		expect(required.map(([, name]) => name).sort()).toEqual(names([...published, ...publishedForGpus]));
	});

	test("the main package runs nothing when it is installed, and asks for binaries of its own version", () => {
		const manifest = publishedManifest();
		expect(manifest).not.toHaveProperty("scripts");
		expect(manifest).not.toHaveProperty("private");
		expect(manifest.gypfile).toBe(false);
		expect(new Set(Object.values(manifest.optionalDependencies))).toEqual(new Set([version]));
		expect(Object.keys(manifest.optionalDependencies)).toContain(`@inferenceguard/${platform}`);
		// npm and pnpm run node-gyp at every install of a package that has it there
		expect(existsSync(join(root, "binding.gyp"))).toBe(false);
	});
});

describe("the command install", () => {
	test.runIf(platform === "linux-x64-gnu")("prints what installs the package of a GPU", async () => {
		const { status, stdout } = await cli("install", "cuda");
		expect(status).toBe(0);
		expect(stdout).toMatch(
			new RegExp(`^(npm install|pnpm add|yarn add|bun add) .*@inferenceguard/linux-x64-cuda@${version.replaceAll(".", "\\.")}\n$`),
		);
	});

	test("says what there is, and how to build, for another GPU", async () => {
		const { status, stderr } = await cli("install", "vulkan");
		expect(status).toBe(2);
		expect(stderr).toMatch(/expected a GPU with a prebuilt package \(cuda on linux-x64-gnu\), got vulkan on .*INFERENCEGUARD_VULKAN=1/);
	});
});
