import { packaged } from "../files/packaged.js";
import type { LoadOptions } from "../options/types.js";

/** Openings of stories with their split (`train`, `validation`, `test`), one JSON object per line: what the embedded critic was made with. */
export const embeddedPrompts = packaged("prompts/openings.jsonl");

/**
 * The small story-telling model that this package carries, with its cost models, their budgets and its critic:
 * `InferenceGuard.load(embeddedDefault)`. It continues the beginning of a story; some turn out gentle, some grim. Cost models:
 * the probability that a text is from the grim shelf, and a lexicon of violence. The model cards beside the files say what they
 * were trained on and what they cannot do.
 */
export const embeddedDefault = {
	model: packaged("two-shelves.gguf"),
	constraints: [
		{ cost: { classifier: packaged("grim.gguf") }, budget: 0.5 },
		{ cost: { lexicon: packaged("violence.json") }, budget: 2 },
	],
	critic: packaged("critic.gguf"),
} as const satisfies LoadOptions;
