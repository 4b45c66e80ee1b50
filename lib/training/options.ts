// The options for making cost models, critics and control vectors.

import { z } from "zod";
import { abortSignal, callback, check, choice, expected, flag, integer, now, parted, path, range, real, text } from "../base/check.js";
import { InvalidOptionError } from "../errors.js";
import { deviceFields, threadsField } from "../options/engine.js";
import { messageSchema } from "../options/generate.js";
import { checkLoadOptions } from "../options/load.js";
import { settings } from "../options/settings.js";
import type { EpochProgress, RolloutProgress } from "../progress.js";

const promptList = z.union(
	[path("a path"), z.array(z.union([z.string(), z.array(z.number()), z.array(messageSchema)])).min(1)],
	expected("the path of a file of prompts or an array of prompts"),
);

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
		characters: flag.default(true),
		layers: z
			.union([choice(["auto", "last"]), z.array(integer(0, 10_000)).min(1)], expected('"auto", "last" or an array of layers'))
			.default("auto")
			.transform((layers) => (typeof layers === "string" ? layers : [...new Set(layers)])),
		chat: flag.default(false),
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
		chat: flag.default(false),
		now: now.optional(),
		out: path("a folder"),
		responses: integer(1, 256).default(5),
		maxTokens: settings.maxTokens.check.default(settings.maxTokens.default),
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
	threads: threadsField,
	device: deviceFields.device,
	onEpoch: callback<(progress: EpochProgress) => void>("a function").optional(),
	signal: abortSignal.optional(),
});

const steerVectorSchema = z.strictObject({
	model: path("the path of a GGUF file"),
	positive: promptList,
	negative: promptList,
	out: path("a path"),
	field: text("the name of a column").optional(),
	chat: flag.default(false),
	now: now.optional(),
	method: choice(["mean", "pca"]).default("mean"),
	layers: z
		.tuple([integer(1, 10_000), integer(1, 10_000)], expected("a range [first, last] of layers"))
		.refine(([first, last]) => first <= last, expected("a range [first, last] with first <= last"))
		.optional(),
	device: deviceFields.device,
	threads: threadsField,
	seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
	signal: abortSignal.optional(),
});

export const checkTrainCostOptions = (given: unknown) => check(trainCostSchema, given);

export function checkRolloutOptions(given: object) {
	const [own, { critic, ...guard }] = parted(rolloutSchema, given);
	if ("steering" in guard) throw new InvalidOptionError("steering: expected none, since a critic learns from the base model as it is");
	return { options: check(rolloutSchema, own), loading: checkLoadOptions(guard) };
}

export const checkSteerVectorOptions = (given: unknown) => check(steerVectorSchema, given);

export const checkTrainCriticOptions = (given: unknown) => check(trainCriticSchema, given);
