// Plans the answers that a run samples: every method answers every prompt once, with settings drawn for the prompt.

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { z } from "zod";
import { abortSignal, callback, check, choice, expected, flag, integer, now, parted, path, real, text } from "../base/check.js";
import { randomNumbers } from "../data/random.js";
import { InvalidOptionError } from "../errors.js";
import type { EvaluationPrompt, PromptSource } from "../evaluation/datasets.js";
import { guardIdentity } from "../guard/identity.js";
import { nativeSpec } from "../guard/load-spec.js";
import { checkLoadOptions } from "../options/load.js";
import { settings } from "../options/settings.js";
import type { LoadOptions } from "../options/types.js";
import type { AnswerProgress } from "../progress.js";
import type { Prompt } from "../prompt/chat.js";

/** `plain`: the model alone. `guard`: the same under its cost models and budgets. */
export type AnswerMethod = "plain" | "guard";

/** Options of {@link sampleAnswers}: those of a guard, and those of sampling. */
export interface AnswerOptions extends Omit<LoadOptions, "signal" | "certificate" | "onLoadProgress"> {
	/** Path of a GGUF file. */
	model: string;
	/** The prompts, or the path of a file of them, as in an evaluation. */
	prompts: string | PromptSource;
	/** JSON Lines, one {@link Answer} each; a stopped run resumes there. */
	out: string;
	/** Default both, or `plain` alone without a cost model. Each answers every prompt once. */
	methods?: readonly AnswerMethod[];
	/** Sampling temperatures, of which each prompt draws one; default 1. */
	temperatures?: readonly number[];
	/** Budgets under the first cost model, of which each prompt draws one, in place of `budget`. Each needs a load of its own. */
	budgets?: readonly number[];
	/** N of the guard, of which each prompt draws one, 1..1024; default 16. */
	candidates?: readonly number[];
	/** T, the longest response in tokens; default 128. */
	maxTokens?: number;
	/** Whether a prompt is a user's message for the model's chat template; default false, as raw text. */
	chat?: boolean;
	/** As for a generation; default the date of the answers in the file, otherwise the day. */
	now?: string | Date;
	/** The text that a model without a chat template continues, with `{prompt}` for the prompt: `"Question: {prompt}\nAnswer:"`. */
	template?: string;
	/**
	 * A response ends before the first of these texts, such as the `"\nQuestion:"` with which a base model continues. It is cut after
	 * sampling: the cost is that of the uncut response.
	 */
	stop?: readonly string[];
	/** Decides the draws of each prompt and the seeds of its answers; default 0. */
	seed?: number;
	/** Called before the first answer, and after each. */
	onProgress?: (progress: AnswerProgress) => void;
	/** Stops within one decode step; finished answers are kept. */
	signal?: AbortSignal;
}

const some = <T extends z.ZodType>(item: T, what: string) =>
	z.array(item, expected(`an array of ${what}`)).min(1, `expected at least one of ${what}`);

const answerSchema = z
	.strictObject({
		prompts: z.unknown(), // checked when they are read
		out: path("a path"),
		methods: some(choice(["plain", "guard"]), "plain, guard").optional(),
		temperatures: some(settings.temperature.check, "temperatures").default([1]),
		budgets: some(real(0), "budgets").optional(),
		candidates: some(settings.candidates.check, "candidates").default([16]),
		maxTokens: settings.maxTokens.check.default(settings.maxTokens.default),
		chat: flag.default(false),
		now: now.optional(),
		template: z
			.string(expected("text with {prompt} in it"))
			.refine((given) => given.includes("{prompt}"), expected("text with {prompt} in it"))
			.optional(),
		stop: z.array(text("text that ends a response"), expected("an array of texts")).default([]),
		seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
		onProgress: callback<(progress: AnswerProgress) => void>("a function").optional(),
		signal: abortSignal.optional(),
	})
	.refine(({ chat, template }) => !chat || template === undefined, {
		path: ["template"],
		error: "expected either chat or a template, got both",
	});

/** Checked options. */
export interface CheckedAnswerOptions extends z.output<typeof answerSchema> {
	prompts: string | PromptSource;
	methods: AnswerMethod[];
	/** Options of loading a guard. */
	loading: LoadOptions & { model: string };
}

/** Options of loading the model alone. */
function withoutGuard({ cost, budget, discount, costFloor, criterion, constraints, reward, critic, ...model }: LoadOptions): LoadOptions {
	return { ...model, constraints: [] };
}

function withBudget(loading: LoadOptions, budget: number | undefined): LoadOptions {
	if (budget === undefined) return loading;
	const [first, ...others] = loading.constraints ?? [];
	return first === undefined ? { ...loading, budget } : { ...loading, constraints: [{ ...first, budget }, ...others] };
}

