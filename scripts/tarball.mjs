// Packs what is published, and installs it as users do.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { platformOf, thisSystem } from "../dist/native/platform-packages.js";
import { binariesOf, gpuPackages, pack } from "./packages.mjs";
import { platforms } from "./platforms.mjs";
import { npm, projectRoot, UserError } from "./tools.mjs";

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

/** Fills a folder with binaries of every package: this platform's own, for its GPUs the same, and for others files that nothing loads. */
export function binariesForAll(folder) {
	const own = platformOf(thisSystem());
	const prebuilt = join(projectRoot, "prebuilds", own);
	if (!existsSync(prebuilt)) throw new UserError(`expected ${prebuilt}, got none; run npm run prebuild`);
	cpSync(prebuilt, join(folder, own), { recursive: true });
	const [binary] = readdirSync(prebuilt).filter((name) => name.startsWith("inferenceguard."));
	for (const platform of [...platforms, ...gpuPackages].filter(({ name }) => name !== own)) {
		mkdirSync(join(folder, platform.name));
		for (const name of binariesOf(platform)) writeFileSync(join(folder, platform.name, name), "not for this platform");
	}
	for (const { name } of gpuPackages) cpSync(join(prebuilt, binary), join(folder, name, "inferenceguard.node"));
}

/** Installs packages into a folder; `env` replaces this process's environment. */
export function install(packages, { cwd, env = process.env }) {
	npm(["install", ...packages, "--no-audit", "--no-fund"], { cwd, env });
}
