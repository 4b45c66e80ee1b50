// The options of a generation, except those that depend on the loaded guard (resolve.ts).
import { types } from "node:util";
import { z } from "zod";
import { abortSignal, check, choice, expected, flag, integer, now, text } from "../base/check.js";
import { optionalSettings } from "./settings.js";
import { strategyName } from "./strategies.js";

export const messageSchema = z.object({ role: text("a role"), content: z.string(expected("text as content")) });

const textOrTokens = z
	.union([z.string(), z.array(z.number()), z.custom<Int32Array>(types.isInt32Array)], expected("text or an array of token ids"))
	.optional();

export const generateSchema = z
	.strictObject({
		prompt: textOrTokens,
		messages: z.array(messageSchema, expected("an array of { role, content }")).optional(),
		prefill: textOrTokens,
		continueFinal: flag.default(false),
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
		const { prompt, messages, prefill, continueFinal } = context.value;
		const report = (option: string, message: string) =>
			context.issues.push({ code: "custom", message, path: [option], input: context.value });
		if ((prompt === undefined) === (messages === undefined)) {
			report("prompt", `expected either prompt or messages, got ${prompt === undefined ? "neither" : "both"}`);
		}
		if (typeof prefill === "string" && prompt !== undefined && typeof prompt !== "string") {
			report("prefill", "expected token ids after a prompt of token ids, got text");
		}
		if (continueFinal && messages?.at(-1)?.role !== "assistant") {
			report("continueFinal", "expected messages that end with one of the assistant, got others");
		}
		if (continueFinal && prefill !== undefined) {
			report("prefill", "expected none beside continueFinal, whose last message begins the response, got one");
		}
	});

export type CheckedGenerateOptions = z.output<typeof generateSchema>;

export const checkGenerateOptions = (given: unknown) => check(generateSchema, given);
