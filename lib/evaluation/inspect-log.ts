// Converts the results of an evaluation to logs that Inspect (inspect_ai) reads.
import { createHash } from "node:crypto";
import { InvalidDataError } from "../errors.js";
import type { EvaluationSummary, MethodSummary, ResponseRecord } from "./types.js";

interface Score {
	value: number;
	metadata?: Record<string, unknown>;
}

interface Message {
	/** Messages with the same id are the same message. */
	id: string;
	role: "user" | "assistant";
	content: string;
	source: "input" | "generate";
}

interface Sample {
	id: string;
	/** Starts at 1. */
	epoch: number;
	input: string;
	target: string;
	messages: Message[];
	output: {
		model: string;
		choices: { message: Message; stop_reason: "stop" | "max_tokens" | "content_filter" }[];
		completion: string;
		time: number;
	};
	scores: Record<string, Score>;
	metadata: Record<string, unknown>;
	store: Record<string, unknown>;
	events: unknown[];
	model_usage: Record<string, unknown>;
	total_time: number;
	working_time: number;
}

interface Step {
	solver: string;
	params: Record<string, unknown>;
	params_passed: Record<string, unknown>;
}

/** The part of Inspect's `EvalLog`, version 2, that is written. */
export interface InspectLog {
	version: 2;
	/** `cancelled`: responses are missing. */
	status: "success" | "cancelled";
	eval: {
		eval_id: string;
		run_id: string;
		created: string;
		task: string;
		task_id: string;
		task_version: number;
		task_args: Record<string, unknown>;
		solver: string;
		solver_args: Record<string, unknown>;
		dataset: { name: string; samples: number; sample_ids: string[]; shuffled: boolean };
		model: string;
		model_args: Record<string, unknown>;
		config: { epochs: number; epochs_reducer: string[] };
		packages: Record<string, string>;
		metadata: Record<string, unknown>;
		scorers: { name: string }[];
	};
	plan: { name: string; steps: Step[]; config: Record<string, unknown> };
	results: {
		total_samples: number;
		completed_samples: number;
		scores: {
			name: string;
			scorer: string;
			reducer: string;
			scored_samples: number;
			unscored_samples: number;
			params: Record<string, unknown>;
			metrics: Record<string, { name: string; value: number; params: Record<string, unknown> }>;
		}[];
		metadata: Record<string, unknown>;
	};
	stats: { started_at: string; completed_at: string; model_usage: Record<string, unknown> };
	error: null;
	samples: Sample[];
	reductions: { scorer: string; reducer: string; samples: { sample_id: string; value: number }[] }[];
}

const stopReasons = { stop: "stop", length: "max_tokens", safety: "content_filter" } as const;

/** A score's name, value and metadata. */
type Entry = [name: string, value: number | null | undefined, metadata?: Record<string, unknown>];

/** Scores are numbers. A score that a response does not have is left out; Inspect counts it as unscored. */
function scoresOf(response: ResponseRecord): Record<string, Score> {
	const { costs, judges } = response;
	const entries: Entry[] = [
		["unsafe", response.withinBudget ? 0 : 1],
		["cost", costs[0]?.cost, { costs }],
		["reward", response.reward],
		["refusal", response.refusal ? 1 : 0],
		["abstained", response.outcome === "refused" ? 1 : 0],
		["wall_ms", response.seconds * 1000],
		["tokens_generated", response.generatedTokens],
		["tokens_emitted", response.emittedTokens],
		...Object.entries(judges).map(([name, { cost, withinBudget }]): Entry => [`judge_${name}`, withinBudget ? 0 : 1, { cost }]),
	];
	const known = entries.filter(([, value]) => Number.isFinite(value));
	return Object.fromEntries(known.map(([name, value, metadata]) => [name, { value: value as number, metadata }]));
}

/** Divides first if the sum would overflow. */
function average(values: readonly number[]): number {
	const sum = values.reduce((total, value) => total + value, 0);
	return Number.isFinite(sum) ? sum / values.length : values.reduce((total, value) => total + value / values.length, 0);
}

/** For each prompt that has the score, its mean over the epochs. */
function reduced(samples: readonly Sample[], score: string): { sample_id: string; value: number }[] {
	const values = new Map<string, number[]>();
	for (const { id, scores } of samples) {
		const value = scores[score]?.value;
		if (value !== undefined) values.set(id, [...(values.get(id) ?? []), value]);
	}
	return [...values].map(([sample_id, found]) => ({ sample_id, value: average(found) }));
}

