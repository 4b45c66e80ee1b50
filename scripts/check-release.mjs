// Checks, before a release, that what was packed is whole: `node scripts/check-release.mjs`, after `npm run pack`. A package for every platform
// with all of its binaries and nothing else in their place, what each of them needs of its system; and who publishes it.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { binaryProblems } from "./check-binaries.mjs";
import { binariesOf, gpuPackages } from "./packages.mjs";
import { platforms } from "./platforms.mjs";
import { main, projectRoot, UserError } from "./tools.mjs";

const staged = (name) => join(projectRoot, "packages/staged", name);

const leastBytes = 2e6;
const needed = [
	"dist/index.js",
	"dist/index.d.ts",
	"dist/cli/main.js",
	"licenses/llama.cpp.txt",
	"models/two-shelves.gguf",
	"models.lock.json",
	"native/binding.gyp",
	"CMakeLists.txt",
	"scripts/build.mjs",
];

function packageProblems(platform) {
	const { name } = platform;
	const folder = staged(name);
	const expected = binariesOf(platform);
	const found = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".node")) : [];
	const paths = found.map((file) => join(folder, file));
	const small = paths.filter((path) => !path.endsWith("cpu.node") && statSync(path).size < leastBytes);
	return [
		...expected.filter((file) => !found.includes(file)).map((file) => `${name}/${file} is missing`),
		...found.filter((file) => !expected.includes(file)).map((file) => `${name}/${file} is not in the list of platforms`),
		...small.map((path) => `${path} is too small for a binary`),
		// those for GPUs need libraries of the system
		...(platform.os === "linux" && platforms.includes(platform) ? paths.flatMap((path) => binaryProblems(platform, path)) : []),
		...(existsSync(join(folder, "licenses/llama.cpp.txt")) ? [] : [`${name} has no licences`]),
	];
}

await main(() => {
	const all = [...platforms, ...gpuPackages];
	const folders = existsSync(staged("")) ? readdirSync(staged("")) : [];
	const unknown = folders.filter((name) => name !== "inferenceguard" && !all.some((platform) => platform.name === name));
	const withoutOwner = folders.filter((name) => readFileSync(join(staged(name), "package.json"), "utf8").includes("github.com/OWNER/"));
	const problems = [
		...all.flatMap(packageProblems),
		...unknown.map((name) => `${name} is not in the list of platforms`),
		...needed.filter((path) => !existsSync(join(staged("inferenceguard"), path))).map((path) => `${path} is missing`),
		...withoutOwner.map((name) => `package.json of ${name} has no owner: run scripts/set-repository.mjs before npm run pack`),
	];
	if (problems.length > 0) throw new UserError(`expected whole packages, got:\n- ${problems.join("\n- ")}`);
	console.log(`${all.length} packages of binaries and the main one, each as it should be`);
});
