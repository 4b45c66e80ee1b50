// Publishes to a registry of its own, and installs from there with npm, pnpm and yarn, also without or with the wrong package of binaries:
// `npm run check:installs`, after `npm run prebuild`.
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { application, managers, withManagers } from "./managers.mjs";
import { gpuPackages } from "./packages.mjs";
import { publish } from "./publish.mjs";
import { withRegistry } from "./registry.mjs";
import { binariesForAll, withTarballs } from "./tarball.mjs";
import { main, npm, projectRoot, step } from "./tools.mjs";

const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8"));
const { platformOf, thisSystem } = await import("../dist/native/platform-packages.js");

const system = thisSystem();
const own = platformOf(system);
const spec = `inferenceguard@${version}`;

/** A platform that differs from this one in the C library alone. */
const otherLibc = { glibc: "musl", musl: "glibc" }[system.libc];

function expectSame(what, actual, expected) {
	if (JSON.stringify(actual) !== JSON.stringify(expected))
		throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

/** The packages of binaries that a manager put into an application. */
function installedIn(app) {
	const places = [
		["node_modules/@inferenceguard", /^(.*)$/],
		["node_modules/.pnpm", /^@inferenceguard\+(.*)@/],
		[".yarn/unplugged", /^@inferenceguard-(.*)-npm-/],
	];
	return places.flatMap(([path, pattern]) => {
		const names = existsSync(join(app, path)) ? readdirSync(join(app, path)) : [];
		return names.flatMap((name) => pattern.exec(name)?.[1] ?? []);
	});
}

function errorOf(run, command) {
	try {
		run(command);
	} catch ({ stderr }) {
		return stderr;
	}
	throw new Error("expected ADDON_NOT_FOUND, got an answer");
}

await main(() =>
	withTarballs(
		({ folder }) =>
			withRegistry(join(folder, "registry"), async (registry) => {
				await publish(join(folder, "packages"), { env: registry });
				const tried = ["npm", "pnpm", "yarn"];
				const env = withManagers(tried, folder, registry);
				const app = (name) => ({ path: join(folder, name), run: application(join(folder, name), env) });

				for (const name of tried) {
					step(`Installing with ${name}`);
					const { path, run } = app(name);
					run([...managers[name].add, spec]);
					expectSame(`packages of binaries that ${name} installed`, installedIn(path), [own]);
					console.log(`${name}: ${run([...managers[name].run, "program.mjs"]).trim()}`);
				}

				step("Installing from the lockfile of npm where there is no compiler, no cmake and no Python");
				const bin = join(folder, "bin");
				mkdirSync(bin);
				symlinkSync(process.execPath, join(bin, "node"));
				npm(["ci", "--no-audit", "--no-fund"], { cwd: join(folder, "npm"), env: { ...env, PATH: bin } });

				/** Packages that are missing are named with a command that gets them. */
				const mends = (label, flags, left) => {
					step(`Installing with ${label}`);
					const { path, run } = app(label);
					run(["npm", "install", ...flags, spec]);
					expectSame(`packages of binaries after ${label}`, installedIn(path), left);
					const [, command] = /^ADDON_NOT_FOUND: .*Install it with: (.*)$/ms.exec(errorOf(run, ["node", "program.mjs"])) ?? [];
					const [line = ""] = command?.split("\n") ?? [];
					run(line.split(" "));
					console.log(`${label}, then ${line}: ${run(["node", "program.mjs"]).trim()}`);
				};
				mends("omitted", ["--omit=optional"], []);
				if (otherLibc) mends(otherLibc, [`--libc=${otherLibc}`], [platformOf({ ...system, libc: otherLibc })]);

				if (gpuPackages.some(({ name }) => name === "linux-x64-cuda") && own === "linux-x64-gnu") {
					step("Installing the package of a GPU");
					const { path, run } = app("npm");
					run(["npm", "install", spec]);
					run(["npx", "inferenceguard", "install", "cuda", "--yes"]);
					expectSame("packages of binaries after install cuda", installedIn(path).sort(), ["linux-x64-cuda", own]);
					console.log(`install cuda: ${run(["node", "program.mjs"]).trim()}`);
				}
			}),
		binariesForAll,
	),
);
