// Builds the addon with cmake-js: `node scripts/build.mjs`, or `build()` from another script.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { llamaSource } from "./llama-source.mjs";
import { hasTool, main, projectRoot, requireCompiler, requireTool, step } from "./tools.mjs";

const gpuBackends = ["INFERENCEGUARD_CUDA", "INFERENCEGUARD_METAL", "INFERENCEGUARD_VULKAN"];

/**
 * Compiles `target` into `out` (default `build`): for this machine's processor, or for a CPU level of a binary for distribution; under
 * `sanitizers` such as `address,undefined` where they are given. GPU backends are taken from the environment (`INFERENCEGUARD_CUDA=1`).
 */
export function build({ out = "build", target = "inferenceguard", level = "", sanitizers = "" } = {}) {
	requireTool("cmake", "to build the native addon");
	requireCompiler("to build the native addon");
	requireTool("git", "to patch llama.cpp");
	const source = llamaSource();
	const { version } = JSON.parse(readFileSync(join(projectRoot, "llama.cpp.json"), "utf8"));
	const definitions = {
		LLAMA_CPP_DIR: source,
		LLAMA_CPP_VERSION: process.env.LLAMA_CPP_DIR ? `custom (pinned: ${version})` : version,
		INFERENCEGUARD_LEVEL: level,
		INFERENCEGUARD_SANITIZE: sanitizers,
		NODE_EXECUTABLE: process.execPath,
	};
	for (const backend of gpuBackends) definitions[backend] = process.env[backend] ? "ON" : "OFF";
	step(`Building ${target} into ${out}/ (a few minutes the first time)`);
	const cmakeJs = join(projectRoot, "node_modules", "cmake-js", "bin", "cmake-js");
	const generator = hasTool("ninja") ? ["--generator", "Ninja"] : [];
	const defined = Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`);
	for (const command of ["configure", "build"]) {
		execFileSync(process.execPath, [cmakeJs, command, "--out", out, "--target", target, ...generator, ...defined], {
			cwd: projectRoot,
			stdio: ["ignore", 2, 2],
		});
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => build());
}
