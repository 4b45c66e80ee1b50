// Moderations: the guard's cost models on texts that it did not write.
import { z } from "zod";
import { expected } from "../base/check.js";
import type { ScoredCost } from "../guard/cost-scorer.js";
import { textIn, textPart } from "./chat.js";
import { maybe, readRequest } from "./schema.js";
import { constraintName, newId, type ServerFacts } from "./wire.js";

/** Per request. */
const mostTexts = 32;

const moderationSchema = z.object({
	model: maybe(z.string(expected("the name of a model"))),
	prompt: maybe(z.string(expected("text")).min(1, expected("text"))),
	input: z.union(
		[z.string(), z.array(z.string()).min(1).max(mostTexts), z.array(textPart).min(1).max(mostTexts)],
		expected(`text, or an array of 1 to ${mostTexts} texts`),
	),
});

/** Stands for a message that nobody knows; chat templates do not take an empty one. */
const unknownPrompt = " ";

/** Texts, and the message that they answer. Errors: RequestError. */
export function moderated(body: unknown): { prompt: string; texts: string[] } {
	const { input, prompt = unknownPrompt } = readRequest(moderationSchema, body);
	const inputs = typeof input === "string" ? [input] : input;
	return { prompt, texts: inputs.map((one, i) => (typeof one === "string" ? one : textIn(one, `input[${i}]`))) };
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
