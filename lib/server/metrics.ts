// What the server counts, as text that Prometheus reads (version 0.0.4).
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Reply } from "../guard/reply.js";
import { RequestError } from "./errors.js";
import { constraintName, finishReasonOf } from "./wire.js";

const counters = {
	requests_total: "Requests by route, and by the code of their error or ok.",
	stream_errors_total: "Streams that ended with an error, by its code.",
	responses_total: "Generated choices by outcome and reason of their end.",
	prompt_tokens_total: "Tokens of prompts.",
	cached_prompt_tokens_total: "Tokens of prompts that were not read again.",
	emitted_tokens_total: "Tokens of responses.",
	generated_tokens_total: "Tokens sampled by searches.",
	rounds_total: "Samplings of candidates.",
	backtracks_total: "Returns of searches to an earlier block or the beginning.",
	over_budget_total: "Responses over budget by constraint; only strategies that enforce none have any.",
};

const gauges = {
	requests_running: "Requests that run.",
	requests_waiting: "Requests that wait for a slot.",
};

const histograms = {
	queue_seconds: "Time in the queue.",
	request_seconds: "Time of requests after the queue.",
	first_piece_seconds: "Time to the first piece of a stream.",
	search_overhead_ratio: "Sampled tokens per token of a response.",
};

const buckets = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640, 2560];

type Labels = Record<string, string>;

const quoted = (value: string) => `"${value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"')}"`;

function series(name: string, labels: Labels): string {
	const pairs = Object.entries(labels).map(([label, value]) => `${label}=${quoted(value)}`);
	return pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`;
}

/** Values up to each bound, and all of them. */
interface Histogram {
	below: number[];
	count: number;
	sum: number;
}

const emptyHistogram = (): Histogram => ({ below: buckets.map(() => 0), count: 0, sum: 0 });

const prefix = "inferenceguard_";

const header = (name: string, type: string, help: string) => [`# HELP ${prefix}${name} ${help}`, `# TYPE ${prefix}${name} ${type}`];

export class Metrics {
	/** Of each counter, by the labels. */
	readonly #counts = new Map(Object.keys(counters).map((name) => [name, new Map<string, number>()]));
	readonly #histograms = new Map(Object.keys(histograms).map((name) => [name, emptyHistogram()]));

	count(name: keyof typeof counters, by = 1, labels: Labels = {}): void {
		const counts = this.#counts.get(name) as Map<string, number>;
		const key = series(prefix + name, labels);
		counts.set(key, (counts.get(key) ?? 0) + by);
	}

	observe(name: keyof typeof histograms, value: number): void {
		const histogram = this.#histograms.get(name) as Histogram;
		histogram.count++;
		histogram.sum += value;
		for (const [i, bound] of buckets.entries()) if (value <= bound) (histogram.below[i] as number)++;
	}

	replied(reply: Reply): void {
		const { usage, safety, outcome } = reply;
		this.count("responses_total", 1, { outcome, finish_reason: finishReasonOf(reply) });
		this.count("prompt_tokens_total", usage.promptTokens);
		this.count("cached_prompt_tokens_total", usage.cachedPromptTokens);
		this.count("emitted_tokens_total", usage.emittedTokens);
		this.count("generated_tokens_total", usage.generatedTokens);
		this.count("rounds_total", safety.rounds);
		this.count("backtracks_total", safety.backtracks);
		for (const [i, { cost, budget }] of safety.constraints.entries()) {
			if (cost > budget) this.count("over_budget_total", 1, { constraint: constraintName(i) });
		}
		if (usage.emittedTokens > 0) this.observe("search_overhead_ratio", usage.generatedTokens / usage.emittedTokens);
	}

	/** `info`: facts that do not change. */
	text(now: { [K in keyof typeof gauges]: number }, info: Labels): string {
		const counted = Object.entries(counters).flatMap(([name, help]) => [
			...header(name, "counter", help),
			...[...(this.#counts.get(name) ?? [])].map(([key, value]) => `${key} ${value}`),
		]);
		const measured = Object.entries(gauges).flatMap(([name, help]) => [
			...header(name, "gauge", help),
			`${prefix}${name} ${now[name as keyof typeof gauges]}`,
		]);
		const known = [...header("info", "gauge", "Versions and names."), `${series(`${prefix}info`, info)} 1`];
		return `${[...counted, ...measured, ...Object.keys(histograms).flatMap((name) => this.#histogram(name)), ...known].join("\n")}\n`;
	}

	#histogram(name: string): string[] {
		const { below, count, sum } = this.#histograms.get(name) as Histogram;
		return [
			...header(name, "histogram", histograms[name as keyof typeof histograms]),
			...buckets.map((bound, i) => `${series(`${prefix}${name}_bucket`, { le: `${bound}` })} ${below[i]}`),
			`${series(`${prefix}${name}_bucket`, { le: "+Inf" })} ${count}`,
			`${prefix}${name}_sum ${sum}`,
			`${prefix}${name}_count ${count}`,
		];
	}
}

/** Under this a context has a failure that was not thrown. */
export const failureKey = "failure";

/** Counts requests by how they end. */
export function counted(metrics: Metrics): MiddlewareHandler {
	return async (c, next) => {
		await next();
		const route = routePath(c, -1);
		const failure: unknown = c.error ?? c.get(failureKey);
		const code = failure === undefined ? "ok" : RequestError.of(failure).code;
		metrics.count("requests_total", 1, { route, code });
	};
}
