// Packs the package, and installs it as users do.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { platformHere } from "./platforms.mjs";
import { projectRoot, step, UserError } from "./tools.mjs";

const npmCli = process.env.npm_execpath ?? join(dirname(process.execPath), "../lib/node_modules/npm/bin/npm-cli.js");

/** Calls `check` with a temporary folder and the packed package in it. */
export async function withTarball(check) {
	if (!existsSync(join(projectRoot, "prebuilds", platformHere().name))) {
		throw new UserError("there is no prebuilt binary for this platform: run `npm run prebuild` first");
	}
	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-tarball-"));
	try {
		step("Packing");
		execFileSync(process.execPath, [npmCli, "pack", "--pack-destination", folder, "--loglevel=error"], {
			cwd: projectRoot,
			stdio: ["ignore", "ignore", "inherit"],
		});
		const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
		await check({ folder, tarball: join(folder, tarball) });
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** Installs packages into a folder; `env` replaces this process's environment. */
export function install(packages, { cwd, env = process.env }) {
	execFileSync(process.execPath, [npmCli, "install", ...packages, "--no-audit", "--no-fund", "--loglevel=error"], {
		cwd,
		env,
		stdio: ["ignore", "ignore", "inherit"],
	});
}
