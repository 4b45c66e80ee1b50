// Runs an experiment. Every method answers every prompt, each answer is judged, and everything is appended to the journal at once.

import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { today } from "../base/now.js";
import { mayReadModel } from "../costs/index.js";
import { inLanes } from "../data/lanes.js";
import { expectWritable, jsonFile, replaceFiles, textFile } from "../data/output.js";
import { InferenceGuardError, InvalidDataError, WriteError } from "../errors.js";
import { CostScorer } from "../guard/cost-scorer.js";
import { readCriticIdentity } from "../guard/critic.js";
import { InferenceGuard } from "../guard/guard.js";
import { guardIdentity } from "../guard/identity.js";
import { nativeSpec } from "../guard/load-spec.js";
import type { Reply } from "../guard/reply.js";
import { CallbackWatch } from "../native/worker.js";
import { checkGenerateOptions } from "../options/generate.js";
import { checkLoadOptions } from "../options/load.js";
import { plainSettings, resolveSearch } from "../options/resolve.js";
import type { GenerateOptions, LoadOptions } from "../options/types.js";
import type { EvaluationProgress } from "../progress.js";
import { type Prompt, questionOf } from "../prompt/chat.js";
import { type CheckedConfig, checkConfig, type EvaluationConfig, loadOptionsOf } from "./config.js";
import { type EvaluationPrompt, readPrompts } from "./datasets.js";
import { inspectLogs } from "./inspect-log.js";
import { Journal, type JournalHeader, type PlannedClaim, withoutSkipped } from "./journal.js";
import { checkEvaluateOptions } from "./options.js";
import { evaluationReportPage } from "./report-page.js";
import { summarise } from "./summary.js";
import { isRefusal } from "./text-metrics.js";
import type { EvaluationSummary, ResponseRecord, Verdict } from "./types.js";

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
	/** Path of a configuration (`.yaml`, `.yml` or `.json`), or the configuration itself. */
	config: string | EvaluationConfig;
	/** Folder of the results; a stopped run resumes there. */
	out: string;
	/** Also write an Inspect EvalLog (version 2) per method; default false. */
	inspect?: boolean;
	/** The date for chat templates, in place of the configuration's. */
	now?: string | Date;
	/** Called before the first response, and after each. */
	onProgress?: (progress: EvaluationProgress) => void;
	/** Stops within one decode step; finished responses are kept. */
	signal?: AbortSignal;
}

/** Names of the files in the folder of results. */
export const resultFiles = { journal: "journal.jsonl", summary: "summary.json", report: "report.html" };

/** Errors about a response: it is too long for a model that judges it, or its search does not fit into memory. */
export const responseErrors: ReadonlySet<string> = new Set(["TEXT_TOO_LONG", "KV_CAPACITY"]);

/** Errors about one prompt, which is then left out for all methods. */
export const promptErrors: ReadonlySet<string> = new Set([
	"INVALID_PROMPT",
	"SPECIAL_TOKEN_TEXT",
	"PROMPT_TOO_LONG",
	"CHAT_TEMPLATE",
	...responseErrors,
]);

type CheckedEvaluateOptions = ReturnType<typeof checkEvaluateOptions>;

const promptsPerSeed = 2 ** 20;

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

type Method = CheckedConfig["methods"][number];

const keyOf = (method: string, prompt: string, seed: number) => JSON.stringify([method, prompt, seed]);

/** Methods with the same load options. */
function guardGroups(config: CheckedConfig): { options: LoadOptions; methods: Method[] }[] {
	const groups: { options: LoadOptions; methods: Method[] }[] = [];
	for (const method of config.methods) {
		const group = groups.find(({ methods }) => isDeepStrictEqual(methods[0]?.guard, method.guard));
		if (group) group.methods.push(method);
		else groups.push({ options: loadOptionsOf(config, method), methods: [method] });
	}
	return groups;
}

/** Loads cost models without a search. A probe needs the model that it reads; `harm` may have a probe. */
function loadScorer(config: CheckedConfig, constraints: CheckedConfig["judgeConstraints"], signal: AbortSignal): Promise<CostScorer> {
	const { model, device, gpuLayers, threads, useMmap, useMlock, isolate } = checkLoadOptions(config.guard);
	const reads = constraints.some(({ cost }) => mayReadModel(cost)) && typeof model === "string";
	return CostScorer.load({ constraints, device, gpuLayers, threads, useMmap, useMlock, isolate, signal, ...(reads && { model }) });
}

async function loadJudges(config: CheckedConfig, judges: Map<string, CostScorer>, signal: AbortSignal): Promise<void> {
	for (const [i, { name }] of config.judges.entries()) {
		judges.set(name, await loadScorer(config, config.judgeConstraints.slice(i, i + 1), signal));
	}
}

