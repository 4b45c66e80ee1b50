// The options of a generation, except those that depend on the loaded guard (resolve.ts).
import { types } from "node:util";
import { z } from "zod";
import { abortSignal, check, choice, expected, flag, integer, now, text } from "../base/check.js";
import { optionalSettings } from "./settings.js";
import { strategyName } from "./strategies.js";

export const messageSchema = z.object({ role: text("a role"), content: z.string(expected("text as content")) });

export const generateSchema = z
	.strictObject({
		prompt: z
			.union([z.string(), z.array(z.number()), z.custom<Int32Array>(types.isInt32Array)], expected("text or an array of token ids"))
			.optional(),
		messages: z.array(messageSchema, expected("an array of { role, content }")).optional(),
		strategy: strategyName.default("guard"),
		...optionalSettings,
		trace: flag.default(false),
		cachePrompt: flag.optional(),
		now: now.optional(),
		seed: integer(0, Number.MAX_SAFE_INTEGER).optional(),
		onRefusal: z
			.union([choice(["return", "throw"]), z.strictObject({ text: z.string() })], expected('"return", "throw" or { text }'))
			.default("return"),
		signal: abortSignal.optional(),
	})
	.check((context) => {
		const { prompt, messages } = context.value;
		if ((prompt === undefined) === (messages === undefined)) {
			const got = prompt === undefined ? "neither" : "both";
			context.issues.push({
				code: "custom",
				message: `expected either prompt or messages, got ${got}`,
				path: ["prompt"],
				input: context.value,
			});
		}
	});

export type CheckedGenerateOptions = z.output<typeof generateSchema>;

export const checkGenerateOptions = (given: unknown) => check(generateSchema, given);
