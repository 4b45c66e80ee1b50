import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { inspectLogs } from "../lib/evaluation/inspect-log.js";
import type { Estimate, EvaluationSummary, MethodSummary, ResponseRecord } from "../lib/evaluation/types.js";

// The fields of inspect_ai's EvalLog, version 2, with those that it requires. Fields that it does not know fail.
const dictionary = z.record(z.string(), z.unknown());
const none = z.null().optional();
const time = z.iso.datetime();

const score = z.strictObject({
	value: z.number(),
	answer: z.string().nullish(),
	explanation: z.string().nullish(),
	metadata: dictionary.nullish(),
	history: z.array(z.unknown()).optional(),
});
const message = z.strictObject({
	id: z.string().nullish(),
	role: z.enum(["system", "user", "assistant", "tool"]),
	content: z.string(),
	source: z.enum(["input", "generate"]).nullish(),
	metadata: dictionary.nullish(),
	model: z.string().nullish(),
});
const sample = z.strictObject({
	id: z.union([z.int(), z.string()]),
	epoch: z.int().min(1),
	input: z.union([z.string(), z.array(message)]),
	choices: none,
	target: z.union([z.string(), z.array(z.string())]),
	messages: z.array(message).optional(),
	output: z
		.strictObject({
			model: z.string().optional(),
			choices: z
				.array(
					z.strictObject({
						message,
						stop_reason: z.enum(["stop", "max_tokens", "model_length", "tool_calls", "content_filter", "unknown"]).optional(),
						logprobs: none,
					}),
				)
				.optional(),
			completion: z.string().optional(),
			usage: none,
			time: z.number().nullish(),
			metadata: dictionary.nullish(),
			error: z.string().nullish(),
		})
		.optional(),
	scores: z.record(z.string(), score).nullish(),
	metadata: dictionary.optional(),
	store: dictionary.optional(),
	events: z.array(z.unknown()).optional(),
	model_usage: dictionary.optional(),
	total_time: z.number().nullish(),
	working_time: z.number().nullish(),
	uuid: z.string().nullish(),
	error: none,
	attachments: z.record(z.string(), z.string()).optional(),
	limit: none,
});
const evalLog = z.strictObject({
	version: z.literal(2),
	status: z.enum(["started", "success", "cancelled", "error"]),
	eval: z.strictObject({
		eval_id: z.string().min(1),
		run_id: z.string().min(1),
		created: time,
		task: z.string(),
		task_id: z.string().min(1),
		task_version: z.union([z.int(), z.string()]).optional(),
		task_args: dictionary.optional(),
		solver: z.string().nullish(),
		solver_args: dictionary.nullish(),
		tags: z.array(z.string()).nullish(),
		dataset: z.strictObject({
			name: z.string().nullish(),
			location: z.string().nullish(),
			samples: z.int().nullish(),
			sample_ids: z.array(z.union([z.int(), z.string()])).nullish(),
			shuffled: z.boolean().nullish(),
		}),
		model: z.string(),
		model_generate_config: dictionary.optional(),
		model_base_url: none,
		model_args: dictionary.optional(),
		config: z.strictObject({ limit: none, epochs: z.int().nullish(), epochs_reducer: z.array(z.string()).nullish() }),
		revision: none,
		packages: z.record(z.string(), z.string()).optional(),
		metadata: dictionary.nullish(),
		scorers: z.array(z.strictObject({ name: z.string(), options: dictionary.nullish(), metadata: dictionary.nullish() })).nullish(),
	}),
	plan: z.strictObject({
		name: z.string().optional(),
		steps: z.array(z.strictObject({ solver: z.string(), params: dictionary.optional(), params_passed: dictionary.optional() })).optional(),
		finish: none,
		config: dictionary.optional(),
	}),
	results: z.strictObject({
		total_samples: z.int().optional(),
		completed_samples: z.int().optional(),
		scores: z
			.array(
				z.strictObject({
					name: z.string(),
					scorer: z.string(),
					reducer: z.string().nullish(),
					scored_samples: z.int().nullish(),
					unscored_samples: z.int().nullish(),
					params: dictionary.optional(),
					metrics: z
						.record(
							z.string(),
							z.strictObject({ name: z.string(), value: z.number(), params: dictionary.optional(), metadata: dictionary.nullish() }),
						)
						.optional(),
					metadata: dictionary.nullish(),
				}),
			)
			.optional(),
		metadata: dictionary.nullish(),
	}),
	stats: z.strictObject({
		started_at: z.union([time, z.literal("")]).optional(),
		completed_at: z.union([time, z.literal("")]).optional(),
		model_usage: dictionary.optional(),
	}),
	error: none,
	samples: z.array(sample).nullish(),
	reductions: z
		.array(
			z.strictObject({
				scorer: z.string(),
				reducer: z.string().nullish(),
				samples: z.array(z.strictObject({ ...score.shape, sample_id: z.union([z.int(), z.string()]).nullish() })),
			}),
		)
		.nullish(),
});

