import { packageFile } from "../base/package-files.js";
import type { LoadOptions } from "../options/types.js";

/**
 * The prompts from which the embedded critic was made: openings of stories with their split (`train`, `validation`, `test`), one JSON
 * object per line.
 */
export const embeddedPrompts = packageFile("models/prompts/openings.jsonl");

/**
 * The small story-telling model in this package, with its cost models, their budgets and its critic:
 * `InferenceGuard.load(embeddedDefault)`. It continues the beginning of a story; some stories turn out gentle, some grim. The cost models are
 * the probability that a text is from the grim shelf, and a lexicon of violence. The model cards in the same folder describe their training
 * data and their limits.
 */
export const embeddedDefault = {
	model: packageFile("models/two-shelves.gguf"),
	constraints: [
		{ cost: { classifier: packageFile("models/grim.gguf") }, budget: 0.5 },
		{ cost: { lexicon: packageFile("models/violence.json") }, budget: 2 },
	],
	critic: packageFile("models/critic.gguf"),
} as const satisfies LoadOptions;
