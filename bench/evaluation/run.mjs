// Every method on two story models: makes what the configurations need, runs them and resumes runs that were stopped. The reports are
// bench/.cache/evaluation/<name>/report.html. `npm run bench:evaluation [-- stories260K|embedded]`
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const run = (...args) => {
	const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
	if (status !== 0) process.exit(status ?? 1);
};

const cache = "../.cache/evaluation";
const guardModel = `${cache}/guard.gguf`;

/** The configuration of an experiment; without the guard model's file, a copy that lacks its row. */
function configuration(name) {
	const given = path(`${name}.yaml`);
	if (existsSync(path(guardModel))) return given;
	console.error(`left out: the guard model as judge; \`models/recipe/make.sh GENTLE GRIM WORK guard\` makes ${path(guardModel)}`);
	const config = parse(readFileSync(given, "utf8"));
	const methods = config.methods.filter((method) => !JSON.stringify(method).includes(guardModel));
	const located = (_, value) => (typeof value === "string" && /\.\w+$/.test(value) && existsSync(path(value)) ? path(value) : value);
	const copy = path(`${cache}/${name}.json`);
	writeFileSync(copy, JSON.stringify({ ...config, methods }, located));
	return copy;
}

const asked = process.argv.slice(2);
const names = asked.length > 0 ? asked : ["stories260K", "embedded"];
const made = { stories260K: "stories-pca.gguf", embedded: "embedded-pca.gguf" };
if (names.some((name) => !existsSync(path(`${cache}/${made[name]}`)))) run(path("prepare.mjs"));
for (const name of names) run(path("../../dist/cli/main.js"), "eval", "--config", configuration(name), "--out", path(`${cache}/${name}`));
