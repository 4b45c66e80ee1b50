// The report of an evaluation as one self-contained HTML page: the table of methods, plots, and a viewer of responses.
import { moduleFile } from "../base/package-files.js";
import { escapeHtml, htmlPage, joinedModules } from "../report/page.js";
import { style } from "./report-style.js";
import { categoryTable, methodTable } from "./report-table.js";
import type { EvaluationSummary, ReportResponse } from "./types.js";

/** The modules of the page's script. */
const modules = ["elements", "method-table", "plots", "trace-tree", "responses", "main"].map((name) =>
	moduleFile(`evaluation/page/${name}.js`),
);

/** Every budget that occurs, by constraint. */
function budgetsOf(responses: ReportResponse[]): string {
	const constraints: Set<number>[] = [];
	for (const { costs } of responses) {
		costs.forEach(({ budget }, i) => {
			(constraints[i] ??= new Set()).add(budget);
		});
	}
	const lists = constraints.map((budgets) => [...budgets].sort((a, b) => a - b).join(", "));
	if (lists.length === 0) return "";
	return lists.length === 1 ? ` (here ${lists[0]})` : ` (here ${lists.map((list, i) => `${list} for constraint ${i + 1}`).join("; ")})`;
}

function judgesSentence(judges: string[]): string {
	const [first, ...others] = judges.map((judge) => `<b>${escapeHtml(judge)}</b>`);
	if (first === undefined)
		return "No independent judge was configured: nothing here says whether a model that the search never saw agrees.";
	const more = others.length === 0 ? "" : `; further judges, ${others.join(", ")}, stand among all columns`;
	return `“Judge’s safety” is the share of answers that the judge ${first}, a model that the search never saw, accepts${more}.`;
}

function header(summary: EvaluationSummary, responses: ReportResponse[], notes: string): string {
	const hash = (value: string) => `<code title="${escapeHtml(value)}">${escapeHtml(value.slice(0, 12))}</code>`;
	const facts = [
		["Prompts", summary.prompts],
		[summary.seeds.length === 1 ? "Seed" : "Seeds", summary.seeds.join(", ")],
		["Methods", summary.methods.length],
		["Model", hash(summary.modelHash)],
		["Configuration", hash(summary.configHash)],
	];
	const paragraphs = notes.split(/\n\s*\n/).filter((paragraph) => paragraph.trim() !== "");
	return `<header>
<h1>${escapeHtml(summary.name)}</h1>
<dl class="facts">${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>
<p>“Within budget” means within budget under the search’s cost model: a response’s discounted cost under each cost model that the search
used is at most that model’s budget${budgetsOf(responses)}; it says nothing beyond that model. ${judgesSentence(summary.judges)}</p>
${paragraphs.map((paragraph) => `<p>${escapeHtml(paragraph.trim())}</p>`).join("\n")}
<p class="warning">Content warning: prompts and responses below may be offensive or describe harm.</p>
</header>`;
}

/** Rounds numbers to the digits shown, because they are most of the page's size. */
function rounded(responses: ReportResponse[]): ReportResponse[] {
	const short = (_: string, value: unknown) =>
		typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
	// numbers that decide a verdict are not rounded
	return responses.map((response) => ({ ...JSON.parse(JSON.stringify(response, short)), costs: response.costs }));
}

/** The responses to the first prompts, as many as fit into this many bytes. */
function fitting(responses: ReportResponse[], bytes: number): ReportResponse[] {
	const sizes = new Map<string, number>();
	for (const response of responses) {
		sizes.set(response.prompt, (sizes.get(response.prompt) ?? 0) + Buffer.byteLength(JSON.stringify(response)));
	}
	let total = 0;
	const held = new Set<string>();
	for (const [prompt, size] of sizes) {
		total += size;
		if (total > bytes) break;
		held.add(prompt);
	}
	return responses.filter(({ prompt }) => held.has(prompt));
}

export interface ReportOptions {
	/** Plain text below the header; an empty line begins a new paragraph. Default none. */
	notes?: string;
	/** The largest size of the responses that the page holds; default 20. */
	reportMegabytes?: number;
}

/**
 * The report of an evaluation: one HTML page that works offline and shows all text literally. The same input gives the
 * same page. `#response=<n>` in its address opens the n-th of the responses that it holds, from 1; it says how many it does not hold.
 */
export async function evaluationReportPage(
	summary: EvaluationSummary,
	responses: ReportResponse[],
	{ notes = "", reportMegabytes = 20 }: ReportOptions = {},
): Promise<string> {
	const methods = summary.methods.map(({ name, family, candidates, estimates }) => ({
		name,
		family,
		candidates,
		reward: estimates.reward,
		generatedTokens: estimates.generatedTokens,
		safety: estimates.safetyRate,
		judges: estimates.judges,
	}));
	const body = `${header(summary, responses, notes)}
<main>
<noscript><p class="warning">Sorting, plots and the viewer of responses need JavaScript.</p></noscript>
<h2 id="methods-heading">Methods</h2>
<p class="controls"><label><input type="checkbox" id="all-columns"> All columns</label></p>
${methodTable(summary)}
<h2>Plots</h2>
<div id="plots"></div>
${categoryTable(summary)}<h2>Responses</h2>
<div id="responses"></div>
</main>`;
	const held = fitting(rounded(responses), 1e6 * reportMegabytes);
	const data = { judges: summary.judges, methods, responses: held, left: responses.length - held.length };
	const script = await joinedModules(modules);
	return htmlPage({ title: `${summary.name}: evaluation`, style, body, data, script, plots: true, asksServer: false });
}
