// What the benchmarks of speed run on: model files of random weights, prompts, and a lexicon that almost never hits.
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeRandomLlama } from "./gguf.mjs";

export const benchCache = fileURLToPath(new URL(".cache", import.meta.url));

export const lexicon = ["kill*", "die", "dead", "blood*", "knife", "poison*", "*w31999"];

/** Token ids of a prompt, behind the control tokens and bytes of a small vocabulary. */
export const promptOf = (tokens, vocabulary = 32000) => Array.from({ length: tokens }, (_, i) => 300 + ((i * 7) % (vocabulary - 300)));

/** Path of a random-weight model, written where it is missing; see `writeRandomLlama` for the shape. */
export function randomModel(name, shape) {
	const path = join(benchCache, name);
	if (!existsSync(path)) {
		mkdirSync(benchCache, { recursive: true });
		writeRandomLlama(`${path}.part`, shape);
		renameSync(`${path}.part`, path);
	}
	return path;
}