/** Checks everything that can be checked without loading a model. Errors: INVALID_OPTION, and those of reading cost models. */
export function checkAnswerOptions(given: AnswerOptions): CheckedAnswerOptions {
	const [own, others] = parted(answerSchema, given);
	const options = check(answerSchema, own);
	for (const name of ["certificate", "signal", "onLoadProgress"]) {
		if (name in others) throw new InvalidOptionError(`${name}: there is no such option here`);
	}
	const loading = others as unknown as CheckedAnswerOptions["loading"];
	const { constraints } = checkLoadOptions(loading);
	if (typeof loading.model !== "string") throw new InvalidOptionError("model: expected the path of a GGUF file, got a tabular model");
	if (options.budgets && constraints[0]?.budget !== undefined) {
		throw new InvalidOptionError("budgets: expected either budgets to draw from or a budget of the first cost model, got both");
	}
	const methods: AnswerMethod[] = options.methods ?? (constraints.length > 0 ? ["plain", "guard"] : ["plain"]);
	if (methods.includes("guard") && constraints.length === 0) {
		throw new InvalidOptionError("methods: expected a cost model for guarded answers, got none; give a cost, or sample plain ones only");
	}
	return { ...options, prompts: given.prompts, methods: [...new Set(methods)], loading };
}

/** An answer to be sampled. */
export interface AnswerJob {
	/** Id of the answer: that of the prompt and the method. */
	id: string;
	prompt: EvaluationPrompt;
	method: AnswerMethod;
	temperature: number;
	budget: number | undefined;
	candidates: number;
	seed: number;
}

/** The answers of one guard. */
export interface AnswerGroup {
	loading: LoadOptions;
	/** Fingerprint of everything that decides an answer, except its prompt; answers of one file and method share it. */
	settings: string;
	jobs: AnswerJob[];
}

const sha256 = (text: string) => createHash("sha256").update(text).digest();
const numberOf = (...parts: unknown[]) => sha256(JSON.stringify(parts)).readUInt32LE();

function jobFor(prompt: EvaluationPrompt, method: AnswerMethod, options: CheckedAnswerOptions): AnswerJob {
	const { seed, temperatures, budgets, candidates } = options;
	const random = randomNumbers(numberOf(seed, prompt.id));
	const drawn = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)] as T;
	return {
		id: `${prompt.id}/${method}`,
		prompt,
		method,
		temperature: drawn(temperatures),
		candidates: drawn(candidates),
		budget: method === "guard" ? drawn(budgets ?? [undefined]) : undefined,
		seed: numberOf(seed, prompt.id, method),
	};
}

async function settingsOf(method: AnswerMethod, loading: LoadOptions, options: CheckedAnswerOptions): Promise<string> {
	const checked = checkLoadOptions(loading);
	const { build, ...identity } = await guardIdentity(await nativeSpec(checked));
	const { temperatures, maxTokens, chat, template, stop, seed, budgets, candidates } = options;
	const limits = checked.constraints.map(({ cost, ...limit }) => limit);
	const guard = method === "guard" ? { limits, budgets, candidates } : {};
	return sha256(JSON.stringify({ identity, temperatures, maxTokens, chat, template, stop, seed, ...guard })).toString("hex", 0, 8);
}

/** All answers of a run, grouped by the model and cost models to load: first the plain ones, then a group per budget. */
export async function planAnswers(prompts: readonly EvaluationPrompt[], options: CheckedAnswerOptions): Promise<AnswerGroup[]> {
	const groups: AnswerGroup[] = [];
	for (const method of options.methods) {
		const loading = method === "plain" ? withoutGuard(options.loading) : options.loading;
		const settings = await settingsOf(method, loading, options);
		const jobs = prompts.map((prompt) => jobFor(prompt, method, options));
		for (const budget of new Set(jobs.map((job) => job.budget))) {
			groups.push({ loading: withBudget(loading, budget), settings, jobs: jobs.filter((job) => job.budget === budget) });
		}
	}
	return groups;
}

/** The prompt in the model's form. */
export function askedOf({ text, messages }: EvaluationPrompt, { chat, template = "{prompt}" }: CheckedAnswerOptions): Prompt {
	if (chat) return { messages: messages ?? [{ role: "user", content: text }] };
	return { prompt: template.replaceAll("{prompt}", () => text) };
}

/** A response up to the first stop text. */
export function endedAt(response: string, stop: readonly string[]): string {
	const ends = stop.map((text) => response.indexOf(text)).filter((index) => index >= 0);
	return response.slice(0, Math.min(response.length, ...ends));
}

/** The name of a model in answers: its file's name. */
export const modelName = (path: string) => basename(path, ".gguf");
