// Files that may lie beside the project; tests that need one are skipped with a message where it is absent.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "vitest";

export const sharedFile = (path: string) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url));

export const storiesModel = sharedFile("models/stories260K/stories260K-ctx512.gguf");
export const tinyStoryModel = sharedFile("models/tiny-story/tiny-q8_0.gguf");

/** `test`, or a skipped test that says which file is missing. */
export function testWith(path: string): typeof test {
	if (existsSync(path)) return test;
	console.warn(`skipped: ${path} is not there`);
	return test.skip as unknown as typeof test;
}
