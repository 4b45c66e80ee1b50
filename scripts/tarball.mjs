// Packs what is published, and installs it as users do.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "./packages.mjs";
import { npm, projectRoot } from "./tools.mjs";

/**
 * Calls `check` with a temporary folder and the tarballs in its folder packages: those of platforms, and as the last one the main package's.
 * Their binaries are those in prebuilds/, or what `fill` puts into a folder.
 */
export async function withTarballs(check, fill) {
	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-tarball-"));
	const binaries = fill ? join(folder, "binaries") : join(projectRoot, "prebuilds");
	try {
		if (fill) mkdirSync(binaries);
		fill?.(binaries);
		await check({ folder, tarballs: pack(join(folder, "packages"), binaries) });
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** Installs packages into a folder; `env` replaces this process's environment. */
export function install(packages, { cwd, env = process.env }) {
	npm(["install", ...packages, "--no-audit", "--no-fund"], { cwd, env });
}
