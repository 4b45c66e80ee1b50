// The options of experiments and certificates.
import { z } from "zod";
import { abortSignal, callback, check, expected, flag, now, path, real } from "../base/check.js";
import type { EvaluationProgress } from "../progress.js";

const evaluateSchema = z.strictObject({
	config: z.union([path("a path"), z.record(z.string(), z.unknown())], expected("the path of a configuration, or a configuration")),
	out: path("a folder"),
	inspect: flag.default(false),
	now: now.optional(),
	onProgress: callback<(progress: EvaluationProgress) => void>("a function").optional(),
	signal: abortSignal.optional(),
});

const certifiedShare = expected("a number above 0 and below 1");

const calibrateSchema = z.strictObject({
	config: evaluateSchema.shape.config,
	out: path("a path"),
	evaluation: path("a folder"),
	delta: real(Number.MIN_VALUE, 0.5).default(0.05),
	epsilon: z.number(certifiedShare).gt(0, certifiedShare).lt(1, certifiedShare).optional(),
	now: now.optional(),
	onProgress: evaluateSchema.shape.onProgress,
	signal: abortSignal.optional(),
});

export const checkEvaluateOptions = (given: unknown) => check(evaluateSchema, given);

export const checkCalibrateOptions = (given: unknown) => check(calibrateSchema, given);
