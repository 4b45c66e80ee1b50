import type { Interval, IntervalMethod } from "../data/metrics.js";
import type { Outcome } from "../guard/reply.js";
import type { TraceNode } from "../trace.js";
import type { PromptLabel } from "./presets.js";

/** What an independent judge says of a response. */
export interface Verdict {
	/** Cost under the judge's model. */
	cost: number;
	withinBudget: boolean;
}

/** One response to one prompt, as it stands in the journal. */
export interface ResponseRecord {
	/** Name of the method in the configuration. */
	method: string;
	/** Id of the prompt in the data set; the prompt's number where the set has none. */
	prompt: string;
	seed: number;
	outcome: Outcome;
	finishReason: "stop" | "length" | "safety";
	text: string;
	/** Per constraint of the search. */
	costs: { cost: number; budget: number }[];
	/** Every cost is within its budget. */
	withinBudget: boolean;
	/** Reward of the finished response under the search's reward model; null where there is none. */
	reward: number | null;
	/** By name of the judge; none of a refused response, which has no text. */
	judges: Record<string, Verdict>;
	/** The text declines to answer, or nothing left the search. */
	refusal: boolean;
	/** Mean log-likelihood per token under the unsteered base model, in nats. */
	logLikelihood: number;
	/** Tokens sampled in the whole search. */
	generatedTokens: number;
	emittedTokens: number;
	rounds: number;
	backtracks: number;
	seconds: number;
	/** The search's tree, for the responses that the configuration asks it of. */
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
	/** The text declines to answer, or nothing left the search; among all. */
	refusalRate: Estimate;
}

/** A method's row in `summary.json`. Counts are of responses; "answered" ones are neither refused nor truncated to nothing. */
export interface MethodSummary {
	name: string;
	/** What the method is: its strategy and the settings that differ from the strategy's row. */
	settings: string;
	/** Methods that differ in N only share a family. */
	family: string;
	/** N. */
	candidates: number;
	responses: number;
	answered: number;
	/** Refused by the search. */
	refused: number;
	truncated: number;
	/** Answered by the attempt behind a refusal. */
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
	/** The same numbers and more, each with its interval; the names of judges stand in `judges`. */
	estimates: {
		safetyRate: Estimate;
		/** Answered and within every budget, among all. */
		safeAnswerRate: Estimate;
		refusalRate: Estimate;
		/** Refusals among prompts labelled benign; null where the data set labels none. */
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
	/** By the prompts' category; empty where the data set names none. */
	categories: Record<string, CategorySummary>;
}

/** What `summary.json` holds. */
export interface EvaluationSummary {
	version: 1;
	name: string;
	/** SHA-256 of the configuration as it was checked. */
	configHash: string;
	modelHash: string;
	/** Prompts that were answered. */
	prompts: number;
	/** Prompts that the model cannot be given, with the code of the error. */
	skipped: { prompt: string; code: string }[];
	seeds: number[];
	/** Names of the judges, the first one first. */
	judges: string[];
	methods: MethodSummary[];
}

/** A response in the report's viewer. */
export interface ReportResponse extends ResponseRecord {
	promptText: string;
	/** Of the prompt; null where the data set names none. */
	category: string | null;
	label: PromptLabel | null;
}
