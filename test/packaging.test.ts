// What packagers of applications rely on: the binary binds to Node-API alone, and the package finds its own files wherever it lies.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { addonPath } from "../lib/native/addon.js";
import { platformHere } from "../scripts/platforms.mjs";
import { testWhere } from "./shared.js";
import { temporaryFolder } from "./temporary.js";

const root = fileURLToPath(new URL("..", import.meta.url));

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
	mkdirSync(join(installed, "build"), { recursive: true });
	for (const path of ["dist", "package.json"]) cpSync(join(root, path), join(installed, path), { recursive: true });
	for (const path of ["models", "models.lock.json", "build/Release"]) symlinkSync(join(root, path), join(installed, path));
	mkdirSync(join(store, "@huggingface"));
	for (const name of ["zod", "detect-libc", "@huggingface/jinja"]) symlinkSync(join(root, "node_modules", name), join(store, name));
	mkdirSync(join(app, "node_modules"), { recursive: true });
	symlinkSync(installed, join(app, "node_modules/inferenceguard"), "junction");

	function generateIn(folder: string, env: Record<string, string> = {}) {
		const code = `
			import { embeddedDefault, InferenceGuard } from "inferenceguard";
			try {
				const guard = await InferenceGuard.load({ ...embeddedDefault, isolate: true });
				const { outcome } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 8, blockLength: 8 });
				console.log(outcome);
				await guard.dispose();
			} catch ({ code, message }) {
				console.log(code + ": " + message);
			}`;
		writeFileSync(join(folder, "main.mjs"), code);
		const { stdout } = spawnSync(process.execPath, ["main.mjs"], {
			cwd: folder,
			encoding: "utf8",
			env: { ...process.env, INFERENCEGUARD_ADDON: "", ...env },
		});
		return stdout;
	}

	test("finds its binary, its models and its dependencies from an application that has none of them", () => {
		expect(generateIn(app)).toMatch(/^(safe|steered)\n$/);
	});

	test("takes a prebuilt binary where it was not built itself, and says which there are where another level is asked for", () => {
		rmSync(join(installed, "build"), { recursive: true });
		const prebuilds = join(installed, "prebuilds", platformHere().name);
		const [level] = platformHere().levels;
		mkdirSync(prebuilds, { recursive: true });
		symlinkSync(addonPath(), join(prebuilds, `inferenceguard.${level}.node`));
		symlinkSync(join(dirname(addonPath()), "cpu.node"), join(prebuilds, "cpu.node"));
		expect(generateIn(app)).toMatch(/^(safe|steered)\n$/);
		expect(generateIn(app, { INFERENCEGUARD_CPU: level })).toMatch(/^(safe|steered)\n$/);
		expect(generateIn(app, { INFERENCEGUARD_CPU: "sse2" })).toMatch(
			new RegExp(`^INVALID_OPTION: .*got "sse2"; levels of the binaries here: ${level}; this processor runs: ${level}\n$`),
		);
	});

	test("says where it looked for a binary that is not there", () => {
		rmSync(join(installed, "prebuilds"), { recursive: true });
		const said = generateIn(app);
		expect(said).toMatch(/^ADDON_NOT_FOUND: inferenceguard found no native binary/);
		expect(said).toContain(`it was looked for in ${installed}`);
	});
});
