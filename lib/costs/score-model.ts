import { z } from "zod";
import { expected, path, real } from "../base/check.js";
import { InvalidOptionError } from "../errors.js";
import type { NativeScorer, NativeTemplate } from "../native/protocol.js";
import { conversationPieces } from "../prompt/chat.js";
import type { CostKind } from "./kind.js";
import { conversation, conversationSchema, metadataOf, pairsOf, scorerKind, selfTest } from "./scorer.js";

/** The fields of a cost model and of a reward model. */
export const scoreModelFields = {
	scoreModel: z.strictObject({ body: path("the path of a model"), head: path("the path of its head") }),
	template: z.union([z.literal("beaver"), conversationSchema], expected('"beaver" or { before, between, after }')).optional(),
	selfTest: selfTest.optional(),
};

const schema = z.strictObject({ ...scoreModelFields, threshold: real(-Number.MAX_VALUE).optional() });

type ScoreModel = Pick<z.output<typeof schema>, keyof typeof scoreModelFields>;

const beaver = { before: "BEGINNING OF CONVERSATION: USER: ", between: " ASSISTANT:", after: "</s>" };

async function templateOf({ scoreModel: { body }, template }: ScoreModel): Promise<NativeTemplate> {
	if (template) return conversation(template === "beaver" ? beaver : template);
	const own = metadataOf(body).get("tokenizer.chat_template") ?? "";
	const pieces = own === "" || own.includes("eos_token") ? undefined : await conversationPieces(own);
	if (!pieces) {
		throw new InvalidOptionError(
			`template: expected one for ${body}, which has no chat template that says how prompt and response are joined; ` +
				'give "beaver" or { before, between, after }',
		);
	}
	return conversation(pieces);
}

export async function scoreModelScorer(model: ScoreModel, higher: NativeScorer["higher"]): Promise<NativeScorer> {
	const { body, head } = model.scoreModel;
	return { kind: "scoreModel", path: body, head, template: await templateOf(model), labels: [], selfTest: pairsOf(model.selfTest), higher };
}

/** A language model with a linear head. */
export const scoreModel = {
	...scorerKind,
	shown: "{ scoreModel }",
	schema,
	paths: ["body", "head"],
	toNative: async ({ threshold = 0, ...model }) => ({
		kind: "scorer",
		scorer: await scoreModelScorer(model, "unsafe"),
		link: "excess",
		threshold,
	}),
} satisfies CostKind<"scoreModel", typeof schema>;
