// Makes prebuilds/<platform>-<arch>/inferenceguard.node, in Linux inferenceguard.<libc>.node, with prebuildify, which calls gyp-shim.mjs to build.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureDependencies } from "./ensure.mjs";
import { llamaSource } from "./llama-source.mjs";
import { main, projectRoot, step } from "./tools.mjs";

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

/** Builds prebuilds/ and licenses/ for this machine's platform. */
export function prebuild() {
	rmSync(join(projectRoot, "licenses"), { recursive: true, force: true });
	mkdirSync(join(projectRoot, "licenses"));
	for (const [name, text] of Object.entries(licences())) writeFileSync(join(projectRoot, "licenses", `${name}.txt`), text);
	step("Building the binary for distribution");
	const prebuildify = join(projectRoot, "node_modules/prebuildify/bin.js");
	const shim = join(projectRoot, "scripts/gyp-shim.mjs");
	// glibc and musl have a binary each, side by side
	const libc = process.platform === "linux" ? ["--tag-libc"] : [];
	// the target names the lowest Node version; the binary itself is bound to Node-API 8 alone
	execFileSync(process.execPath, [prebuildify, "--napi", "--strip", ...libc, "-t", "20.19.0", "--node-gyp", shim], {
		cwd: projectRoot,
		stdio: "inherit",
	});
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(() => {
		ensureDependencies();
		prebuild();
	});
}
