// The options of loading a guard, or what only scores; every cost and reward model among them.
import { types } from "node:util";
import { z } from "zod";
import { graniteRiskNames, guardTemplateNames } from "../costs/guard-templates.js";
import { abortSignal, callback, check, choice, expected, flag, integer, path, real, text } from "./check.js";
import { deviceFields, sizeFields } from "./engine.js";
import type { ScoreFunction } from "./types.js";

const lexiconTerm = z.union(
	[z.string(), z.strictObject({ term: z.string(), weight: z.number().optional() })],
	expected("a term or { term, weight }"),
);
const lexiconSource = z.union([path("a path"), z.array(lexiconTerm)], expected("the path of a lexicon file or an array of terms"));
const tokenCosts = z.union(
	[z.array(z.number()), z.custom<Float64Array>(types.isFloat64Array).refine((costs) => costs.every(Number.isFinite))],
	expected("an array of finite costs, one per token id"),
);

const classifierCost = z
	.strictObject({
		classifier: path("the path of a trained cost model"),
		link: choice(["probability", "excess"]).optional(),
		threshold: real(-Number.MAX_VALUE).optional(),
	})
	.refine(({ link, threshold }) => threshold === undefined || link === "excess", {
		error: 'expected a threshold with link: "excess" only; the probability is held to the budget',
	});

const selfTest = z.union(
	[z.literal(false), z.array(z.strictObject({ prompt: z.string(), safe: z.string(), unsafe: z.string() })).min(1)],
	expected("false or an array of { prompt, safe, unsafe }"),
);
const pieces = { before: z.string().default(""), between: z.string().default(""), after: z.string().default("") };
const conversation = z.strictObject(pieces, expected("a template { before, between, after }"));
const answers = z.union([text("a label"), z.array(text("a label")).min(1)], expected("a label or an array of labels"));
const guardTemplate = z.union(
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
const guardModelCost = z.strictObject({
	guardModel: path("the path of a guard model"),
	template: guardTemplate.optional(),
	risk: choice(graniteRiskNames).optional(),
	selfTest: selfTest.optional(),
});
const sequenceClassifierCost = z.strictObject({
	sequenceClassifier: path("the path of a sequence classifier"),
	unsafeLabels: z.array(text("a label")).min(1).optional(),
	multiLabel: flag.optional(),
	template: conversation.optional(),
	link: choice(["probability", "excess"]).optional(),
	threshold: real(-Number.MAX_VALUE).optional(),
	selfTest: selfTest.optional(),
});
const scoreModel = {
	scoreModel: z.strictObject({ body: path("the path of a model"), head: path("the path of its head") }),
	template: z.union([z.literal("beaver"), conversation], expected('"beaver" or { before, between, after }')).optional(),
};
const scoreModelCost = z.strictObject({ ...scoreModel, threshold: real(-Number.MAX_VALUE).optional(), selfTest: selfTest.optional() });

const probeCost = z.strictObject({
	probe: path("the path of a probe"),
	link: choice(["probability", "excess"]).optional(),
	threshold: real(-Number.MAX_VALUE).optional(),
	selfTest: selfTest.optional(),
});

const encoderCost = z.strictObject({
	encoder: path("the path of an encoder that judges"),
	probe: path("the path of a probe").optional(),
	uncertaintyPenalty: real(0, 1e6).optional(),
	selfTest: selfTest.optional(),
});

const costModel = z.union(
	[
		z.literal("harm"),
		z.strictObject({ lexicon: lexiconSource, match: choice(["strict", "loose"]).optional() }),
		z.strictObject({ tokenCosts }),
		classifierCost,
		guardModelCost,
		sequenceClassifierCost,
		scoreModelCost,
		probeCost,
		encoderCost,
		callback<ScoreFunction>("a function of candidates"),
	],
	expected(
		'a cost model: "harm", { lexicon }, { tokenCosts }, { classifier }, { guardModel }, { sequenceClassifier }, { scoreModel }, { probe }, { encoder } or a function',
	),
);

const rewardModel = z.union(
	[
		z.literal("logLikelihood"),
		z.strictObject({ lexicon: lexiconSource }),
		z.strictObject({
			sequenceClassifier: path("a path"),
			label: text("a label").optional(),
			multiLabel: flag.optional(),
			template: conversation.optional(),
			selfTest: selfTest.optional(),
		}),
		z.strictObject({ ...scoreModel, selfTest: selfTest.optional() }),
		callback<ScoreFunction>("a function of candidates"),
	],
	expected('a reward: "logLikelihood", { lexicon }, { sequenceClassifier }, { scoreModel } or a function'),
);

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

/** The largest number in single precision. */
const largestFloat = (2 - 2 ** -23) * 2 ** 127;

const tabularModel = z.strictObject({
	pieces: z.array(z.string(), expected("an array of token texts")).min(2, expected("at least two token texts")),
	logits: z.array(z.array(z.number().min(-largestFloat).max(largestFloat)), expected("one row of finite logits per last token")),
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
				reject(`expected each constraint to carry its own ${name}, got one beside constraints`, name);
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
export type CheckedCostModel = z.output<typeof costModel>;
export type CheckedRewardModel = z.output<typeof rewardModel>;

export const checkLoadOptions = (given: unknown) => check(loadSchema, given);
export const checkScorerOptions = (given: unknown) => check(scorerSchema, given);
export const checkHashOptions = (given: unknown) => check(hashSchema, given);
/** The options of rollouts and of the guard that samples them. A critic has no part in sampling. */
