// @ts-check
// Locates the third-party models of models.lock.json that `scripts/models.mjs` fetches. JavaScript, since scripts need it before anything
// is compiled.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { packageFile } from "../base/package-files.js";
import { modelFolder } from "./cache-folder.js";

/**
 * The pinned models by name: the source of each, and the size and SHA-256 of its files.
 *
 * @type {Record<string, { title: string, licence: string, origin: string, packages: string[], hub: { repository: string, revision: string },
 *   files: { path: string, size: number, sha256: string, members: string[] }[] }>}
 */
export const pinnedModels = JSON.parse(readFileSync(packageFile("models.lock.json"), "utf8"));

/** @param {string} name */
function filesOf(name) {
	const model = pinnedModels[name];
	if (model === undefined) throw new Error(`expected a model of models.lock.json, got ${name}`);
	return model.files;
}

/** The path of a model, cached or not: its file, or its folder if it has several. @param {string} name */
export function modelPath(name) {
	const [file, ...more] = filesOf(name);
	return file && more.length === 0 ? join(modelFolder(name), file.path) : modelFolder(name);
}

/** Whether all files of a model are in the cache. Their sizes suffice, because a file is cached only after its hash was checked. @param {string} name */
export function isCached(name) {
	return filesOf(name).every(({ path, size }) => statSync(join(modelFolder(name), path), { throwIfNoEntry: false })?.size === size);
}
