// Checks, before a release, that the package is whole: `node scripts/check-release.mjs`, once prebuilds/, licenses/ and dist/ are there.
// The binary of every platform, nothing else in their place, what each of them needs of its system; and who publishes it.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { binaryProblems } from "./check-binaries.mjs";
import { platforms } from "./platforms.mjs";
import { main, projectRoot, UserError } from "./tools.mjs";

const path = (name) => join(projectRoot, name);

const leastBytes = 2e6;
const needed = [
	"dist/index.js",
	"dist/index.d.ts",
	"dist/cli/main.js",
	"licenses/llama.cpp.txt",
	"models/two-shelves.gguf",
	"models.lock.json",
];

function prebuildProblems() {
	const expected = platforms.flatMap((platform) =>
		["cpu.node", ...platform.levels.map((level) => `inferenceguard.${level}.node`)].map((file) => ({
			platform,
			name: `${platform.name}/${file}`,
		})),
	);
	const found = existsSync(path("prebuilds")) ? readdirSync(path("prebuilds"), { recursive: true }) : [];
	const files = found.map((name) => name.replaceAll("\\", "/")).filter((name) => statSync(path(`prebuilds/${name}`)).isFile());
	const here = expected.filter(({ name }) => files.includes(name));
	return [
		...expected.filter((one) => !here.includes(one)).map(({ name }) => `prebuilds/${name} is missing`),
		...files
			.filter((file) => !expected.some(({ name }) => name === file))
			.map((file) => `prebuilds/${file} is not in scripts/platforms.json`),
		...files
			.filter((file) => !file.endsWith("/cpu.node") && statSync(path(`prebuilds/${file}`)).size < leastBytes)
			.map((file) => `prebuilds/${file} is too small for a binary`),
		...here
			.filter(({ platform }) => platform.os === "linux")
			.flatMap(({ platform, name }) => binaryProblems(platform, path(`prebuilds/${name}`))),
	];
}

await main(() => {
	const manifest = readFileSync(path("package.json"), "utf8");
	const problems = [
		...prebuildProblems(),
		...needed.filter((name) => !existsSync(path(name))).map((name) => `${name} is missing`),
		...(manifest.includes("github.com/OWNER/") ? ["package.json has no owner: run scripts/set-repository.mjs"] : []),
	];
	if (problems.length > 0) throw new UserError(`expected a whole package, got:\n- ${problems.join("\n- ")}`);
	console.log(`the binaries of ${platforms.length} platforms, each as it should be`);
});
