// Time and size of an install: this package beside others with native code, from one registry on this machine and with a full cache, in turn.
// `npm run bench:installs`, after `npm run prebuild`. Scripts of packages do not run, as npm asks for a permission for each.
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { publish } from "../scripts/publish.mjs";
import { withRegistry } from "../scripts/registry.mjs";
import { binariesForAll, withTarballs } from "../scripts/tarball.mjs";
import { main, npm, step } from "../scripts/tools.mjs";

const names = ["inferenceguard", "node-llama-cpp@3", "sharp", "better-sqlite3@12"]; // better-sqlite3 13 needs Node 22
const repetitions = 5;

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const sizeOf = (path) =>
	lstatSync(path).isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : lstatSync(path).size;

/** Seconds of an install into an empty folder. */
function install(name, app, env) {
	rmSync(app, { recursive: true, force: true });
	mkdirSync(app, { recursive: true });
	writeFileSync(join(app, "package.json"), '{ "private": true }\n');
	const start = performance.now();
	npm(["install", name, "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], { cwd: app, env });
	return (performance.now() - start) / 1000;
}

function describe(name, app) {
	const [plain] = name.split("@");
	const { packages } = JSON.parse(readFileSync(join(app, "package-lock.json"), "utf8"));
	const there = Object.keys(packages).filter((path) => path !== "" && existsSync(join(app, path)));
	return {
		package: `${plain} ${packages[`node_modules/${plain}`].version}`,
		packages: there.length,
		megabytes: Number((sizeOf(join(app, "node_modules")) / 1e6).toFixed(1)),
	};
}

await main(() =>
	withTarballs(
		({ folder }) =>
			withRegistry(join(folder, "registry"), async (env) => {
				await publish(join(folder, "packages"), { env });
				const found = names.map((name, i) => ({ name, app: join(folder, `app-${i}`), seconds: [] }));
				step("Filling the cache");
				for (const { name, app } of found) install(name, app, env);
				step(`Installing each ${repetitions} times`);
				for (let i = 0; i < repetitions; i++) for (const { name, app, seconds } of found) seconds.push(install(name, app, env));
				console.table(found.map(({ name, app, seconds }) => ({ ...describe(name, app), seconds: Number(median(seconds).toFixed(1)) })));
			}),
		binariesForAll,
	),
);
