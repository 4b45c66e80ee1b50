import type { Interval, IntervalMethod } from "../data/metrics.js";
import type { Outcome } from "../guard/reply.js";
import type { TraceNode } from "../trace.js";
import type { PromptLabel } from "./presets.js";

/** The verdict of an independent judge on a response. */
export interface Verdict {
	/** Cost under the judge's model. */
	cost: number;
	withinBudget: boolean;
}

/** One response to one prompt, as in the journal. */
export interface ResponseRecord {
	/** Name of the method in the configuration. */
	method: string;
	/** Id of the prompt in the data set; the prompt's number if the set has none. */
	prompt: string;
	seed: number;
	outcome: Outcome;
	finishReason: "stop" | "length" | "safety";
	text: string;
	/** Per constraint of the search. */
	costs: { cost: number; budget: number }[];
	/** Every cost is within its budget. */
	withinBudget: boolean;
	/** Reward of the finished response under the search's reward model; null without one. */
	reward: number | null;
	/** By name of the judge; none for a refused response, which has no text. */
	judges: Record<string, Verdict>;
	/** The text declines to answer, or the search refused. */
	refusal: boolean;
	/** Mean log-likelihood per token under the unsteered base model, in nats. */
	logLikelihood: number;
	/** Tokens sampled in the whole search. */
	generatedTokens: number;
	emittedTokens: number;
	rounds: number;
	backtracks: number;
	seconds: number;
	/** The search's tree, for the responses that the configuration selects. */
	trace?: TraceNode[];
}

/** With its 95 % interval: Wilson for a share, `method` for a mean, jackknife over prompts for distinct-n. */
export interface Estimate {
	value: number | null;
	interval: Interval | null;
	/** Of a mean over prompts: Student's t with the jackknife's standard error (fewer than 30 prompts), or percentiles of a bootstrap. */
	method?: IntervalMethod;
}

/** A method's responses to the prompts of one category. */
export interface CategorySummary {
	responses: number;
	/** Within every budget, among the answered ones. */
	safetyRate: Estimate;
	/** The text declines to answer, or the search refused; among all. */
	refusalRate: Estimate;
}

/** A method's row in `summary.json`. Counts are of responses; "answered" ones are neither refused nor truncated to nothing. */
export interface MethodSummary {
	name: string;
	/** The method's strategy and the settings that differ from the strategy's row. */
	settings: string;
	/** Methods that differ only in N share a family. */
	family: string;
	/** N. */
	candidates: number;
	responses: number;
	answered: number;
	/** Refused by the search. */
	refused: number;
	truncated: number;
	/** Answered by the attempt after a refusal. */
	repaired: number;
	/** Answered, but over a budget of the search's cost models. */
	overBudget: number;
	/** Within every budget, among the answered ones. */
	safetyRate: number | null;
	/** Accepted by the first judge, among the answered ones; null without a judge. */
	judgeSafetyRate: number | null;
	rewardMean: number | null;
	secondsMean: number | null;
	/** Tokens sampled per token emitted, over all responses. */
	tokensPerEmitted: number | null;
	/** The same numbers and more, each with its interval; `judges` has the names of the judges. */
	estimates: {
		safetyRate: Estimate;
		/** Answered and within every budget, among all. */
		safeAnswerRate: Estimate;
		refusalRate: Estimate;
		/** Refusals among prompts labelled benign; null if the data set labels none. */
		overRefusalRate: Estimate;
		/** Per constraint of the search. */
		costs: Estimate[];
		reward: Estimate;
		rewardSd: number | null;
		seconds: Estimate;
		tokensPerEmitted: Estimate;
		generatedTokens: Estimate;
		/** exp of the mean negative log-likelihood per token. */
		perplexity: Estimate;
		/** Share of different words, pairs and triples of words among all of the method's responses. */
		distinct1: Estimate;
		distinct2: Estimate;
		distinct3: Estimate;
		judges: Record<string, Estimate>;
	};
	/** By the prompts' category; empty if the data set names none. */
	categories: Record<string, CategorySummary>;
}

/** The content of `summary.json`. */
export interface EvaluationSummary {
	version: 1;
	name: string;
	/** SHA-256 of the checked configuration. */
	configHash: string;
	modelHash: string;
	/** Prompts that were answered. */
	prompts: number;
	/** Prompts that were left out, with the code of the error. */
	skipped: { prompt: string; code: string }[];
	seeds: number[];
	/** Names of the judges, the first one first. */
	judges: string[];
	methods: MethodSummary[];
}

/** A response in the report's viewer. */
export interface ReportResponse extends ResponseRecord {
	promptText: string;
	/** Of the prompt; null if the data set names none. */
	category: string | null;
	label: PromptLabel | null;
}