const unknown: Estimate = { value: null, interval: null };

const methodNamed = (name: string): MethodSummary => ({
	name,
	settings: `${name}, N = 4`,
	family: name,
	candidates: 4,
	responses: 0,
	answered: 0,
	refused: 0,
	truncated: 0,
	repaired: 0,
	overBudget: 0,
	safetyRate: null,
	judgeSafetyRate: null,
	rewardMean: null,
	secondsMean: null,
	tokensPerEmitted: null,
	estimates: {
		safetyRate: unknown,
		safeAnswerRate: unknown,
		refusalRate: unknown,
		overRefusalRate: unknown,
		costs: [unknown],
		reward: unknown,
		rewardSd: null,
		seconds: unknown,
		tokensPerEmitted: unknown,
		generatedTokens: unknown,
		perplexity: unknown,
		distinct1: unknown,
		distinct2: unknown,
		distinct3: unknown,
		judges: {},
	},
	categories: {},
});

const response = (more: Partial<ResponseRecord>): ResponseRecord => ({
	method: "guard",
	prompt: "p1",
	seed: 10,
	outcome: "safe",
	finishReason: "stop",
	text: "An answer.",
	costs: [{ cost: 0.25, budget: 1 }],
	withinBudget: true,
	reward: -1.5,
	judges: { words: { cost: 0.5, withinBudget: true } },
	refusal: false,
	logLikelihood: -2,
	generatedTokens: 40,
	emittedTokens: 10,
	rounds: 2,
	backtracks: 0,
	seconds: 0.5,
	...more,
});

const summary = (more: Partial<EvaluationSummary> = {}): EvaluationSummary => ({
	version: 1,
	name: "stories",
	configHash: "c".repeat(64),
	modelHash: "m".repeat(64),
	prompts: 2,
	skipped: [],
	seeds: [10, 11],
	judges: ["words"],
	methods: [methodNamed("guard"), methodNamed("sample")],
	...more,
});

const prompts = new Map([
	["p1", "Once upon a time"],
	["p2", "There was a cat"],
]);
const created = new Date(Date.UTC(2026, 0, 2, 3, 4, 5));

/** As Inspect gets it: through JSON. */
const parsed = (log: unknown) => evalLog.parse(JSON.parse(JSON.stringify(log)));

