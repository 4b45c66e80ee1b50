// The options of a generation, but for what depends on the loaded guard (resolve.ts).
import { types } from "node:util";
import { z } from "zod";
import { abortSignal, check, choice, expected, integer, now, range, real, strategyName, text } from "./check.js";

export const temperature = z.union([z.literal(0), real(0.01, 100)], expected("0 or a number from 0.01 to 100"));

export const maxTokens = integer(1, 1_048_576).default(128);

export const candidates = integer(1, 1024);

export const messageSchema = z.object({ role: text("a role"), content: z.string(expected("text as content")) });

export const generateSchema = z
	.strictObject({
		prompt: z
			.union([z.string(), z.array(z.number()), z.custom<Int32Array>(types.isInt32Array)], expected("text or an array of token ids"))
			.optional(),
		messages: z.array(messageSchema, expected("an array of { role, content }")).optional(),
		strategy: strategyName.default("guard"),
		maxTokens,
		blockLength: integer(1, 1_048_576).optional(),
		candidates: candidates.optional(),
		startCandidates: integer(1, 1024).optional(),
		candidateGrowth: integer(2, 1024).optional(),
		satisfiedPSafe: real(0, 1).optional(),
		beams: integer(1, 1024).optional(),
		retries: integer(0, 100).optional(),
		expansion: choice(["sample", "token"]).optional(),
		estimator: choice(["models", "critic", "both", "logLikelihood"]).optional(),
		objective: choice(["augmented", "reward", "lagrangian", "cost"]).optional(),
		selection: choice(["top", "soft"]).optional(),
		softness: real(1e-9, 1e9).optional(),
		scoreRange: range(-Number.MAX_VALUE).optional(),
		rewardWeight: real(0, 1e9).optional(),
		latentSteps: integer(0, 10_000).optional(),
		latentStepSize: real(0, 1e6).optional(),
		temperature: temperature.optional(),
		topK: integer(0, 2 ** 31 - 1).optional(),
		topP: real(Number.MIN_VALUE, 1).optional(),
		minP: real(0, 1).optional(),
		diversityPenalty: real(0, 1e6).optional(),
		lambda: real(0, 1e9).optional(),
		pSafeThreshold: real(0, 1).optional(),
		uncertaintyPenalty: real(0, 1e6).optional(),
		ranksByValue: z.boolean(expected("true or false")).optional(),
		maxGeneratedTokens: integer(1, Number.MAX_SAFE_INTEGER).optional(),
		maxBacktracks: integer(0, Number.MAX_SAFE_INTEGER).optional(),
		repair: z.boolean(expected("true or false")).optional(),
		trace: z.boolean(expected("true or false")).default(false),
		cachePrompt: z.boolean(expected("true or false")).optional(),
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
