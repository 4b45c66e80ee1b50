// Runs a command of the project after installing and building what it needs: `node scripts/run.mjs FILE [ARGUMENTS]`.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./ensure.mjs";
import { main, projectRoot } from "./tools.mjs";

await main(async () => {
	await ensureBuilt();
	const [file, ...rest] = process.argv.slice(2);
	const { status } = spawnSync(process.execPath, [join(projectRoot, file), ...rest], { stdio: "inherit" });
	process.exitCode = status ?? 1;
});
