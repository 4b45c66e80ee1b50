// Moderations: the guard's cost models on texts that it did not write.
import { z } from "zod";
import { expected } from "../base/check.js";
import type { ScoredCost } from "../guard/cost-scorer.js";
import { maybe, readRequest } from "./schema.js";
import { constraintName, newId, type ServerFacts } from "./wire.js";

const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const message = expected("text, or an array of texts");

const moderationSchema = z.object({
	model: maybe(z.string(expected("the name of a model"))),
	input: z.union([z.string(), z.array(z.string()).min(1), z.array(textPart).min(1)], message),
});

/** Errors: RequestError. */
export function moderatedTexts(body: unknown): string[] {
	const { input } = readRequest(moderationSchema, body);
	if (typeof input === "string") return [input];
	return input.map((one) => (typeof one === "string" ? one : one.text));
}

/** `costs`: of each text under each constraint. A text over a budget is flagged. */
export const moderation = (costs: readonly ScoredCost[][], { model }: ServerFacts) => ({
	id: newId("modr-"),
	model,
	results: costs.map((ofText) => {
		const byConstraint = <T>(value: (scored: ScoredCost) => T) =>
			Object.fromEntries(ofText.map((scored, i) => [constraintName(i), value(scored)]));
		return {
			flagged: ofText.some(({ withinBudget }) => !withinBudget),
			categories: byConstraint(({ withinBudget }) => !withinBudget),
			category_scores: byConstraint(({ cost }) => cost),
			category_applied_input_types: byConstraint(() => ["text"]),
		};
	}),
});