async function loadCommon(config: CheckedConfig, signal: AbortSignal): Promise<CostScorer | undefined> {
	if (!config.methods.some(({ guard }) => guard.constraints)) return undefined;
	return loadScorer(config, checkLoadOptions(config.guard).constraints, signal);
}

async function makeFolder(path: string): Promise<void> {
	try {
		await mkdir(path, { recursive: true });
	} catch (cause) {
		throw new WriteError(`expected a folder that can be written at ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

/** The prompt for the model. */
function promptOf({ text, messages = [{ role: "user", content: text }] }: EvaluationPrompt, chat: boolean, system?: string): Prompt {
	if (!chat) return { prompt: text };
	return { messages: system === undefined ? messages : [{ role: "system", content: system }, ...messages] };
}

type Spent = Pick<ResponseRecord, "costs" | "withinBudget">;

/** Whether every budget holds: at the end, or at every token if the criterion is "anytime". */
function spentBy({ safety, outcome }: Reply, limits: readonly Record<string, unknown>[]): Spent {
	const holds = safety.constraints.map(({ cost, budget, z }, c) => {
		const throughout = limits[c]?.criterion !== "anytime" || z.every((left) => left >= 0);
		return cost <= budget && throughout;
	});
	const costs = safety.constraints.map(({ cost, budget }) => ({ cost, budget }));
	return { costs, withinBudget: outcome === "refused" || holds.every(Boolean) };
}

/** A method's guard, and the configuration's. */
interface Guards {
	guard: InferenceGuard;
	base: InferenceGuard;
}

class EvaluationRun {
	readonly #judges: Map<string, CostScorer>;
	/** The configuration's cost models, if a method searches under others. */
	readonly #common: CostScorer | undefined;
	readonly #config: CheckedConfig;
	readonly #prompts: readonly EvaluationPrompt[];
	readonly #journal: Journal;
	readonly #onProgress: (progress: EvaluationProgress) => void;
	readonly #begin = performance.now();
	readonly #before: number;
	readonly #done: Set<string>;
	readonly #skipped: Set<string>;
	/** Methods whose trees have blocks, not single tokens. */
	readonly #blockwise: Set<string>;

	constructor(
		config: CheckedConfig,
		header: JournalHeader,
		prompts: readonly EvaluationPrompt[],
		journal: Journal,
		judges: Map<string, CostScorer>,
		common: CostScorer | undefined,
		onProgress: (progress: EvaluationProgress) => void,
	) {
		this.#config = config;
		this.#prompts = prompts;
		this.#journal = journal;
		this.#judges = judges;
		this.#common = common;
		this.#onProgress = onProgress;
		this.#before = journal.responses.length;
		this.#blockwise = new Set(header.methods.filter(({ search }) => search.expansion === "sample").map(({ name }) => name));
		this.#done = new Set(journal.responses.map(({ method, prompt, seed }) => keyOf(method, prompt, seed)));
		this.#skipped = new Set(journal.skipped.map(({ prompt }) => prompt));
	}

	/** Answers everything that one guard has to answer. */
	async answerAll(guards: Guards, methods: readonly Method[], signal: AbortSignal): Promise<void> {
		const { seeds, concurrency } = this.#config;
		const jobs = seeds.flatMap((seed) => this.#prompts.map((prompt, index) => ({ seed, prompt, index })));
		await inLanes(concurrency, jobs, signal, async ({ seed, prompt, index }, signal) => {
			for (const method of methods) {
				if (this.#skipped.has(prompt.id) || this.#done.has(keyOf(method.name, prompt.id, seed))) continue;
				this.#report(method.name, prompt.id);
				await this.#answer(guards, method, prompt, index, seed, signal);
			}
		});
	}

	/** Whether these methods have anything left to answer. */
	isOpen(methods: readonly Method[]): boolean {
		return this.#config.seeds.some((seed) =>
			this.#prompts.some(({ id }) => !this.#skipped.has(id) && methods.some((method) => !this.#done.has(keyOf(method.name, id, seed)))),
		);
	}

	/** Answers one prompt, or leaves it out for all methods if the prompt is the cause of an error. */
	async #answer(guards: Guards, method: Method, prompt: EvaluationPrompt, index: number, seed: number, signal: AbortSignal): Promise<void> {
		try {
			const record = await this.#record(guards, method, prompt, index, seed, signal);
			await this.#journal.append(record);
			this.#done.add(keyOf(method.name, prompt.id, seed));
		} catch (error) {
			if (!InferenceGuardError.isInstance(error) || error.code === "ABORTED") throw error;
			if (!promptErrors.has(error.code)) {
				error.message = `prompt ${prompt.id}, method ${method.name}: ${error.message}`;
				throw error;
			}
			if (!this.#skipped.has(prompt.id)) {
				this.#skipped.add(prompt.id);
				await this.#journal.skip(prompt.id, error.code);
			}
		}
		this.#report(method.name, prompt.id);
	}

	async #record(
		{ guard, base }: Guards,
		method: Method,
		prompt: EvaluationPrompt,
		index: number,
		seed: number,
		signal: AbortSignal,
	): Promise<ResponseRecord> {
		const { name, guard: _, system, ...search } = method;
		const trace = seed === this.#config.seeds[0] && index < this.#config.traces && this.#blockwise.has(name);
		const { now } = this.#journal;
		const own = { seed: seed * promptsPerSeed + index, trace, now, signal };
		const asked = promptOf(prompt, this.#config.chat, system);
		const begin = performance.now();
		const reply = await guard.generate({ ...this.#config.defaults, ...search, ...asked, ...own } as unknown as GenerateOptions);
		const seconds = (performance.now() - begin) / 1000;
		const judges: Record<string, Verdict> = {};
		for (const [judge, scorer] of reply.outcome === "refused" ? [] : this.#judges) {
			const [scored] = await scorer.score(prompt.text, [reply.text], { signal, now, isRaw: !this.#config.chat });
			judges[judge] = scored?.[0] as Verdict;
		}
		const { costs, withinBudget } = method.guard.constraints
			? await this.#measured(questionOf(asked) ?? prompt.text, reply, base, signal)
			: spentBy(reply, guard.limits);
		const logLikelihood = reply.steering === undefined ? reply.logLikelihood : await base.meanLogLikelihood(asked, reply, now);
		const isOwnLikelihood = this.#config.guard.reward === undefined || this.#config.guard.reward === "logLikelihood";
		return {
			method: name,
			prompt: prompt.id,
			seed,
			outcome: reply.outcome,
			finishReason: reply.finishReason,
			text: reply.text,
			costs,
			withinBudget,
			reward: isOwnLikelihood && reply.reward !== null ? logLikelihood : reply.reward,
			judges,
			refusal: reply.outcome === "refused" || isRefusal(reply.text),
			logLikelihood,
			generatedTokens: reply.usage.generatedTokens,
			emittedTokens: reply.usage.emittedTokens,
			rounds: reply.safety.rounds,
			backtracks: reply.safety.backtracks,
			seconds,
			...(reply.trace && { trace: reply.trace }),
		};
	}

	/** The result under the configuration's cost models, for a method that searched under others. */
	async #measured(prompt: string, { text, outcome }: Reply, base: InferenceGuard, signal: AbortSignal): Promise<Spent> {
		const budgets = base.limits.map(({ budget }) => budget as number);
		if (outcome === "refused") return { costs: budgets.map((budget) => ({ cost: 0, budget })), withinBudget: true };
		const [scored = []] = (await this.#common?.score(prompt, [text], { signal, now: this.#journal.now, isRaw: !this.#config.chat })) ?? [];
		const costs = scored.map(({ cost }, c) => ({ cost, budget: budgets[c] as number }));
		return { costs, withinBudget: scored.every(({ withinBudget }) => withinBudget) };
	}

	#report(method: string, prompt: string): void {
		const { methods, seeds } = this.#config;
		const responses = this.#journal.responses.length;
		this.#onProgress({
			responses,
			totalResponses: methods.length * seeds.length * (this.#prompts.length - this.#skipped.size),
			method,
			prompt,
			newResponses: responses - this.#before,
			seconds: (performance.now() - this.#begin) / 1000,
		});
	}
}

/** The name, settings and guard of each method's row, for journal and certificate. */
async function describeMethods(config: CheckedConfig, base: InferenceGuard): Promise<JournalHeader["methods"]> {
	const described: JournalHeader["methods"] = [];
	const { model } = await base.identity();
	for (const { options, methods } of guardGroups(config)) {
		const checked = checkLoadOptions(options);
		const critic = checked.critic === undefined ? undefined : readCriticIdentity(checked.critic);
		const { build, ...guard } = await guardIdentity(await nativeSpec(checked), model);
		for (const { name, guard: _, system, ...search } of methods) {
			const settings = checkGenerateOptions({ ...config.defaults, ...search, prompt: "" });
			described.push({ name, search: plainSettings(resolveSearch(settings, critic)), guard });
		}
	}
	return config.methods.map(({ name }) => described.find((one) => one.name === name) as (typeof described)[number]);
}

async function headerOf(
	config: CheckedConfig,
	prompts: readonly EvaluationPrompt[],
	base: InferenceGuard,
	judges: readonly CostScorer[],
	claim: PlannedClaim | undefined,
): Promise<JournalHeader> {
	const { model, build } = await base.identity();
	return {
		kind: "evaluation",
		version: 1,
		name: config.name,
		configHash: config.hash,
		modelHash: model,
		promptsHash: sha256(JSON.stringify(prompts.map(({ id, text }) => [id, text]))),
		judges: config.judges.map(({ name }) => name),
		judgeHashes: (await Promise.all(judges.map((judge) => judge.hashes()))).flat(),
		seeds: config.seeds,
		limits: base.limits,
		methods: await describeMethods(config, base),
		build,
		claim: claim && { ...claim, prompts: prompts.length },
	};
}

/** Answers everything that the journal lacks, group by group. Every group has a guard of its own, in addition to the base model's. */
async function runGroups(config: CheckedConfig, run: EvaluationRun, base: InferenceGuard, signal: AbortSignal): Promise<void> {
	for (const { options, methods } of guardGroups(config)) {
		if (!run.isOpen(methods)) continue;
		if (Object.keys(methods[0]?.guard ?? {}).length === 0) await run.answerAll({ guard: base, base }, methods, signal);
		else {
			await using guard = await InferenceGuard.load({ ...options, signal });
			await run.answerAll({ guard, base }, methods, signal);
		}
	}
}

/**
 * Runs an experiment. The folder then has `journal.jsonl` (every response, appended at once; a killed run resumes from it), `summary.json`
 * ({@link EvaluationSummary}) and `report.html` (one page that works offline).
 *
 * Errors: INVALID_OPTION, INVALID_DATA, INVALID_JOURNAL, WRITE_FAILED, and those of `InferenceGuard.load` and `generate`. A prompt
 * that the model cannot take (INVALID_PROMPT, SPECIAL_TOKEN_TEXT, PROMPT_TOO_LONG, CHAT_TEMPLATE), or whose responses are too long to be
 * judged or searched for (TEXT_TOO_LONG, KV_CAPACITY), is left out for all methods and named in the summary.
 */
export async function evaluate(given: EvaluateOptions): Promise<EvaluationSummary> {
	const options = checkEvaluateOptions(given);
	return runExperiment(await checkConfig(options.config as EvaluateOptions["config"]), options);
}

type RunOptions = Omit<CheckedEvaluateOptions, "config">;

/** Runs an experiment whose configuration was read. The journal fixes a certificate's claim before the first response. */
export async function runExperiment(config: CheckedConfig, options: RunOptions, claim?: PlannedClaim): Promise<EvaluationSummary> {
	const prompts = await readPrompts(config.data);
	const { out } = options;
	await makeFolder(out);
	await expectWritable(join(out, resultFiles.journal));
	using watch = new CallbackWatch(options.signal);
	const { signal } = watch;
	const base = await InferenceGuard.load({ ...(config.guard as unknown as LoadOptions), signal });
	const judges = new Map<string, CostScorer>();
	let common: CostScorer | undefined;
	let journal: Journal | undefined;
	try {
		await loadJudges(config, judges, signal);
		common = await loadCommon(config, signal);
		const header = await headerOf(config, prompts, base, [...judges.values()], claim);
		journal = await Journal.open(join(out, resultFiles.journal), { ...header, now: options.now ?? config.now }, today());
		const run = new EvaluationRun(config, header, prompts, journal, judges, common, watch.wrap("onProgress", options.onProgress));
		await watch.run((signal) => runGroups(config, run, base, signal));
		return await writeResults(config, header, prompts, journal, options);
	} finally {
		await journal?.close();
		await base.dispose();
		for (const scorer of [...judges.values(), common]) await scorer?.dispose();
	}
}

async function writeResults(
	config: CheckedConfig,
	header: JournalHeader,
	prompts: readonly EvaluationPrompt[],
	{ responses: all, skipped }: Journal,
	{ out, inspect }: RunOptions,
): Promise<EvaluationSummary> {
	if (skipped.length === prompts.length) {
		const codes = [...new Set(skipped.map(({ code }) => code))].join(", ");
		throw new InvalidDataError(`expected prompts that the model can be given, but every one of ${prompts.length} was left out: ${codes}`);
	}
	const responses = withoutSkipped(all, skipped);
	const summary = summarise(config, header, prompts, responses, skipped);
	const asked = new Map(prompts.map((prompt) => [prompt.id, prompt]));
	const asAsked = responses.flatMap((response) => {
		const prompt = asked.get(response.prompt);
		return prompt ? [{ ...response, promptText: prompt.text, category: prompt.category, label: prompt.label }] : [];
	});
	const left = new Set(skipped.map(({ prompt }) => prompt));
	const texts = new Map(prompts.filter(({ id }) => !left.has(id)).map(({ id, text }) => [id, text]));
	const logs = inspect ? inspectLogs(summary, responses, texts, new Date()) : [];
	await replaceFiles(
		jsonFile(join(out, resultFiles.summary), summary),
		textFile(join(out, resultFiles.report), await evaluationReportPage(summary, asAsked, config)),
		...logs.map((log, i) => jsonFile(join(out, `inspect-${i + 1}.json`), log)),
	);
	return summary;
}
