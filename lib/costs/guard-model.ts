import { z } from "zod";
import { choice, expected, path, text } from "../base/check.js";
import { InvalidOptionError } from "../errors.js";
import type { NativeTemplate } from "../native/protocol.js";
import { type GuardTemplate, graniteRiskNames, guardTemplate, guardTemplateNames, recogniseGuard } from "./guard-templates.js";
import type { CostKind } from "./kind.js";
import { conversation, metadataOf, pairsOf, pieces, scorerKind, selfTest } from "./scorer.js";

const answers = z.union([text("a label"), z.array(text("a label")).min(1)], expected("a label or an array of labels"));
const template = z.union(
	[
		choice(guardTemplateNames),
		z.strictObject({
			...pieces,
			safe: answers,
			unsafe: answers,
			categories: z.strictObject({ before: text("text"), names: z.array(text("a name")).min(2) }).optional(),
		}),
	],
	expected(`one of ${guardTemplateNames.join(", ")}, or { before, between, after, safe, unsafe }`),
);

const schema = z.strictObject({
	guardModel: path("the path of a guard model"),
	template: template.optional(),
	risk: choice(graniteRiskNames).optional(),
	selfTest: selfTest.optional(),
});

const list = (labels: string | string[]) => (typeof labels === "string" ? [labels] : labels);

function templateOf({ guardModel, template, risk }: z.output<typeof schema>): NativeTemplate {
	if (typeof template === "object") {
		const { safe, unsafe, categories } = template;
		return {
			...conversation(template),
			safe: list(safe),
			unsafe: list(unsafe),
			beforeCategory: categories?.before ?? "",
			categories: categories?.names ?? [],
		};
	}
	const known = metadataOf(guardModel);
	const names = ["general.name", "general.basename"].map((key) => known.get(key) ?? "");
	const name = template ?? recogniseGuard(names, known.get("tokenizer.chat_template") ?? "");
	if (name === undefined) {
		throw new InvalidOptionError(
			`template: expected one for ${guardModel}, whose name and chat template are none of a known guard model; ` +
				"name the model it was made from, or give { before, between, after, safe, unsafe }",
		);
	}
	if (risk !== undefined && name !== "graniteGuardian") {
		throw new InvalidOptionError(`risk: expected one with Granite Guardian only, got "${risk}" for ${name}`);
	}
	const found: GuardTemplate = guardTemplate(name, risk);
	return { ...found, controls: [...found.controls] };
}

/** A guard LLM. */
export const guardModel = {
	...scorerKind,
	shown: "{ guardModel }",
	schema,
	paths: ["guardModel"],
	toNative(cost) {
		const { guardModel, selfTest } = cost;
		const scorer = { path: guardModel, template: templateOf(cost), labels: [], selfTest: pairsOf(selfTest) };
		return { kind: "scorer", scorer: { kind: "guardModel", ...scorer, higher: "unsafe" }, link: "probability", threshold: 0 };
	},
	recognise: (file) => ({ guardModel: file }),
} satisfies CostKind<"guardModel", typeof schema>;
