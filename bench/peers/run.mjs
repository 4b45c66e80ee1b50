// This package beside its peers: `npm run bench:peers [-- FLAGS]`, see README.md. Installs and builds the peers where they are missing.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { main, step } from "../../scripts/tools.mjs";
import { buildBatchedBench } from "./batched-bench.mjs";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** The package with node-llama-cpp's binary for the CPU of this platform (on Apple silicon there is only one, which knows Metal). */
function binaryPackage() {
	if (process.platform === "darwin") return process.arch === "arm64" ? "mac-arm64-metal" : "mac-x64";
	return `${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
}

/** node-llama-cpp names a binary package for every GPU as an optional dependency, 725 MB in all; only the one for the CPU is fetched. */
function installPeers() {
	const binary = `@node-llama-cpp/${binaryPackage()}`;
	if (["node-llama-cpp", "vega-lite", binary].every((name) => existsSync(`${folder}node_modules/${name}`))) return;
	step("Installing the peers (110 MB)");
	const { dependencies } = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));
	const wanted = `${binary}@${dependencies["node-llama-cpp"]}`;
	execFileSync("npm", ["install", "--no-save", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", wanted], {
		cwd: folder,
		stdio: ["ignore", 2, 2],
		shell: process.platform === "win32",
	});
}

await main(async () => {
	installPeers();
	buildBatchedBench();
	const { compare } = await import("./compare.mjs");
	await compare();
});
