// @ts-check
// Where the package's own files are: compiled modules that threads, child processes and pages are made of, models, native binaries. They are
// found through the package's folder, so that they are found from a bundle too, which holds a copy of this module elsewhere. JavaScript,
// since scripts need it before anything is compiled.
import { readFileSync } from "node:fs";
import Module from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Files from which the package may be seen, the likeliest first. In a CommonJS bundle there is no import.meta.url, or it is the address that
 * this module had on the machine that made the bundle; in modules there is no __filename.
 */
function* viewpoints() {
	const { url } = import.meta;
	if (url?.startsWith("file:")) yield fileURLToPath(url);
	yield fileOfScript();
	yield process.argv[1];
	yield "index.js";
}

/** Of a CommonJS script, where this became a part of one; bundlers take `typeof __filename` for known even where it is not. */
function fileOfScript() {
	try {
		return __filename;
	} catch {
		return undefined;
	}
}

/** A bundler may evaluate a function `createRequire` of its own accord; here it has to stay what Node calls so. @param {string} viewpoint */
function seenFrom(viewpoint) {
	try {
		return Module.createRequire(viewpoint).resolve("inferenceguard/package.json");
	} catch {
		return undefined;
	}
}

function findManifest() {
	for (const viewpoint of viewpoints()) {
		const manifest = viewpoint && seenFrom(resolve(viewpoint));
		if (manifest) return manifest;
	}
	return undefined;
}

const found = findManifest();

/** Whether the package's folder was found; from a bundle that is moved away from it, it is not. */
export const isPackageFound = found !== undefined;

/** The path of this package's package.json: what is resolved from here is found in every layout of node_modules. */
export const packageManifest = found ?? resolve("node_modules/inferenceguard/package.json");

const root = dirname(packageManifest);

/** Requires as a module of this package does. @type {{ (id: string): unknown, resolve(id: string): string }} */
export const packageRequire = Module.createRequire(packageManifest);

/** The version of this package. @returns {string} */
export const packageVersion = () => JSON.parse(readFileSync(packageManifest, "utf8")).version;

/** What Electron leaves outside of an archive lies beside it; native code and other programs find it only there. @param {string} path */
export const unpacked = (path) => path.replace(/\.asar(?=[/\\])/, ".asar.unpacked");

/** The path of a file of this package, for native code, other programs and everyone else. @param {string} path from the package's folder */
export const packageFile = (path) => join(unpacked(root), path);

/** lib/ where this module runs from its source, dist/ everywhere else. */
const codeFolder = import.meta.url?.endsWith("/lib/base/package-files.js") ? "lib" : "dist";

/** The path of a module of this package, for Node alone: in Electron it may lie in the archive. @param {string} path from lib/ */
export const moduleFile = (path) => join(root, codeFolder, path);
