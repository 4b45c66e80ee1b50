// Installs and builds whatever is missing or out of date: dependencies, the native addon, the TypeScript output.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, step } from "./tools.mjs";

function newest(path) {
	if (!existsSync(path)) return 0;
	const stat = statSync(path);
	if (!stat.isDirectory()) return stat.mtimeMs;
	return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isStale(output, inputs) {
	const built = newest(join(projectRoot, output));
	return built === 0 || inputs.some((input) => newest(join(projectRoot, input)) > built);
}

export function ensureDependencies() {
	if (!isStale("node_modules/.package-lock.json", ["package-lock.json"])) return;
	step("Installing dependencies");
	execFileSync("npm", ["ci", "--no-audit", "--no-fund"], {
		cwd: projectRoot,
		stdio: ["ignore", 2, 2],
		shell: process.platform === "win32",
	});
}

export async function ensureAddon() {
	const scripts = ["scripts/build.mjs", "scripts/unicode-tables.mjs", "scripts/lookalikes.json"];
	const sources = ["binding", "core", "hooks", "kernels", "patches", "probe"].map((folder) => `native/${folder}`);
	const inputs = [...sources, "cmake", "CMakeLists.txt", "llama.cpp.json", ...scripts];
	if (!isStale("build/Release/inferenceguard.node", inputs)) return;
	const { build } = await import("./build.mjs");
	build();
}

export function ensureDist() {
	if (!isStale("dist", ["lib", "tsconfig.json", "tsconfig.build.json"])) return;
	step("Compiling TypeScript");
	execFileSync(process.execPath, [join(projectRoot, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"], {
		cwd: projectRoot,
		stdio: ["ignore", 2, 2],
	});
}

export async function ensureBuilt() {
	ensureDependencies();
	await ensureAddon();
	ensureDist();
}
