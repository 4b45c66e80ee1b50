// Applications that install the package with each package manager.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { npm, projectRoot, step } from "./tools.mjs";

/** How a manager is installed, adds a package, and runs a program with what it added. */
export const managers = {
	npm: { add: ["npm", "install"], run: ["node"] },
	pnpm: { from: "pnpm@10", add: ["pnpm", "add"], run: ["node"] },
	yarn: { from: "@yarnpkg/cli-dist@4", add: ["yarn", "add"], run: ["yarn", "node"] },
	bun: { from: "bun@1", add: ["bun", "add"], run: ["node"] },
};

/** Installs managers into a folder; returns an environment that has them on its PATH. */
export function withManagers(names, folder, env) {
	const wanted = names.flatMap((name) => managers[name].from ?? []);
	const tools = join(folder, "managers");
	mkdirSync(tools, { recursive: true });
	writeFileSync(join(tools, "package.json"), '{ "private": true }\n');
	if (wanted.length > 0) {
		step(`Installing ${wanted.join(", ")}`);
		npm(["install", "--no-audit", "--no-fund", "--prefer-offline", ...wanted], { cwd: tools });
	}
	const { PATH, Path, ...rest } = env;
	// yarn leaves out versions of the last day
	return { ...rest, YARN_NPM_MINIMAL_AGE_GATE: "0", PATH: `${join(tools, "node_modules/.bin")}${delimiter}${PATH ?? Path}` };
}

/** A new application in a folder; the result runs a command there and returns what it prints. */
export function application(folder, env) {
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
	writeFileSync(join(folder, "yarn.lock"), ""); // the root of a project for yarn
	cpSync(join(projectRoot, "scripts/consumers/program.mjs"), join(folder, "program.mjs"));
	return ([command, ...args]) =>
		// managers are scripts of a shell on Windows
		execFileSync(command, args, {
			cwd: folder,
			env,
			encoding: "utf8",
			stdio: ["ignore", "pipe", "pipe"],
			shell: process.platform === "win32",
		});
}
