// Every option with its default, its limits and the message for a wrong one. What depends on the loaded guard (its critic, the
// number of beams beside that of candidates) is checked in guard.ts.
import { types } from "node:util";
import { z } from "zod";
import { recordedNow } from "../base/now.js";
import { cappedThreads, defaultThreads } from "../base/threads.js";
import { inspected, reasonOf } from "../base/thrown.js";
import { graniteRiskNames, guardTemplateNames } from "../costs/guard-templates.js";
import { InvalidOptionError } from "../errors.js";
import type { EpochProgress, EvaluationProgress, RolloutProgress } from "../progress.js";
import { strategyNamed, strategyNames } from "./strategies.js";

const mostShown = 80; // characters

/** Leaves out of a value what is beyond what is shown of it: it may hold itself a thousand times. */
function shortened(): (key: string, part: unknown) => unknown {
	let left = mostShown;
	return (_, part) => {
		if (left-- <= 0) return undefined;
		if (typeof part !== "object" || part === null) return part;
		if (ArrayBuffer.isView(part)) return inspected(part);
		return Array.isArray(part) ? part.slice(0, mostShown) : Object.fromEntries(Object.entries(part).slice(0, mostShown));
	};
}

function show(value: unknown): string {
	if (typeof value === "function") return "a function";
	if (typeof value === "bigint" || typeof value === "number" || value === undefined) return String(value);
	let text: string;
	try {
		text = JSON.stringify(value, shortened()) ?? String(value);
	} catch {
		text = "a value that JSON cannot hold";
	}
	return text.length > mostShown ? `${text.slice(0, mostShown - 3)}...` : text;
}

export const expected = (what: string) => ({ error: (issue: { input?: unknown }) => `expected ${what}, got ${show(issue.input)}` });

export function integer(min: number, max: number) {
	const message = expected(`an integer from ${min} to ${max}`);
	return z.number(message).int(message).min(min, message).max(max, message);
}

export function real(min: number, max = Number.MAX_VALUE) {
	const lowest = min === Number.MIN_VALUE ? "above 0" : `from ${min}`;
	const message = expected(max === Number.MAX_VALUE ? `a number of at least ${min}` : `a number ${lowest} to ${max}`);
	return z.number(message).min(min, message).max(max, message);
}

export const text = (what: string) => z.string(expected(what)).min(1, expected(what));

/** A path, or a command: the system reads none beyond a NUL, so that another file would be meant. */
export const path = (what: string) => text(what).refine((given) => !given.includes("\0"), expected(`${what}, without NUL characters`));
export const callback = <F>(what: string) => z.custom<F>((value) => typeof value === "function", expected(what));
export const choice = <const T extends readonly [string, ...string[]]>(values: T) =>
	z.enum(values, expected(`one of ${values.join(", ")}`));
export const now = z
	.union(
		[z.string(), z.custom<Date>(types.isDate)],
		expected("a date such as 2026-11-28, perhaps with a time (2026-11-28T09:30), or a Date"),
	)
	.transform((given, context) => {
		const recorded = recordedNow(given);
		if (recorded !== undefined) return recorded;
		context.issues.push({
			code: "custom",
			message: `expected a date such as 2026-11-28, perhaps with a time (2026-11-28T09:30), got ${show(given)}`,
			input: given,
		});
		return z.NEVER;
	});
export const strategyName = z.preprocess(
	(given) => (typeof given === "string" ? (strategyNamed(given) ?? given) : given),
	choice(strategyNames),
);

/** What only inherits from AbortSignal throws when it is asked. */
function isSignal(value: unknown): boolean {
	try {
		return value instanceof AbortSignal && typeof value.aborted === "boolean" && (value.reason === undefined || value.aborted);
	} catch {
		return false;
	}
}

export const abortSignal = z.custom<AbortSignal>(isSignal, expected("an AbortSignal"));

/** A candidate that a cost or reward function judges. */
export interface Candidate {
	/** The response so far: complete characters only. */
	readonly text: string;
	/** Its token ids. */
	readonly tokens: Int32Array;
	/** Whether the response is complete; otherwise the value is an estimate that guides the search. */
	readonly finished: boolean;
}

/**
 * Judges all candidates of a block in one call: one finite number per candidate, in order, and nothing that would have to be made a
 * number first. The array and its candidates are copies. The search waits for the function, so that it cannot wait for a generation of
 * the same guard: such a call rejects with INVALID_OPTION.
 */
