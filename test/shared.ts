// Files that may lie beside the project or in the cache of models; tests that need one are skipped with a message where it is absent.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "vitest";
import { isCached, modelPath } from "../lib/files/model-cache.js";

export const sharedFile = (path: string) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url));

export const storiesModel = sharedFile("models/stories260K/stories260K-ctx512.gguf");
export const tinyStoryModel = sharedFile("models/tiny-story/tiny-q8_0.gguf");

/** `test`, or a skipped test that says what is missing. */
export function testWhere(isThere: boolean, missing: string): typeof test {
	if (isThere) return test;
	console.warn(`skipped: ${missing}`);
	return test.skip as unknown as typeof test;
}

/** `test`, or a skipped test that says which file is missing. */
export const testWith = (path: string) => testWhere(existsSync(path), `${path} is not there`);

/** Where a model of models.lock.json is, or would be: its file, or its folder where it has several. */
export const cachedModel: (name: string) => string = modelPath;

/** `test`, or a skipped test that says how to get the model. */
export const testWithModel = (name: string) => testWhere(isCached(name), `${modelPath(name)} is not there; run npm run models -- ${name}`);
