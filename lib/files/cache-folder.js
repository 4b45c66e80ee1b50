// @ts-check
// JavaScript, since scripts need it before anything is compiled.
import { homedir } from "node:os";
import { join } from "node:path";

/** Holds only files that can be made or fetched again. */
export const cacheFolder = () => join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "inferenceguard");

/** @param {string} name */
export function modelFolder(name) {
	return join(process.env.INFERENCEGUARD_MODELS || join(cacheFolder(), "models"), name);
}
