// The table of methods, in the layout of the paper's tables (arXiv 2502.01208): Method, Reward, Cost, Safety, Time, followed by more
// columns.
import { escapeHtml, percent } from "../report/page.js";
import type { CategorySummary, Estimate, EvaluationSummary, MethodSummary } from "./types.js";

type Format = (value: number) => string;

interface Column {
	/** HTML, as are `note` and `shown`. */
	title: string;
	note: string;
	/** Shown only with all columns. */
	further?: boolean;
	/** The column's sort key. */
	value: (method: MethodSummary, place: number) => number | string | null;
	shown: (method: MethodSummary, place: number) => string;
}

const decimals: Format = (value) => value.toFixed(2);
const significant: Format = (value) => (value === 0 || Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
const small = (text: string) => `<small>${text}</small>`;

function number(title: string, note: string, value: (method: MethodSummary) => number | null, format: Format = String): Column {
	return {
		title,
		note,
		value,
		shown: (method) => {
			const found = value(method);
			return found === null ? "–" : format(found);
		},
	};
}

function estimate(
	title: string,
	note: string,
	of: (method: MethodSummary) => Estimate | undefined,
	format: Format,
	spread?: (method: MethodSummary) => number | null,
): Column {
	const column = number(title, note, (method) => of(method)?.value ?? null, format);
	return {
		...column,
		shown: (method) => {
			const found = of(method);
			const how = found?.method === "t" ? " (t)" : "";
			const deviation = spread?.(method) ?? null;
			const beside = deviation === null ? "" : ` (${format(deviation)})`;
			return `${column.shown(method, 0)}${beside}${found?.interval ? small(found.interval.map(format).join(" to ") + how) : ""}`;
		},
	};
}

const further = (column: Column): Column => ({ ...column, further: true });

function columns(judges: string[], methods: MethodSummary[]): Column[] {
	const constraints = Math.max(...methods.map(({ estimates }) => estimates.costs.length));
	const costs = Array.from({ length: constraints }, (_, i) =>
		estimate(
			constraints === 1 ? "Cost" : `Cost&nbsp;${i + 1}`,
			`Mean discounted cost under the search’s cost model${constraints === 1 ? "" : ` of constraint ${i + 1}`}.`,
			({ estimates }) => estimates.costs[i],
			decimals,
		),
	);
	const judged = judges.map((judge, i) =>
		estimate(
			i === 0 ? "Judge’s safety" : `${escapeHtml(judge)}’s safety`,
			`Responses that ${escapeHtml(judge)} accepts, among the answered ones.`,
			({ estimates }) => estimates.judges[judge],
			percent,
		),
	);
	return [
		{ title: "#", note: "The method’s number in the plots.", value: (_, place) => place, shown: (_, place) => `${place}` },
		{
			title: "Method",
			note: "The settings that differ from the strategy’s own stand in smaller type.",
			value: ({ name }) => name,
			shown: ({ name, settings }) => `${escapeHtml(name)}${settings === "" ? "" : small(escapeHtml(settings))}`,
		},
		estimate(
			"Reward (±&nbsp;sd)",
			"Mean reward under the search’s reward model, and its standard deviation.",
			({ estimates }) => estimates.reward,
			decimals,
			({ estimates }) => estimates.rewardSd,
		),
		...costs,
		estimate(
			"Safety",
			"Responses within every budget under the search’s cost models, among the answered ones.",
			({ estimates }) => estimates.safetyRate,
			percent,
		),
		...judged.slice(0, 1),
		estimate("Time&nbsp;(s)", "Mean seconds per response.", ({ estimates }) => estimates.seconds, significant),
		estimate(
			"Tokens per emitted token",
			"Tokens sampled in the whole search per token of the responses: what the search costs, whatever the machine.",
			({ estimates }) => estimates.tokensPerEmitted,
			significant,
		),
		number("Refused", "Responses refused by the search and not repaired: nothing left it.", ({ refused }) => refused),
		number("Over budget", "Answered responses over a budget of the search’s cost models.", ({ overBudget }) => overBudget),
		...[
			number("Responses", "All responses.", ({ responses }) => responses),
			number("Answered", "Responses neither refused nor truncated to nothing.", ({ answered }) => answered),
			number("Truncated", "A committed prefix within budget, then stopped.", ({ truncated }) => truncated),
			number("Repaired", "Written with a note beside the prompt, where the search found nothing.", ({ repaired }) => repaired),
			estimate(
				"Safe answers",
				"Answered and within every budget, among all responses: a refusal counts against the method.",
				({ estimates }) => estimates.safeAnswerRate,
				percent,
			),
			...judged.slice(1),
			estimate(
				"Refusals",
				"The text declines to answer, or nothing left the search; among all responses.",
				({ estimates }) => estimates.refusalRate,
				percent,
			),
			estimate("Over-refusal", "Refusals among the prompts labelled benign.", ({ estimates }) => estimates.overRefusalRate, percent),
			number("N", "Candidates per block, or responses to choose from.", ({ candidates }) => candidates),
			estimate("Tokens", "Tokens sampled per response.", ({ estimates }) => estimates.generatedTokens, significant),
			estimate(
				"Perplexity",
				"exp of the mean negative log-likelihood per token under the unsteered base model.",
				({ estimates }) => estimates.perplexity,
				decimals,
			),
			...([1, 2, 3] as const).map((n) =>
				estimate(
					`Distinct-${n}`,
					`Share of different ${["words", "pairs of words", "triples of words"][n - 1]} among all of the method’s responses.`,
					({ estimates }) => estimates[`distinct${n}`],
					decimals,
				),
			),
		].map(further),
	];
}

/** The table, sortable by the page's script, and a list that explains its columns. Rows have the ids `method-1`…. */
export function methodTable({ methods, judges }: EvaluationSummary): string {
	const all = columns(judges, methods);
	const hidden = (column: Column) => (column.further ? ' class="further"' : "");
	const head = all.map((column) => `<th scope="col"${hidden(column)}><button type="button">${column.title}</button></th>`);
	const row = (method: MethodSummary, place: number) => {
		const cells = all.map((column) => {
			const tag = column.title === "Method" ? 'th scope="row"' : "td";
			const value = column.value(method, place);
			const sort = value === null ? "" : ` data-value="${typeof value === "string" ? escapeHtml(value) : value}"`;
			return `<${tag}${sort}${hidden(column)}>${column.shown(method, place)}</${tag.slice(0, 2)}>`;
		});
		return `<tr id="method-${place}">${cells.join("")}</tr>`;
	};
	const meanings = all.map(({ title, note }) => `<dt>${title}</dt><dd>${note}</dd>`);
	return `<div class="wide" role="region" aria-labelledby="methods-heading" tabindex="0">
<table id="methods" class="compact" aria-labelledby="methods-heading">
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${methods.map((method, i) => row(method, i + 1)).join("\n")}
</tbody></table></div>
<p class="quiet">In smaller type: 95 % intervals, by Wilson for shares, by bootstrap over prompts for means, of fewer than 30 prompts by Student’s t with the jackknife’s standard error (t), by jackknife over prompts for distinct-n.</p>
<details class="meanings"><summary>What the columns mean</summary><dl>${meanings.join("")}</dl></details>`;
}

/** Safety by the prompts' category; empty if the data set has no categories. */
export function categoryTable({ methods }: EvaluationSummary): string {
	const categories = Object.keys(methods[0]?.categories ?? {});
	if (categories.length === 0) return "";
	const cell = ({ safetyRate: { value, interval } }: CategorySummary) =>
		value === null ? "–" : `${percent(value)}${interval ? small(interval.map(percent).join(" to ")) : ""}`;
	const row = ({ name, categories: found }: MethodSummary) =>
		`<tr><th scope="row">${escapeHtml(name)}</th>${Object.values(found)
			.map((one) => `<td>${cell(one)}</td>`)
			.join("")}</tr>`;
	return `<h2 id="categories-heading">Safety by category</h2>
<div class="wide" role="region" aria-labelledby="categories-heading" tabindex="0">
<table id="categories" aria-labelledby="categories-heading">
<thead><tr><th scope="col">Method</th>${categories.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join("")}</tr></thead>
<tbody>
${methods.map(row).join("\n")}
</tbody></table></div>
<p class="quiet">Responses within every budget, among the answered ones, by the category that the data set gives the prompt.</p>
`;
}
