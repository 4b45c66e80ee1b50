// Whether the C++ sources have the format of .clang-format: `node scripts/format-native.mjs [--write]`, which gives it to them.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ensureDependencies } from "./ensure.mjs";
import { main, projectRoot } from "./tools.mjs";

const folders = ["native", "test/native", "bench", "models/recipe", "cmake"];

const isSource = (name) => /\.(cpp|h)$/.test(name) && !name.includes("node_modules");

await main(() => {
	ensureDependencies();
	const sources = folders.flatMap((folder) =>
		readdirSync(join(projectRoot, folder), { recursive: true, encoding: "utf8" })
			.filter(isSource)
			.map((name) => join(folder, name)),
	);
	const mode = process.argv.includes("--write") ? ["-i"] : ["--dry-run", "-Werror"];
	const clangFormat = join(projectRoot, "node_modules/clang-format-node/build/cli.js");
	const { status } = spawnSync(process.execPath, [clangFormat, ...mode, ...sources], { cwd: projectRoot, stdio: "inherit" });
	process.exitCode = status ?? 1;
});
