// Makes prebuilds/<platform>/inferenceguard.<level>.node for the CPU levels that scripts/platforms.json gives this platform, or for those that
// are named (`npm run prebuild -- avx2`), the probe cpu.node beside them, and licenses/.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";
import { ensureDependencies } from "./ensure.mjs";
import { llamaSource } from "./llama-source.mjs";
import { platformHere } from "./platforms.mjs";
import { main, projectRoot, step, UserError } from "./tools.mjs";

const read = (path) => readFileSync(join(projectRoot, path), "utf8");

/** Licence texts of everything that is linked into the binary. */
function licences() {
	const source = llamaSource();
	const sgemm = readFileSync(join(source, "ggml/src/ggml-cpu/llamafile/sgemm.cpp"), "utf8");
	const [unicode] =
		read("node_modules/typescript/ThirdPartyNoticeText.txt").match(/UNICODE, INC\. LICENSE AGREEMENT[\s\S]*?(?=\n-{5})/) ?? [];
	const [llamafile] = sgemm.match(/^(\/\/.*\n)+/) ?? [];
	if (!unicode || !llamafile) throw new Error("a licence text is not where it was: look into scripts/prebuild.mjs");
	return {
		"llama.cpp": readFileSync(join(source, "LICENSE"), "utf8"),
		llamafile: llamafile.replace(/^\/\/ ?/gm, ""),
		"node-addon-api": read("node_modules/node-addon-api/LICENSE.md"),
		unicode,
	};
}

/**
 * Makes the folder of a platform's binaries anew, for the levels that are named, or for all. `make` builds for a level and returns the folder with
 * inferenceguard.node and cpu.node; from one level to the next, only what depends on it is compiled again.
 */
export function prebuildLevels({ name, levels }, named, make) {
	const unknown = named.filter((level) => !levels.includes(level));
	if (unknown.length > 0) throw new UserError(`expected levels of ${name}, ${levels.join(", ")}, got ${unknown.join(", ")}`);
	const folder = join(projectRoot, "prebuilds", name);
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	for (const level of named.length > 0 ? named : levels) {
		step(`Building the binary of ${name} and level ${level}`);
		const made = make(level);
		copyFileSync(join(made, "inferenceguard.node"), join(folder, `inferenceguard.${level}.node`));
		copyFileSync(join(made, "cpu.node"), join(folder, "cpu.node"));
	}
}

/** Builds prebuilds/ and licenses/ for this machine's platform. */
export function prebuild(named = []) {
	const platform = platformHere();
	rmSync(join(projectRoot, "licenses"), { recursive: true, force: true });
	mkdirSync(join(projectRoot, "licenses"));
	for (const [name, text] of Object.entries(licences())) writeFileSync(join(projectRoot, "licenses", `${name}.txt`), text);
	prebuildLevels(platform, named, (level) => {
		build({ out: "build-prebuilt", level });
		return join(projectRoot, "build-prebuilt/Release");
	});
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => {
		ensureDependencies();
		prebuild(process.argv.slice(2));
	});
}