const idOf = (...parts: string[]) => createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 22);

/**
 * One log per method, each a JSON object of Inspect's `EvalLog` version 2 (a log has one solver). A sample is a prompt, an epoch a seed.
 * Scores: `unsafe` (over a budget), `cost` (of the first constraint), `reward`, `refusal`, `abstained` (nothing left the search),
 * `wall_ms`, `tokens_generated`, `tokens_emitted`, and `judge_<name>` (1 if the judge says unsafe). The method's row of the summary, with
 * its intervals, is the metadata of the results. Tokens of prompts are not recorded, so `model_usage` is empty.
 *
 * @param prompts Texts of the prompts by id.
 *
 * Errors: INVALID_DATA if a response's prompt or seed does not belong to this evaluation.
 */
export function inspectLogs(
	summary: EvaluationSummary,
	responses: readonly ResponseRecord[],
	prompts: ReadonlyMap<string, string>,
	created: Date,
): InspectLog[] {
	const model = `inferenceguard/${summary.modelHash}`;

	function sampleOf(response: ResponseRecord): Sample {
		const { prompt, seed, text, seconds, outcome, finishReason, costs, rounds, backtracks, logLikelihood } = response;
		const input = prompts.get(prompt);
		const epoch = summary.seeds.indexOf(seed) + 1;
		if (input === undefined || epoch === 0) {
			throw new InvalidDataError(
				`expected responses to prompts of this evaluation with its seeds, got prompt ${JSON.stringify(prompt)} with seed ${seed}`,
			);
		}
		const messageId = (role: string) => idOf("message", summary.configHash, response.method, prompt, String(seed), role);
		const question: Message = { id: messageId("user"), role: "user", content: input, source: "input" };
		const answer: Message = { id: messageId("assistant"), role: "assistant", content: text, source: "generate" };
		return {
			id: prompt,
			epoch,
			input,
			target: "",
			messages: [question, answer],
			output: { model, choices: [{ message: answer, stop_reason: stopReasons[finishReason] }], completion: text, time: seconds },
			scores: scoresOf(response),
			metadata: { seed, outcome, finishReason, costs, rounds, backtracks, logLikelihood },
			store: {},
			events: [],
			model_usage: {},
			total_time: seconds,
			working_time: seconds,
		};
	}

	function logOf(method: MethodSummary): InspectLog {
		const samples = responses.filter((response) => response.method === method.name).map(sampleOf);
		const names = [...new Set(samples.flatMap(({ scores }) => Object.keys(scores)))];
		const reductions = names.map((scorer) => ({ scorer, reducer: "mean", samples: reduced(samples, scorer) }));
		const answered = new Set(samples.map(({ id }) => id)).size;
		const total = summary.prompts * summary.seeds.length;
		const { name, settings, family, candidates } = method;
		const solverArguments = { settings, family, candidates };
		return {
			version: 2,
			status: samples.length === total ? "success" : "cancelled",
			eval: {
				eval_id: idOf("eval", summary.configHash, name, created.toISOString()),
				run_id: idOf("run", summary.configHash, created.toISOString()),
				created: created.toISOString(),
				task: summary.name,
				task_id: idOf("task", summary.configHash, name),
				task_version: 0,
				task_args: {},
				solver: name,
				solver_args: solverArguments,
				dataset: { name: summary.name, samples: summary.prompts, sample_ids: [...prompts.keys()], shuffled: false },
				model,
				model_args: {},
				config: { epochs: summary.seeds.length, epochs_reducer: ["mean"] },
				packages: {},
				metadata: { configHash: summary.configHash, modelHash: summary.modelHash, seeds: summary.seeds },
				scorers: names.map((scorer) => ({ name: scorer })),
			},
			plan: { name: "plan", steps: [{ solver: name, params: solverArguments, params_passed: solverArguments }], config: {} },
			results: {
				total_samples: total,
				completed_samples: samples.length,
				scores: reductions.map(({ scorer, reducer, samples: of }) => ({
					name: scorer,
					scorer,
					reducer,
					scored_samples: of.length,
					unscored_samples: answered - of.length,
					params: {},
					metrics: { mean: { name: "mean", value: average(of.map(({ value }) => value)), params: {} } },
				})),
				metadata: { summary: method },
			},
			stats: { started_at: "", completed_at: "", model_usage: {} },
			error: null,
			samples,
			reductions,
		};
	}

	return summary.methods.map(logOf);
}
