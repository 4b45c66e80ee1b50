// Checks, before a release, that the package is whole: `node scripts/check-release.mjs`, once prebuilds/, licenses/ and dist/ are there.
// The binary of every platform, nothing else in their place, what each of them needs of its system; and who publishes it.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { main, projectRoot, UserError } from "./tools.mjs";

const path = (name) => join(projectRoot, name);
const platforms = JSON.parse(readFileSync(path("scripts/platforms.json"), "utf8"));

const leastBytes = 2e6;
const mostGlibc = [2, 28];
const needed = [
	"dist/index.js",
	"dist/index.d.ts",
	"dist/cli/main.js",
	"licenses/llama.cpp.txt",
	"models/two-shelves.gguf",
	"models.lock.json",
];

function binaryProblems() {
	const expected = platforms.map(({ binary }) => binary).sort();
	const found = existsSync(path("prebuilds")) ? readdirSync(path("prebuilds"), { recursive: true }) : [];
	const files = found.map((name) => name.replaceAll("\\", "/")).filter((name) => statSync(path(`prebuilds/${name}`)).isFile());
	return [
		...expected.filter((name) => !files.includes(name)).map((name) => `prebuilds/${name} is missing`),
		...files.filter((name) => !expected.includes(name)).map((name) => `prebuilds/${name} is not in scripts/platforms.json`),
		...files
			.filter((name) => statSync(path(`prebuilds/${name}`)).size < leastBytes)
			.map((name) => `prebuilds/${name} is too small for a binary`),
		...files.filter((name) => /^linux-.*glibc/.test(name)).flatMap((name) => glibcProblems(`prebuilds/${name}`)),
	];
}

function glibcProblems(binary) {
	const said = execFileSync("readelf", ["--wide", "--version-info", "--dynamic", path(binary)], { encoding: "utf8" });
	const versions = [...said.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [Number(major), Number(minor)]);
	const tooNew = versions.filter(([major, minor]) => major > mostGlibc[0] || minor > mostGlibc[1]).map((version) => version.join("."));
	return [
		...(tooNew.length > 0 ? [`${binary} needs glibc ${[...new Set(tooNew)].join(", ")}, newer than ${mostGlibc.join(".")}`] : []),
		...(said.includes("libgomp") ? [`${binary} needs libgomp`] : []),
	];
}

await main(() => {
	const manifest = readFileSync(path("package.json"), "utf8");
	const problems = [
		...binaryProblems(),
		...needed.filter((name) => !existsSync(path(name))).map((name) => `${name} is missing`),
		...(manifest.includes("github.com/OWNER/") ? ["package.json has no owner: run scripts/set-repository.mjs"] : []),
	];
	if (problems.length > 0) throw new UserError(`expected a whole package, got:\n- ${problems.join("\n- ")}`);
	console.log(`${platforms.length} binaries, each as it should be`);
});
