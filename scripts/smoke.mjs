// Installs the package into an empty folder with a package manager, and generates: `node scripts/smoke.mjs npm|pnpm|yarn|bun`. The package
// is the file inferenceguard-VERSION.tgz where it lies in the working directory, otherwise this version as it is published.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { main, projectRoot, step, UserError } from "./tools.mjs";

/** How a manager is installed, adds a package, and runs a program with what it added. */
const managers = {
	npm: { add: ["npm", "install"], run: ["node"] },
	pnpm: { from: "pnpm@10", add: ["pnpm", "add"], run: ["node"] },
	yarn: { from: "@yarnpkg/cli-dist@4", add: ["yarn", "add"], run: ["yarn", "node"] },
	bun: { from: "bun@1", add: ["bun", "add"], run: ["node"] },
};

await main(() => {
	const [name] = process.argv.slice(2);
	const manager = managers[name];
	if (!manager) throw new UserError(`expected one of ${Object.keys(managers).join(", ")}, got ${name}`);
	const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8"));
	const tarball = resolve(`inferenceguard-${version}.tgz`);
	const spec = existsSync(tarball) ? `inferenceguard@file:${tarball.replaceAll("\\", "/")}` : `inferenceguard@${version}`;

	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-smoke-"));
	// npm's commands are scripts of a shell on Windows
	const run = ([command, ...args]) => execFileSync(command, args, { cwd: folder, stdio: "inherit", shell: process.platform === "win32" });
	try {
		if (manager.from) run(["npm", "install", "--global", manager.from]);
		writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
		writeFileSync(join(folder, "yarn.lock"), ""); // the root of a project for yarn
		cpSync(join(projectRoot, "scripts/consumers/program.mjs"), join(folder, "program.mjs"));
		step(`${name}: ${spec}`);
		run([...manager.add, spec]);
		run([...manager.run, "program.mjs"]);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});
