import { fileURLToPath } from "node:url";
import type { LoadOptions } from "../options/types.js";

const path = (file: string) => fileURLToPath(new URL(`../../models/${file}`, import.meta.url));

/** The judge of harm that this package carries: an encoder that reads prompt and response. */
export const harmJudge = path("harm.gguf");

/** Probes that judge beside it, each of one model, by that model's size in bytes: most others are told apart without reading them. */
export const harmProbesBySize = new Map([[98_362_432, path("harm-smollm2.gguf")]]);

/** All of them. */
export const harmProbes = [...harmProbesBySize.values()];

/** Openings of stories with their split (`train`, `validation`, `test`), one JSON object per line: what the embedded critic was made with. */
export const embeddedPrompts = path("prompts/openings.jsonl");

/**
 * The small story-telling model that this package carries, with its cost models, their budgets and its critic:
 * `InferenceGuard.load(embeddedDefault)`. It continues the beginning of a story; some turn out gentle, some grim. Cost models:
 * the probability that a text is from the grim shelf, and a lexicon of violence. The model cards beside the files say what they
 * were trained on and what they cannot do.
 */
export const embeddedDefault = {
	model: path("two-shelves.gguf"),
	constraints: [
		{ cost: { classifier: path("grim.gguf") }, budget: 0.5 },
		{ cost: { lexicon: path("violence.json") }, budget: 2 },
	],
	critic: path("critic.gguf"),
} as const satisfies LoadOptions;
