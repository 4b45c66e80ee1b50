// Builds the addon with cmake-js: `node scripts/build.mjs`, or `build()` from another script.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { llamaSource } from "./llama-source.mjs";
import { hasTool, main, npm, projectRoot, requireCompiler, requireTool, step } from "./tools.mjs";

const gpuBackends = ["INFERENCEGUARD_CUDA", "INFERENCEGUARD_METAL", "INFERENCEGUARD_VULKAN"];

/** What a build takes from npm. An installed package fetches it for its first build. */
export const buildTools = ["cmake-js", "node-addon-api", "node-api-headers"];

/** The folder of node_modules that has them. */
function buildToolsFolder() {
	const own = join(projectRoot, "node_modules");
	const fetched = join(projectRoot, "build-tools");
	const complete = [own, join(fetched, "node_modules")].find((folder) => buildTools.every((name) => existsSync(join(folder, name))));
	if (complete) return complete;
	const { devDependencies } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8"));
	step(`Fetching ${buildTools.join(", ")}`);
	npm(["install", "--prefix", fetched, "--no-audit", "--no-fund", ...buildTools.map((name) => `${name}@${devDependencies[name]}`)]);
	return join(fetched, "node_modules");
}

/**
 * Compiles `target` into `out` (default `build`): for this machine's processor, or for a CPU level of a binary for distribution; under
 * `sanitizers` such as `address,undefined` where they are given. GPU backends are taken from the environment (`INFERENCEGUARD_CUDA=1`).
 */
export function build({ out = "build", target = "inferenceguard", level = "", sanitizers = "" } = {}) {
	requireTool("cmake", "to build the native addon");
	requireCompiler("to build the native addon");
	requireTool("git", "to patch llama.cpp");
	const source = llamaSource();
	const tools = buildToolsFolder();
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
	const generator = hasTool("ninja") ? ["--generator", "Ninja"] : [];
	const defined = Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`);
	for (const command of ["configure", "build"]) {
		execFileSync(
			process.execPath,
			[join(tools, "cmake-js/bin/cmake-js"), command, "--out", out, "--target", target, ...generator, ...defined],
			{
				cwd: projectRoot,
				env: { ...process.env, NODE_PATH: tools }, // CMake asks for the headers there
				stdio: ["ignore", 2, 2],
			},
		);
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => build());
}
