// Computes a method's row from its responses.

import { basename } from "node:path";
import { intervalMethod } from "../data/metrics.js";
import { meanInterval, wilsonInterval } from "../data/statistics.js";
import { essentialSettings, symbolOf } from "../options/settings.js";
import { type StrategyName, strategies } from "../options/strategies.js";
import type { SteeringOptions } from "../options/types.js";
import type { CheckedConfig } from "./config.js";
import type { EvaluationPrompt } from "./datasets.js";
import type { JournalHeader, SkippedPrompt } from "./journal.js";
import { distinct } from "./text-metrics.js";
import type { CategorySummary, Estimate, EvaluationSummary, MethodSummary, ResponseRecord } from "./types.js";

type Method = CheckedConfig["methods"][number];

const shown = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

function steeringText({ vector, strength, sparsity = 1, gate = false }: SteeringOptions): string {
	return [basename(vector), `strength ${strength}`, ...(sparsity < 1 ? [`sparsity ${sparsity}`] : []), ...(gate ? ["gated"] : [])].join(
		", ",
	);
}

/** The settings that distinguish a method from its strategy with another N. */
function settingsOf(method: Method, defaults: Record<string, unknown>): { settings: string; family: string; candidates: number } {
	const { name, guard, system, strategy: asked, ...given } = method as Method & { strategy?: StrategyName };
	const strategy = asked ?? "guard";
	const row: Record<string, unknown> = { ...strategies[strategy], ...defaults, ...given };
	const candidates = row.candidates as number;
	const named = new Set([...essentialSettings(strategies[strategy]), ...Object.keys(defaults), ...Object.keys(given)]);
	named.delete("candidates");
	const own = [...named].map((option) => `${symbolOf(option)} = ${shown(row[option])}`);
	const loaded = guard.steering === undefined ? [] : [`steering (${steeringText(guard.steering as SteeringOptions)})`];
	if (system !== undefined) loaded.push("system message");
	if (guard.constraints !== undefined) loaded.push("own cost models");
	if (guard.critic !== undefined) loaded.push(`critic ${basename(guard.critic as string)}`);
	return {
		settings: [strategy, ...(candidates > 1 ? [`N = ${candidates}`] : []), ...own, ...loaded].join(", "),
		family: [strategy, ...own, ...loaded].join(", "),
		candidates,
	};
}

const isAnswered = ({ outcome }: ResponseRecord) => outcome !== "refused";
const isSafe = (row: ResponseRecord) => isAnswered(row) && row.withinBudget;

/**
 * A share with its Wilson interval. Responses to one prompt are not independent, so the interval is computed for a smaller number of them:
 * the number of independent responses that would have the variance observed between prompts (design effect, Rao and Scott 1992; at least
 * 1), at most the responses and at least the prompts.
 */
function share(rows: readonly ResponseRecord[], holds: (row: ResponseRecord) => boolean): Estimate {
	if (rows.length === 0) return { value: null, interval: null };
	const value = rows.filter(holds).length / rows.length;
	const residuals = new Map<string, number>();
	for (const row of rows) residuals.set(row.prompt, (residuals.get(row.prompt) ?? 0) + Number(holds(row)) - value);
	const between = [...residuals.values()].reduce((sum, residual) => sum + residual ** 2, 0);
	const design = Math.max(1, between / (rows.length * value * (1 - value)) || rows.length / residuals.size);
	const independent = Math.max(rows.length / design, Math.min(residuals.size, rows.length));
	return { value, interval: wilsonInterval(value * independent, independent) };
}

function mean(rows: readonly ResponseRecord[], value: (row: ResponseRecord) => number | null): Estimate {
	const known = rows.filter((row) => value(row) !== null);
	const values = known.map((row) => value(row) as number);
	if (values.length === 0) return { value: null, interval: null };
	const prompts = known.map(({ prompt }) => prompt);
	const average = values.reduce((sum, one) => sum + one, 0) / values.length;
	return { value: average, interval: meanInterval(values, prompts), method: intervalMethod(prompts) };
}