describe("Inspect logs", () => {
	const responses = [
		response({ seed: 10 }),
		response({ seed: 11, withinBudget: false, costs: [{ cost: 2, budget: 1 }], outcome: "unguarded", finishReason: "length" }),
		response({ prompt: "p2", seed: 10, outcome: "refused", finishReason: "safety", text: "", reward: null, refusal: true, judges: {} }),
		response({ prompt: "p2", seed: 11, reward: 3, judges: { words: { cost: 4, withinBudget: false } } }),
		response({ method: "sample", prompt: "p2", seed: 11 }),
	];
	const logs = inspectLogs(summary(), responses, prompts, created);

	test("Inspect logs have the fields of version 2, one log per method", () => {
		for (const log of logs) parsed(log);
		expect(logs.map((log) => [log.eval.solver, log.status, log.samples.length])).toEqual([
			["guard", "success", 4],
			["sample", "cancelled", 1],
		]);
		expect(new Set(logs.map((log) => log.eval.run_id)).size).toBe(1);
		expect(new Set(logs.map((log) => log.eval.eval_id)).size).toBe(2);
	});

	test("Inspect logs have a sample per prompt and seed, with its scores", () => {
		const samples = logs[0]!.samples;
		expect(samples.map(({ id, epoch }) => [id, epoch])).toEqual([
			["p1", 1],
			["p1", 2],
			["p2", 1],
			["p2", 2],
		]);
		expect(samples.map(({ output }) => output.choices[0]?.stop_reason)).toEqual(["stop", "max_tokens", "content_filter", "stop"]);
		// Inspect takes messages of one id for one message
		expect(new Set(logs.flatMap((log) => log.samples).flatMap(({ messages }) => messages.map(({ id }) => id))).size).toBe(10);
		expect(samples[3]?.messages.map(({ content }) => content)).toEqual(["There was a cat", "An answer."]);
		const values = samples.map(({ scores }) => Object.fromEntries(Object.entries(scores).map(([name, { value }]) => [name, value])));
		const usual = { wall_ms: 500, tokens_generated: 40, tokens_emitted: 10 };
		expect(values).toEqual([
			{ unsafe: 0, cost: 0.25, reward: -1.5, refusal: 0, abstained: 0, ...usual, judge_words: 0 },
			{ unsafe: 1, cost: 2, reward: -1.5, refusal: 0, abstained: 0, ...usual, judge_words: 0 },
			{ unsafe: 0, cost: 0.25, refusal: 1, abstained: 1, ...usual },
			{ unsafe: 0, cost: 0.25, reward: 3, refusal: 0, abstained: 0, ...usual, judge_words: 1 },
		]);
	});

	test("Inspect logs reduce epochs by their mean, and score the mean of prompts", () => {
		const { results, reductions } = logs[0]!;
		const of = (name: string) => reductions.find(({ scorer }) => scorer === name)?.samples.map(({ value }) => value);
		const mean = (name: string) => results.scores.find((one) => one.name === name)?.metrics.mean?.value;
		expect(of("unsafe")).toEqual([0.5, 0]);
		expect(mean("unsafe")).toBe(0.25);
		expect(of("reward")).toEqual([-1.5, 3]);
		expect(mean("reward")).toBe(0.75);
		expect(of("judge_words")).toEqual([0, 1]);
		// a response without a score is not counted as 0
		expect(results.scores.map((one) => [one.scored_samples, one.unscored_samples])).toEqual(results.scores.map(() => [2, 0]));
		expect(results.total_samples).toBe(4);
		expect(results.metadata.summary).toEqual(methodNamed("guard"));
	});

	test("Inspect logs keep their form whatever the responses are", () => {
		const anyText = fc.string({ unit: "binary" });
		const record = fc.record({
			method: fc.constantFrom("guard", "sample"),
			prompt: fc.constantFrom("p1", "p2"),
			seed: fc.constantFrom(10, 11),
			text: anyText,
			outcome: fc.constantFrom("safe", "steered", "truncated", "repaired", "refused", "unguarded"),
			finishReason: fc.constantFrom("stop", "length", "safety"),
			reward: fc.option(fc.double()),
			costs: fc.array(fc.record({ cost: fc.double({ noNaN: true }), budget: fc.double({ noNaN: true, min: 0 }) }), { maxLength: 2 }),
			judges: fc.dictionary(fc.constantFrom("cost", "unsafe", "a b"), fc.record({ cost: fc.double(), withinBudget: fc.boolean() })),
		});
		fc.assert(
			fc.property(fc.array(record), (records) => {
				const found = inspectLogs(
					summary(),
					records.map((one) => response(one as Partial<ResponseRecord>)),
					prompts,
					created,
				);
				for (const log of found) parsed(log);
				expect(found.flatMap((log) => log.samples)).toHaveLength(records.length);
			}),
		);
	});

	test("Inspect logs have means of the largest numbers", () => {
		const large = [10, 11].map((seed) => response({ seed, reward: 1.7e308 }));
		const [log] = inspectLogs(summary(), large, prompts, created);
		expect(log!.reductions.find(({ scorer }) => scorer === "reward")?.samples).toEqual([{ sample_id: "p1", value: 1.7e308 }]);
	});

	test("Inspect logs refuse another evaluation's responses with INVALID_DATA", () => {
		for (const more of [{ prompt: "p3" }, { seed: 12 }]) {
			expect(() => inspectLogs(summary(), [response(more)], prompts, created)).toThrow(expect.objectContaining({ code: "INVALID_DATA" }));
		}
	});
});
