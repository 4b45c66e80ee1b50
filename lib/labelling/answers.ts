// Samples plain and guarded answers of a model into a file that a person can label.
import { z } from "zod";
import { today } from "../base/now.js";
import { AppendedLines, parseLine } from "../data/appended-lines.js";
import { inLanes } from "../data/lanes.js";
import { expectWritable } from "../data/output.js";
import { shown } from "../data/records.js";
import { InferenceGuardError, InvalidDataError } from "../errors.js";
import { readPrompts } from "../evaluation/datasets.js";
import { promptErrors } from "../evaluation/evaluate.js";
import { InferenceGuard } from "../guard/guard.js";
import type { Outcome } from "../guard/reply.js";
import { CallbackWatch } from "../native/worker.js";
import type { AnswerProgress } from "../progress.js";
import {
	type AnswerGroup,
	type AnswerJob,
	type AnswerMethod,
	type AnswerOptions,
	askedOf,
	type CheckedAnswerOptions,
	checkAnswerOptions,
	endedAt,
	modelName,
	planAnswers,
} from "./answer-plan.js";

/** One answer to one prompt: a line of the file that {@link sampleAnswers} writes. */
export interface Answer {
	/** `<id of the prompt>/<method>`, once in a file. */
	id: string;
	prompt: string;
	/** Empty if it was refused. */
	response: string;
	/** Name of the model's file. */
	model: string;
	method: AnswerMethod;
	temperature: number;
	/** The date that the chat template could read; only with `chat`. */
	now?: string;
	/** Repeats the answer, as far as a generation is repeatable. */
	seed: number;
	outcome: Outcome;
	/** Only for a guarded answer, under the first cost model: */
	budget?: number;
	cost?: number;
	/** N of a guarded answer. */
	candidates?: number;
	/** Fingerprint of the settings that the file's answers by this method share. */
	settings: string;
}

/** The result of {@link sampleAnswers}. */
export interface AnswerSummary extends AnswerProgress {
	/** Answers that the model cannot give, with the code of the error: a prompt that is too long, or that its chat template rejects. */
	skipped: { id: string; code: string }[];
}

/** Answers sampled at once. They share the steps of the model if cost and reward models allow it. */
const atOnce = 12;

const lineSchema = z.looseObject({
	id: z.string(),
	prompt: z.string(),
	outcome: z.string(),
	settings: z.string(),
	now: z.string().optional(),
});

type Line = z.output<typeof lineSchema>;

/** The answers of a plan that a file already has. Errors: INVALID_DATA if the file does not belong to the plan. */
function answersIn(lines: string[], path: string, plan: readonly AnswerGroup[]): Map<string, Line> {
	const wanted = new Map(
		plan.flatMap(({ jobs, settings }) => jobs.map(({ id, prompt }) => [id, { text: prompt.text, settings }] as const)),
	);
	const found = new Map<string, Line>();
	for (const [i, line] of lines.entries()) {
		const answer = parseLine(
			lineSchema,
			line,
			InvalidDataError,
			(why) => `expected an answer in line ${i + 1} of ${path}, got: ${why}; choose another file`,
		);
		const { id, prompt, settings } = answer;
		const own = wanted.get(id);
		if (found.has(id)) continue; // the first one counts
		if (own !== undefined && (own.text !== prompt || own.settings !== settings)) {
			const what = own.text === prompt ? "with other settings (model, cost model or options)" : "to another prompt";
			throw new InvalidDataError(
				`expected to resume the answers in ${path}, but ${shown(id)} was sampled ${what}; give the same prompts and options, or choose another file`,
			);
		}
		found.set(id, answer);
	}
	return new Map([...found].filter(([id]) => wanted.has(id)));
}

class AnswerRun {
	readonly #options: CheckedAnswerOptions;
	readonly #now: string;
	readonly #file: AppendedLines;
	readonly #onProgress: (progress: AnswerProgress) => void;
	readonly #done: Set<string>;
	readonly #begin = performance.now();
	readonly summary: AnswerSummary;

	constructor(
		options: CheckedAnswerOptions,
		plan: readonly AnswerGroup[],
		file: AppendedLines,
		found: ReadonlyMap<string, Line>,
		onProgress: (progress: AnswerProgress) => void,
	) {
		this.#options = options;
		const [first] = found.values();
		this.#now = options.now ?? first?.now ?? today();
		this.#file = file;
		this.#onProgress = onProgress;
		this.#done = new Set(found.keys());
		this.summary = {
			answers: found.size,
			totalAnswers: plan.reduce((sum, { jobs }) => sum + jobs.length, 0),
			refused: [...found.values()].filter(({ outcome }) => outcome === "refused").length,
			newAnswers: 0,
			seconds: 0,
			skipped: [],
		};
		this.#report();
	}