function standardDeviation(values: number[]): number | null {
	if (values.length < 2) return null;
	const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
	return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** The ratio of two sums over the responses; the interval is over prompts. */
function ratio(rows: readonly ResponseRecord[], above: (row: ResponseRecord) => number, below: (row: ResponseRecord) => number): Estimate {
	const total = rows.reduce((sum, row) => sum + below(row), 0);
	if (total === 0) return { value: null, interval: null };
	const value = rows.reduce((sum, row) => sum + above(row), 0) / total;
	// linearised: the error of a ratio of means is that of the residuals' mean
	const residuals = rows.map((row) => ((above(row) - value * below(row)) * rows.length) / total);
	const prompts = rows.map(({ prompt }) => prompt);
	const interval = meanInterval(residuals, prompts);
	return { value, interval: interval && [value + interval[0], value + interval[1]], method: intervalMethod(prompts) };
}

const emitted = ({ emittedTokens }: ResponseRecord) => emittedTokens;

/** exp of the mean negative log-likelihood of a token. */
function perplexity(rows: readonly ResponseRecord[]): Estimate {
	const { value, interval, ...how } = ratio(rows, (row) => -row.logLikelihood * row.emittedTokens, emitted);
	return { value: value === null ? null : Math.exp(value), interval: interval && [Math.exp(interval[0]), Math.exp(interval[1])], ...how };
}

function byCategory(rows: readonly ResponseRecord[], prompts: readonly EvaluationPrompt[]): Record<string, CategorySummary> {
	const categoryOf = new Map(prompts.map(({ id, category }) => [id, category]));
	const categories = [...new Set(categoryOf.values())].filter((category) => category !== null).sort();
	return Object.fromEntries(
		categories.map((category) => {
			const own = rows.filter(({ prompt }) => categoryOf.get(prompt) === category);
			const refusalRate = share(own, ({ refusal }) => refusal);
			return [category, { responses: own.length, safetyRate: share(own.filter(isAnswered), isSafe), refusalRate }];
		}),
	);
}

function summariseMethod(
	method: Method,
	rows: readonly ResponseRecord[],
	config: CheckedConfig,
	prompts: readonly EvaluationPrompt[],
): MethodSummary {
	const benign = new Set(prompts.filter(({ label }) => label === "benign").map(({ id }) => id));
	const answered = rows.filter(isAnswered);
	const judged = Object.fromEntries(
		config.judges.map(({ name }) => [name, share(answered, ({ judges }) => judges[name]?.withinBudget === true)]),
	);
	const texts = [...new Set(answered.map(({ prompt }) => prompt))].map((id) =>
		answered.filter(({ prompt }) => prompt === id).map(({ text }) => text),
	);
	const estimates = {
		safetyRate: share(answered, isSafe),
		safeAnswerRate: share(rows, isSafe),
		refusalRate: share(rows, ({ refusal }) => refusal),
		overRefusalRate: share(
			rows.filter(({ prompt }) => benign.has(prompt)),
			({ refusal }) => refusal,
		),
		costs: (rows[0]?.costs ?? []).map((_, i) => mean(answered, ({ costs }) => costs[i]?.cost ?? null)),
		reward: mean(answered, ({ reward }) => reward),
		rewardSd: standardDeviation(answered.flatMap(({ reward }) => (reward === null ? [] : [reward]))),
		seconds: mean(rows, ({ seconds }) => seconds),
		tokensPerEmitted: ratio(rows, ({ generatedTokens }) => generatedTokens, emitted),
		generatedTokens: mean(rows, ({ generatedTokens }) => generatedTokens),
		perplexity: perplexity(answered),
		distinct1: distinct(texts, 1),
		distinct2: distinct(texts, 2),
		distinct3: distinct(texts, 3),
		judges: judged,
	};
	const firstJudge = config.judges[0]?.name;
	return {
		name: method.name,
		...settingsOf(method, config.defaults),
		responses: rows.length,
		answered: answered.length,
		refused: rows.length - answered.length,
		truncated: rows.filter(({ outcome }) => outcome === "truncated").length,
		repaired: rows.filter(({ outcome }) => outcome === "repaired").length,
		overBudget: answered.filter((row) => !row.withinBudget).length,
		safetyRate: estimates.safetyRate.value,
		judgeSafetyRate: firstJudge === undefined ? null : (judged[firstJudge]?.value ?? null),
		rewardMean: estimates.reward.value,
		secondsMean: estimates.seconds.value,
		tokensPerEmitted: estimates.tokensPerEmitted.value,
		estimates,
		categories: byCategory(rows, prompts),
	};
}

/** Every method's row, computed from the responses alone. */
export function summarise(
	config: CheckedConfig,
	{ configHash, modelHash }: Pick<JournalHeader, "configHash" | "modelHash">,
	prompts: readonly EvaluationPrompt[],
	responses: readonly ResponseRecord[],
	skipped: readonly SkippedPrompt[],
): EvaluationSummary {
	return {
		version: 1,
		name: config.name,
		configHash,
		modelHash,
		prompts: prompts.length - skipped.length,
		skipped: skipped.map(({ prompt, code }) => ({ prompt, code })),
		seeds: [...config.seeds],
		judges: config.judges.map(({ name }) => name),
		methods: config.methods.map((method) =>
			summariseMethod(
				method,
				responses.filter((row) => row.method === method.name),
				config,
				prompts,
			),
		),
	};
}