export type ScoreFunction = (candidates: readonly Candidate[]) => ArrayLike<number> | Promise<ArrayLike<number>>;

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
	multiLabel: z.boolean(expected("true or false")).optional(),
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
			multiLabel: z.boolean(expected("true or false")).optional(),
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

const threads = integer(1, 512)
	.default(() => defaultThreads())
	.transform(cappedThreads);

const deviceFields = {
	device: text("auto, cpu or the name of a device").default("auto"),
	gpuLayers: z.union([z.literal("all"), integer(0, 10000)], expected('"all" or an integer from 0 to 10000')).default("all"),
	threads,
	useMmap: z.boolean(expected("true or false")).default(true),
	useMlock: z.boolean(expected("true or false")).default(false),
};

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
		gate: z.boolean(expected("true or false")).optional(),
	})
	.transform(({ sparsity = 1, gate = false, ...given }) => ({ ...given, sparsity, gate }));

const certificate = z
	.union(
		[path("a path"), z.strictObject({ file: path("a path"), onMismatch: choice(["warn", "refuse"]).optional() })],
		expected("the path of a certificate, or { file, onMismatch }"),
	)
	.transform((given) => (typeof given === "string" ? { file: given } : given))
	.transform(({ file, onMismatch = "refuse" }: { file: string; onMismatch?: "warn" | "refuse" }) => ({ file, onMismatch }));

const isolate = z.boolean(expected("true or false")).default(false);

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
		contextSize: integer(2, 2 ** 31 - 1).optional(),
		kvCells: integer(1, 2 ** 31 - 1).optional(),
		outputs: choice(["auto", "device", "host"]).default("auto"),
		isolate,
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

const range = (lowest: number) =>
	z
		.tuple([real(lowest), real(lowest)], expected("a range [lowest, highest]"))
		.refine(([low, high]) => low <= high, expected("a range [lowest, highest] with lowest <= highest"));

const scorerSchema = z.strictObject({
	model: path("the path of a GGUF file").optional(),
	constraints: z.array(constraint, expected("an array of { cost, budget }")).min(1, expected("at least one constraint")),
	...deviceFields,
	isolate,
	signal: abortSignal.optional(),
});

const messageSchema = z.object({ role: text("a role"), content: z.string(expected("text as content")) });

const promptList = z.union(
	[path("a path"), z.array(z.union([z.string(), z.array(z.number()), z.array(messageSchema)])).min(1)],
	expected("the path of a file of prompts or an array of prompts"),
);

export const temperature = z.union([z.literal(0), real(0.01, 100)], expected("0 or a number from 0.01 to 100"));
export const maxTokens = integer(1, 1_048_576).default(128);
export const candidates = integer(1, 1024);

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

const hashSchema = z.strictObject({
	onProgress: callback<(share: number) => void>("a function of the share read").optional(),
	signal: abortSignal.optional(),
});

const trainCostSchema = z
	.strictObject({
		kind: choice(["ngrams", "probe", "encoder"]).default("ngrams"),
		model: path("the path of a GGUF file").optional(),
		base: path("the folder of a BERT").optional(),
		members: integer(1, 16).optional(),
		shared: integer(0, 256).optional(),
		epochs: integer(1, 100_000).optional(),
		minutes: real(0.01, 100_000).optional(),
		python: path("a command").optional(),
		...deviceFields,
		data: path("the path of a data file"),
		out: path("a path"),
		validation: path("the path of a data file").optional(),
		test: path("the path of a data file").optional(),
		textField: text("the name of a column").optional(),
		contextField: text("the name of a column").optional(),
		labelField: text("the name of a column").optional(),
		unsafe: text("a label").optional(),
		groupField: text("the name of a column").optional(),
		characters: z.boolean(expected("true or false")).default(true),
		layers: z
			.union([choice(["auto", "last"]), z.array(integer(0, 10_000)).min(1)], expected('"auto", "last" or an array of layers'))
			.default("auto")
			.transform((layers) => (typeof layers === "string" ? layers : [...new Set(layers)])),
		chat: z.boolean(expected("true or false")).default(false),
		now: now.optional(),
		falseNegativeRate: real(0, 1).default(0.1),
		seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
		onEpoch: callback<(progress: EpochProgress) => void>("a function").optional(),
		signal: abortSignal.optional(),
	})
	.refine(({ kind, model }) => (kind === "probe") === (model !== undefined), {
		path: ["model"],
		error: "expected a model for a probe, and for nothing else",
	})
	.refine(({ kind, layers, chat }) => kind === "probe" || (layers === "auto" && !chat), {
		path: ["kind"],
		error: "expected a probe with layers or chat",
	})
	.refine(({ kind, base }) => (kind === "encoder") === (base !== undefined), {
		path: ["base"],
		error: "expected the folder of a base for an encoder, and for nothing else",
	})
	.refine(
		({ kind, members, shared, epochs, minutes, python }) =>
			kind === "encoder" || [members, shared, epochs, minutes, python].every((value) => value === undefined),
		{ path: ["kind"], error: "expected an encoder with members, shared, epochs, minutes or python" },
	)
	.refine(({ kind, contextField }) => kind !== "encoder" || contextField !== undefined, {
		path: ["contextField"],
		error: "expected the column of the prompts, which an encoder reads with the responses (contextField, --context-field)",
	})
	.refine(({ chat, contextField }) => !chat || contextField !== undefined, {
		path: ["chat"],
		error: "expected a contextField, the prompts that go through the chat template",
	});

