// What clang-tidy says of C++ sources: `node scripts/tidy.mjs [REVISION]`, of those that are new or differ from the revision (default HEAD),
// or of all with `--all`.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { main, projectRoot, requireTool, UserError } from "./tools.mjs";

const git = (...args) => execFileSync("git", args, { cwd: projectRoot, encoding: "utf8" }).split("\n");

await main(async () => {
	requireTool("clang-tidy", "to check the C++ sources");
	if (!existsSync(join(projectRoot, "build/compile_commands.json"))) {
		throw new UserError("expected build/compile_commands.json, which a build makes; run npm run compile first");
	}
	const [revision = "HEAD"] = process.argv.slice(2);
	const named = revision === "--all" ? git("ls-files", "native") : git("diff", "--name-only", "--diff-filter=d", revision, "--", "native");
	const untracked = git("ls-files", "--others", "--exclude-standard", "native");
	const sources = [...new Set([...named, ...untracked])].filter((name) => name.endsWith(".cpp"));
	if (sources.length === 0)
		throw new UserError(`expected C++ sources that differ from ${revision}, found none; name an older revision, or --all`);
	const check = (source) => spawnSync("clang-tidy", ["-p", "build", "--quiet", source], { cwd: projectRoot, stdio: "inherit" }).status;
	process.exitCode = sources.map(check).some((status) => status !== 0) ? 1 : 0;
});
