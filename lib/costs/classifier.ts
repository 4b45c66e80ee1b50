import { z } from "zod";
import { path } from "../base/check.js";
import type { CostKind } from "./kind.js";
import { linked, linkedHash, linkFields, trainedHash } from "./scorer.js";

const schema = linked(z.strictObject({ classifier: path("the path of a trained cost model"), ...linkFields }));

/** Logistic regression on n-grams, made by `trainCost`. */
export const classifier = {
	shown: "{ classifier }",
	schema,
	paths: ["classifier"],
	toNative: ({ classifier, link = "probability", threshold }) => ({ kind: "classifier", classifier, link, threshold }),
	defaultBudget: ({ link }) => (link === "excess" ? 0 : undefined),
	hash: async (cost) => linkedHash(await trainedHash(cost.classifier), cost),
	files: ({ classifier }) => [classifier],
	recognise: (file, { metadata }) => (metadata.some(({ key }) => key === "general.architecture") ? undefined : { classifier: file }),
} satisfies CostKind<"classifier", typeof schema>;