const convertSchema = z.strictObject({
	folder: path("the path of a folder"),
	out: path("a path"),
	type: choice(["f32", "f16", "q8_0"]).default("f16"),
});

const shardMessage = expected('a part "i/n" with 1 <= i <= n, such as "2/4"');
const shardPart = z
	.string(shardMessage)
	.transform((given) => /^(\d{1,6})\/(\d{1,6})$/.exec(given)?.slice(1).map(Number) ?? [0, 0])
	.refine(([part = 0, parts = 0]) => part >= 1 && part <= parts, shardMessage)
	.transform(([part = 1, parts = 1]) => [part, parts] as const);

const rolloutSchema = z
	.strictObject({
		prompts: promptList,
		field: text("the name of a column").optional(),
		chat: z.boolean(expected("true or false")).default(false),
		now: now.optional(),
		out: path("a folder"),
		responses: integer(1, 256).default(5),
		maxTokens,
		stride: integer(1, 1_048_576).default(32),
		meanLayers: z.array(integer(0, 10_000), expected("an array of layers")).min(1).optional(),
		temperature: real(0.01, 100).default(1),
		batch: integer(1, 256).optional(),
		shard: shardPart.default([1, 1]),
		seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
		onProgress: callback<(progress: RolloutProgress) => void>("a function").optional(),
		signal: abortSignal.optional(),
	})
	.refine(({ batch = 256, responses }) => batch >= responses, {
		path: ["batch"],
		error: "expected at least as many sequences as responses per prompt",
	});

const criticInputs = ["hidden", "logits", "z", "position", "mean"] as const;

const trainCriticSchema = z.strictObject({
	rollouts: path("a folder of rollouts"),
	out: path("a path"),
	inputs: z
		.array(choice(criticInputs), expected(`an array of ${criticInputs.join(", ")}`))
		.min(1, expected(`at least one of ${criticInputs.join(", ")}`))
		.optional(),
	layers: integer(0, 4).default(1),
	width: integer(2, 65536).default(256),
	members: integer(1, 16).default(4),
	budgets: z.array(range(0), expected("an array of ranges [lowest, highest]")).optional(),
	epochs: integer(1, 100_000).default(30),
	batch: integer(1, 65536).default(256),
	learningRate: real(1e-9, 1).default(1e-3),
	weightDecay: real(0, 1).default(0.01),
	seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
	threads,
	device: text("auto, cpu or the name of a device").default("auto"),
	onEpoch: callback<(progress: EpochProgress) => void>("a function").optional(),
	signal: abortSignal.optional(),
});

const steerVectorSchema = z.strictObject({
	model: path("the path of a GGUF file"),
	positive: promptList,
	negative: promptList,
	out: path("a path"),
	field: text("the name of a column").optional(),
	chat: z.boolean(expected("true or false")).default(false),
	now: now.optional(),
	method: choice(["mean", "pca"]).default("mean"),
	layers: z
		.tuple([integer(1, 10_000), integer(1, 10_000)], expected("a range [first, last] of layers"))
		.refine(([first, last]) => first <= last, expected("a range [first, last] with first <= last"))
		.optional(),
	device: text("auto, cpu or the name of a device").default("auto"),
	threads,
	seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
	signal: abortSignal.optional(),
});