	/** Samples the answers of a group that the file lacks. */
	async sample({ loading, settings, jobs }: AnswerGroup, signal: AbortSignal): Promise<void> {
		const open = jobs.filter(({ id }) => !this.#done.has(id));
		if (open.length === 0) return;
		await using guard = await InferenceGuard.load({ ...loading, signal });
		await inLanes(atOnce, open, signal, async (job, signal) => {
			try {
				const answer = await this.#answer(guard, job, settings, signal);
				await this.#file.append(answer);
				this.#count(answer);
			} catch (error) {
				this.#skip(job, error);
			}
			this.#report();
		});
	}

	async #answer(guard: InferenceGuard, job: AnswerJob, settings: string, signal: AbortSignal): Promise<Answer> {
		const { id, prompt, method, temperature, seed, candidates } = job;
		const { maxTokens, stop, loading } = this.#options;
		const isGuarded = method === "guard";
		const { text, outcome, safety } = await guard.generate({
			...askedOf(prompt, this.#options),
			...(isGuarded ? { strategy: "guard", candidates } : { strategy: "sample" }),
			maxTokens,
			temperature,
			seed,
			now: this.#now,
			signal,
		});
		return {
			id,
			prompt: prompt.text,
			response: endedAt(text, stop),
			model: modelName(loading.model),
			method,
			temperature,
			...(this.#options.chat && { now: this.#now }),
			seed,
			outcome,
			...(isGuarded && { budget: safety.budget, cost: safety.cost, candidates }),
			settings,
		};
	}

	#count({ outcome }: Answer): void {
		this.summary.answers++;
		this.summary.newAnswers++;
		if (outcome === "refused") this.summary.refused++;
	}

	/** Leaves out an answer if its prompt is the cause of the error. */
	#skip({ id }: AnswerJob, error: unknown): void {
		if (!InferenceGuardError.isInstance(error) || error.code === "ABORTED") throw error;
		if (!promptErrors.has(error.code)) {
			error.message = `answer ${id}: ${error.message}`;
			throw error;
		}
		this.summary.skipped.push({ id, code: error.code });
		this.summary.totalAnswers--;
	}

	#report(): void {
		this.summary.seconds = (performance.now() - this.#begin) / 1000;
		const { skipped, ...progress } = this.summary;
		this.#onProgress(progress);
	}
}

/**
 * Samples plain and guarded answers of a model into a file of {@link Answer} lines, for a person to label ({@link serveLabels}). Every method
 * answers every prompt once, with a temperature, budget and width that are drawn for the prompt from the seed. Answers are appended one by
 * one; a killed run resumes where it stopped, and neither repeats nor loses an answer. More prompts or another method can be added to a file
 * later. A refusal is a line with an empty response.
 *
 * Several answers are sampled at once, so rounding can differ from run to run.
 *
 * Errors: those of `InferenceGuard.load` and `generate`; INVALID_DATA if the file has answers of another run; WRITE_FAILED. An answer that
 * the model cannot give (INVALID_PROMPT, SPECIAL_TOKEN_TEXT, PROMPT_TOO_LONG, CHAT_TEMPLATE, TEXT_TOO_LONG, KV_CAPACITY) is left out and named
 * in the summary; INVALID_DATA if it can give none.
 */
export async function sampleAnswers(given: AnswerOptions): Promise<AnswerSummary> {
	const options = checkAnswerOptions(given);
	const { prompts: source, out } = options;
	const prompts = await readPrompts(typeof source === "string" ? { file: source } : source);
	await expectWritable(out);
	const plan = await planAnswers(prompts, options);
	using watch = new CallbackWatch(options.signal);
	const [file, found] = await AppendedLines.open(out, InvalidDataError, (lines) => answersIn(lines, out, plan));
	try {
		const { summary } = await watch.run(async (signal) => {
			const run = new AnswerRun(options, plan, file, found, watch.wrap("onProgress", options.onProgress));
			for (const group of plan) await run.sample(group, signal);
			return run;
		});
		if (summary.totalAnswers === 0) {
			const codes = [...new Set(summary.skipped.map(({ code }) => code))].join(", ");
			throw new InvalidDataError(`expected prompts that the model can be given, but every one of ${prompts.length} was left out: ${codes}`);
		}
		return summary;
	} finally {
		await file.close();
	}
}
