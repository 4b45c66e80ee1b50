import { z } from "zod";
import { flag, path, text } from "../base/check.js";
import type { NativeScorer } from "../native/protocol.js";
import type { CostKind } from "./kind.js";
import { conversation, conversationSchema, linked, linkFields, pairsOf, scorerKind, selfTest } from "./scorer.js";

/** The fields of a cost model and of a reward model. */
export const sequenceClassifierFields = {
	sequenceClassifier: path("the path of a sequence classifier"),
	multiLabel: flag.optional(),
	template: conversationSchema.optional(),
	selfTest: selfTest.optional(),
};

const schema = linked(
	z.strictObject({
		...sequenceClassifierFields,
		unsafeLabels: z.array(text("a label")).min(1).optional(),
		...linkFields,
	}),
);

export function sequenceClassifierScorer(
	{ sequenceClassifier, template, multiLabel, selfTest }: Pick<z.output<typeof schema>, keyof typeof sequenceClassifierFields>,
	labels: string[],
	higher: NativeScorer["higher"],
): NativeScorer {
	const given = { ...(template && { template: conversation(template) }), ...(multiLabel !== undefined && { multiLabel }) };
	return { kind: "sequenceClassifier", path: sequenceClassifier, ...given, labels, selfTest: pairsOf(selfTest), higher };
}

/** A classifier with a head of its own. */
export const sequenceClassifier = {
	...scorerKind,
	shown: "{ sequenceClassifier }",
	schema,
	paths: ["sequenceClassifier"],
	toNative({ unsafeLabels = [], link = "probability", threshold = 0, ...model }) {
		return { kind: "scorer", scorer: sequenceClassifierScorer(model, unsafeLabels, "unsafe"), link, threshold };
	},
	recognise: (file, { tensors }) => (tensors.some(({ name }) => name === "cls.output.weight") ? { sequenceClassifier: file } : undefined),
} satisfies CostKind<"sequenceClassifier", typeof schema>;
