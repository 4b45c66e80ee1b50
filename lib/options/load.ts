// The options of loading a guard or a scorer, including all cost and reward models.
import { z } from "zod";
import { abortSignal, callback, check, choice, expected, flag, integer, path, real } from "../base/check.js";
import { costModel } from "../costs/index.js";
import { rewardModel } from "../costs/rewards.js";
import { deviceFields, sizeFields } from "./engine.js";

const constraintFields = {
	budget: real(0).optional(),
	discount: real(Number.MIN_VALUE, 1).optional(),
	costFloor: z.union([z.literal(0), z.null()], expected("0 or null")).optional(),
	criterion: choice(["anytime", "terminal"]).optional(),
};

export const constraint = z.strictObject({ cost: costModel, ...constraintFields }).transform((given) => {
	const { cost, budget, discount = 1, costFloor = 0, criterion = "anytime" } = given;
	return { cost, budget, discount, costFloor, criterion };
});

/** Bounds a logit far below the largest single-precision number, so that no temperature overflows it. */
const largestLogit = 1e30;

const tabularModel = z.strictObject({
	pieces: z.array(z.string(), expected("an array of token texts")).min(2, expected("at least two token texts")),
	logits: z.array(
		z.array(z.number().min(-largestLogit).max(largestLogit)),
		expected("one row of logits between -1e30 and 1e30 per last token"),
	),
	ends: z.array(integer(0, 65535)).default([]),
	oracle: z.boolean().default(false),
	maxSequences: integer(3, 4096).default(256),
});

const steering = z
	.strictObject({
		vector: path("the path of a control vector"),
		strength: real(-1e6, 1e6),
		sparsity: real(Number.MIN_VALUE, 1).optional(),
		gate: flag.optional(),
	})
	.transform(({ sparsity = 1, gate = false, ...given }) => ({ ...given, sparsity, gate }));

const certificate = z
	.union(
		[path("a path"), z.strictObject({ file: path("a path"), onMismatch: choice(["warn", "refuse"]).optional() })],
		expected("the path of a certificate, or { file, onMismatch }"),
	)
	.transform((given) => (typeof given === "string" ? { file: given } : given))
	.transform(({ file, onMismatch = "refuse" }: { file: string; onMismatch?: "warn" | "refuse" }) => ({ file, onMismatch }));

export const loadSchema = z
	.strictObject({
		model: z.union([path("a path"), tabularModel], expected("the path of a GGUF file or a tabular model")),
		cost: costModel.optional(),
		...constraintFields,
		constraints: z.array(constraint, expected("an array of { cost, budget }")).optional(),
		reward: rewardModel.default("logLikelihood"),
		critic: path("the path of a critic").optional(),
		steering: steering.optional(),
		certificate: certificate.optional(),
		...deviceFields,
		...sizeFields,
		onLoadProgress: callback<(share: number) => void>("a function of the share loaded").optional(),
		signal: abortSignal.optional(),
	})
	.check((context) => {
		const { model, cost, constraints } = context.value;
		const reject = (message: string, path: string) => context.issues.push({ code: "custom", message, path: [path], input: context.value });
		if (cost && constraints) reject("expected either cost with budget or constraints, got both", "constraints");
		for (const name of ["budget", "discount", "costFloor", "criterion"] as const) {
			if (constraints && context.value[name] !== undefined) {
				reject(`expected each constraint to carry its own ${name}, got one in addition to constraints`, name);
			}
		}
		if (typeof model === "string") return;
		if (context.value.steering) reject("expected a model file to steer, got a tabular model", "steering");
		if (model.oracle && context.value.critic)
			reject("expected either the exact critic (model.oracle) or a trained one, got both", "critic");
		const size = model.pieces.length;
		if (model.logits.length !== size || model.logits.some((row) => row.length !== size)) {
			reject(`expected ${size} rows of ${size} logits, one per token`, "model.logits");
		}
		const outside = model.ends.find((end) => end >= size);
		if (outside !== undefined) reject(`expected token ids below ${size}, got ${outside}`, "model.ends");
	})
	.transform(({ cost, budget, discount, costFloor, criterion, constraints, ...rest }) => {
		const judge = cost ?? (typeof rest.model === "string" ? "harm" : undefined);
		const single = judge ? [constraint.parse({ cost: judge, budget, discount, costFloor, criterion })] : [];
		return { ...rest, constraints: constraints ?? single };
	});

const scorerSchema = z.strictObject({
	model: path("the path of a GGUF file").optional(),
	constraints: z.array(constraint, expected("an array of { cost, budget }")).min(1, expected("at least one constraint")),
	...deviceFields,
	isolate: sizeFields.isolate,
	signal: abortSignal.optional(),
});

const hashSchema = z.strictObject({
	onProgress: callback<(share: number) => void>("a function of the share read").optional(),
	signal: abortSignal.optional(),
});

export type CheckedLoadOptions = z.output<typeof loadSchema>;
export type CheckedScorerOptions = z.output<typeof scorerSchema>;

export const checkLoadOptions = (given: unknown) => check(loadSchema, given);
export const checkScorerOptions = (given: unknown) => check(scorerSchema, given);
export const checkHashOptions = (given: unknown) => check(hashSchema, given);
/** The options of rollouts and of the guard that samples them. A critic has no part in sampling. */
