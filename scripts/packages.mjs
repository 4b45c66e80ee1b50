// Makes what is published: `npm run pack`, after `npm run prebuild`. packages/ gets a tarball of the main package, and one of every platform
// that has binaries in prebuilds/.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildTools } from "./build.mjs";
import { ensureDist } from "./ensure.mjs";
import { platforms } from "./platforms.mjs";
import { main, npm, projectRoot, step, UserError } from "./tools.mjs";

const readJson = (path) => JSON.parse(readFileSync(join(projectRoot, path), "utf8"));
const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

/** Packages that are installed on request; those of platforms are installed along with the main one, where they fit. */
export const gpuPackages = readJson("scripts/gpu-packages.json");

const all = [...platforms, ...gpuPackages];
const nameOf = ({ name }) => `@inferenceguard/${name}`;

/** The files with code of a platform's package. */
export const binariesOf = ({ levels }) =>
	levels.length === 0 ? ["inferenceguard.node"] : ["cpu.node", ...levels.map((level) => `inferenceguard.${level}.node`)];

/** Writes what lib/native/platform-packages.ts requires beside the binaries of a package. */
export function writeIndex(folder, { name, levels }) {
	const files = binariesOf({ levels }).map((file) => `\tjoin(__dirname, "${file}"),\n`);
	const text = `// The native binaries of inferenceguard for ${name}.
const { join } = require("node:path");

exports.folder = __dirname;
// so that tools that trace which files a program needs find them
exports.files = [
${files.join("")}];
`;
	writeFileSync(join(folder, "index.cjs"), text);
}

/** The manifest of the main package as it is published: without the scripts and the tools of the project, with the packages of binaries. */
export function publishedManifest() {
	const { private: _, scripts, devDependencies, ...manifest } = readJson("package.json");
	const { version } = manifest;
	const versions = (packages) => Object.fromEntries(packages.map((one) => [nameOf(one), version]));
	return {
		...manifest,
		devDependencies: Object.fromEntries(buildTools.map((name) => [name, devDependencies[name]])),
		optionalDependencies: versions(platforms),
		peerDependencies: versions(gpuPackages),
		peerDependenciesMeta: Object.fromEntries(gpuPackages.map((one) => [nameOf(one), { optional: true }])),
		preferUnplugged: true, // models are read by native code
	};
}

function platformManifest(platform) {
	const { version, license, repository, homepage, bugs, engines } = readJson("package.json");
	const { name, os, cpu, libc } = platform;
	return {
		name: nameOf(platform),
		version,
		description: `Native binaries of inferenceguard for ${name}`,
		license,
		repository,
		homepage,
		bugs,
		engines,
		os: [os],
		cpu: [cpu],
		...(libc ? { libc: [libc] } : {}),
		type: "commonjs",
		main: "./index.cjs",
		files: ["*.cjs", "*.node", "licenses"],
		preferUnplugged: true,
	};
}

function stageMain(folder) {
	const [{ files }] = JSON.parse(npm(["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: projectRoot }));
	const published = files.map(({ path }) => path).filter((path) => !path.startsWith("prebuilds/"));
	for (const path of published) cpSync(join(projectRoot, path), join(folder, path));
	writeJson(join(folder, "package.json"), publishedManifest());
}

function stagePlatform(folder, platform, binaries) {
	cpSync(binaries, folder, { recursive: true });
	for (const path of ["LICENSE", "licenses"].filter((name) => existsSync(join(projectRoot, name)))) {
		cpSync(join(projectRoot, path), join(folder, path), { recursive: true });
	}
	writeIndex(folder, platform);
	writeJson(join(folder, "package.json"), platformManifest(platform));
}

/** Packs into a folder, platforms with the binaries in `binaries`; returns the tarballs of the platforms and, as the last one, of the main package. */
export function pack(folder, binaries) {
	ensureDist();
	const found = existsSync(binaries) ? readdirSync(binaries) : [];
	const packed = all.filter(({ name }) => found.includes(name));
	if (packed.length === 0) throw new UserError(`expected a folder of binaries in ${binaries}, got none; run npm run prebuild`);
	rmSync(folder, { recursive: true, force: true });
	const stage = (name, fill) => {
		const staged = join(folder, "staged", name);
		mkdirSync(staged, { recursive: true });
		fill(staged);
		step(`Packing ${name}`);
		return join(folder, npm(["pack", staged, "--pack-destination", folder, "--silent"], { cwd: folder }).trim());
	};
	return [
		...packed.map((platform) => stage(platform.name, (staged) => stagePlatform(staged, platform, join(binaries, platform.name)))),
		stage("inferenceguard", stageMain),
	];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => {
		for (const tarball of pack(join(projectRoot, "packages"), join(projectRoot, "prebuilds"))) console.log(tarball);
	});
}