const evaluateSchema = z.strictObject({
	config: z.union([path("a path"), z.record(z.string(), z.unknown())], expected("the path of a configuration, or a configuration")),
	out: path("a folder"),
	inspect: z.boolean(expected("true or false")).default(false),
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

export type CheckedLoadOptions = z.output<typeof loadSchema>;
export type CheckedScorerOptions = z.output<typeof scorerSchema>;
export type CheckedGenerateOptions = z.output<typeof generateSchema>;
export type CheckedCostModel = z.output<typeof costModel>;
export type CheckedRewardModel = z.output<typeof rewardModel>;

/** An option given as undefined is not given. */
function withoutUndefined(options: object): object {
	return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Of a message. */
const mostProblems = 100;

/** Stands where a message is about all options together. */
const rootOption = "options";

/** Properties of the caller's objects may be functions that throw. Errors: INVALID_OPTION. */
function whatCanBeRead<T>(read: () => T): T {
	try {
		return read();
	} catch (cause) {
		throw new InvalidOptionError(`${rootOption}: expected values that can be read, but reading them failed: ${reasonOf(cause)}`, { cause });
	}
}

/** Errors: INVALID_OPTION with a line per problem, which begins with the option. */
export function check<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
	const result = whatCanBeRead(() => schema.safeParse(given));
	if (result.success) return withoutUndefined(result.data as object) as z.output<S>;
	const problems = result.error.issues.flatMap((issue) => {
		if (issue.code !== "unrecognized_keys") return `${issue.path.join(".") || rootOption}: ${issue.message}`;
		return issue.keys.map((key) => `${[...issue.path, key].join(".")}: there is no such option; check the spelling`);
	});
	const rest = problems.length > mostProblems ? [`${rootOption}: ${problems.length - mostProblems} more problems`] : [];
	throw new InvalidOptionError([...problems.slice(0, mostProblems), ...rest].join("\n"));
}

/** Collects the problems of several checks, so that all are reported at once. */
export class Problems {
	readonly #lines = new Set<string>();

	/** What a check returns; undefined where it finds something. `place` says where the option of a line stands. */
	of<T>(check: () => T, place: (line: string) => string = (line) => line): T | undefined {
		try {
			return check();
		} catch (error) {
			if (!(error instanceof InvalidOptionError)) throw error;
			for (const line of error.message.split("\n")) this.#lines.add(place(line));
			return undefined;
		}
	}

	/** Errors: INVALID_OPTION where there are any. */
	throwAny(): void {
		if (this.#lines.size > 0) throw new InvalidOptionError([...this.#lines].join("\n"));
	}
}

/** Puts the option of a line below another one. */
export const below = (place: string) => (line: string) =>
	line.startsWith(`${rootOption}: `) ? place + line.slice(rootOption.length) : `${place}.${line}`;

export const checkLoadOptions = (given: unknown) => check(loadSchema, given);
export const checkScorerOptions = (given: unknown) => check(scorerSchema, given);
export const checkGenerateOptions = (given: unknown) => check(generateSchema, given);
export const checkHashOptions = (given: unknown) => check(hashSchema, given);
export const checkConvertOptions = (given: unknown) => check(convertSchema, given);
export const checkTrainCostOptions = (given: unknown) => check(trainCostSchema, given);

/** The options that a schema knows, and the others, which stand in one object with them. */
export function parted(
	schema: { shape: object },
	given: object | undefined,
): [own: Record<string, unknown>, others: Record<string, unknown>] {
	const entries = whatCanBeRead(() => Object.entries(given ?? {}));
	const isOwn = ([name]: [string, unknown]) => name in schema.shape;
	return [Object.fromEntries(entries.filter(isOwn)), Object.fromEntries(entries.filter((entry) => !isOwn(entry)))];
}

/** The options of rollouts and of the guard that samples them. A critic has no part in sampling. */
export function checkRolloutOptions(given: object) {
	const [own, { critic, ...guard }] = parted(rolloutSchema, given);
	if ("steering" in guard) throw new InvalidOptionError("steering: expected none, since a critic learns from the base model as it is");
	return { options: check(rolloutSchema, own), loading: checkLoadOptions(guard) };
}

export const checkSteerVectorOptions = (given: unknown) => check(steerVectorSchema, given);
export const checkEvaluateOptions = (given: unknown) => check(evaluateSchema, given);
export const checkCalibrateOptions = (given: unknown) => check(calibrateSchema, given);
export const checkTrainCriticOptions = (given: unknown) => check(trainCriticSchema, given);
