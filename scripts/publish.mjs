// Publishes what `npm run pack` made, the packages of binaries first: `node scripts/publish.mjs [--provenance]`. What is published already is left
// as it is, so that a release that failed halfway can be run again.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { gpuPackages } from "./packages.mjs";
import { platforms } from "./platforms.mjs";
import { main, npm, projectRoot, step, UserError } from "./tools.mjs";

const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8"));

/** The integrity of what is published under a name and this version. */
async function published(registry, name) {
	const address = new URL(name.replace("/", "%2f"), registry);
	const answer = await fetch(address).catch(() => fetch(address)); // npm ran in between, for longer than a connection is kept
	if (answer.status === 404) return undefined;
	if (!answer.ok) throw new Error(`expected the registry to tell of ${name}, got ${answer.status} ${answer.statusText}`);
	return (await answer.json()).versions[version]?.dist.integrity;
}

const integrityOf = (tarball) => `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;

/** Registries tell of a new version after a while. */
async function seen(registry, name, integrity) {
	for (let tries = 0; tries < 60; tries++) {
		if ((await published(registry, name)) === integrity) return;
		await setTimeout(5000);
	}
	throw new Error(`expected ${name}@${version} in the registry five minutes after it was published`);
}

/** Publishes the tarballs in a folder; `args` are more of npm's. */
export async function publish(folder, { args = [], env = process.env } = {}) {
	const binaries = [...platforms, ...gpuPackages].map(({ name }) => ({
		name: `@inferenceguard/${name}`,
		tarball: join(folder, `inferenceguard-${name}-${version}.tgz`),
	}));
	const packages = [...binaries, { name: "inferenceguard", tarball: join(folder, `inferenceguard-${version}.tgz`) }];
	const missing = packages.filter(({ tarball }) => !existsSync(tarball));
	if (missing.length > 0)
		throw new UserError(`expected a tarball of every package, got none of ${missing.map(({ name }) => name).join(", ")}`);
	const registry = npm(["config", "get", "registry"], { env }).trim();
	for (const { name, tarball } of packages) {
		const integrity = integrityOf(tarball);
		const there = await published(registry, name);
		if (there !== undefined && there !== integrity) {
			throw new UserError(`expected ${name}@${version} as it was packed, got another in the registry; raise the version`);
		}
		if (there === integrity) continue;
		step(`Publishing ${name}@${version}`);
		npm(["publish", tarball, "--access", "public", ...args], { env });
		await seen(registry, name, integrity);
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => publish(join(projectRoot, "packages"), { args: process.argv.slice(2) }));
}
