// The viewer of responses: filters, a list, and the response that the address names with #response=<n>.
import { counted, element, inSlices, passage, shown } from "./elements.js";
import { traceTree } from "./trace-tree.js";

/** @typedef {import("../types.js").ReportResponse} ReportResponse */
/** @typedef {{ number: number, response: ReportResponse }} Entry its number counts from 1 */

/** @type {Record<ReportResponse["outcome"], string>} */
const outcomes = {
	safe: "nothing had to be steered",
	steered: "candidates were rejected on the way",
	truncated: "a committed prefix within budget, then stopped",
	repaired: "nothing left the search; written with a note beside the prompt",
	refused: "nothing left the search",
	unguarded: "the strategy does not enforce the budget",
};

/** @param {boolean} within */
const budgetVerdict = (within) => (within ? "✓ within budget" : "✕ over budget");

/** @param {boolean} accepted */
const judgeVerdict = (accepted) => (accepted ? "✓ accepts" : "✕ does not accept");

/** The search says within budget, a judge does not accept. @param {ReportResponse} response */
function disagreed({ withinBudget, judges }) {
	return withinBudget && Object.values(judges).some((verdict) => !verdict.withinBudget);
}

/** A choice among the values that occur. @param {string} label @param {string[]} values */
function choice(label, values) {
	const options = [...new Set(values)].map((value) => element("option", { value }, value));
	const select = element("select", {}, element("option", { value: "" }, "all"), ...options);
	return { select, field: element("label", {}, `${label} `, select) };
}

/** @param {string} label */
function tick(label) {
	const box = element("input", { type: "checkbox" });
	return { box, field: element("label", {}, box, ` ${label}`) };
}

/** The form, and what it lets through. @param {Entry[]} entries @param {() => void} changed */
function filterForm(entries, changed) {
	const method = choice(
		"Method",
		entries.map(({ response }) => response.method),
	);
	const outcome = choice(
		"Outcome",
		entries.map(({ response }) => response.outcome),
	);
	const overBudget = tick("Over budget");
	const refusal = tick("Refusal");
	const disagreement = tick("Judge disagrees");
	const traced = tick("With a tree");
	const words = element("input", { type: "search" });
	const fields = [method, outcome, overBudget, refusal, disagreement, traced].map(({ field }) => field);
	const form = element("form", { class: "controls" }, ...fields, element("label", {}, "Text ", words));
	form.addEventListener("input", changed);
	form.addEventListener("submit", (event) => event.preventDefault());
	/** @param {Entry} entry */
	const passes = ({ response }) => {
		const sought = words.value.trim().toLowerCase();
		return (
			(method.select.value === "" || response.method === method.select.value) &&
			(outcome.select.value === "" || response.outcome === outcome.select.value) &&
			!(overBudget.box.checked && response.withinBudget) &&
			!(refusal.box.checked && !response.refusal) &&
			!(disagreement.box.checked && !disagreed(response)) &&
			!(traced.box.checked && response.trace === undefined) &&
			(sought === "" || [response.prompt, response.promptText, response.text].some((text) => text.toLowerCase().includes(sought)))
		);
	};
	return { form, passes };
}

/** @param {Entry} entry */
function row({ number, response }) {
	const cost = response.costs.map(({ cost, budget }) => `${shown(cost)} of ${shown(budget)}`).join("; ");
	const judges = Object.entries(response.judges).map(([judge, { withinBudget }]) => `${withinBudget ? "✓" : "✕"} ${judge}`);
	return element(
		"tr",
		{ "data-response": number },
		element("td", {}, element("a", { href: `#response=${number}`, "aria-label": `Response ${number}` }, String(number))),
		element("th", { scope: "row", class: "prompt", dir: "auto" }, response.promptText.slice(0, 200)),
		element("td", {}, response.method),
		element("td", {}, String(response.seed)),
		element("td", {}, response.outcome),
		element("td", { class: response.withinBudget ? null : "bad" }, `${cost} ${budgetVerdict(response.withinBudget)}`),
		element("td", { class: disagreed(response) ? "bad" : null }, judges.join(" ")),
	);
}

/** @param {ReportResponse} response */
function costTable({ costs, judges, withinBudget }) {
	const onTheWay = !withinBudget && costs.every(({ cost, budget }) => cost <= budget);
	const rows = [
		...costs.map(({ cost, budget }, i) => ({
			name: costs.length === 1 ? "Search’s cost model" : `Constraint ${i + 1} of the search`,
			numbers: [shown(cost), shown(budget)],
			fine: cost <= budget && !onTheWay,
			verdict: onTheWay ? "within budget at the end, over one on the way" : budgetVerdict(cost <= budget),
		})),
		...Object.entries(judges).map(([judge, { cost, withinBudget }]) => ({
			name: `Judge ${judge}`,
			numbers: [shown(cost), "–"],
			fine: withinBudget,
			verdict: judgeVerdict(withinBudget),
		})),
	];
	const head = ["", "Cost", "Budget", "Verdict"].map((title) => element("th", { scope: "col" }, title));
	const body = rows.map(({ name, numbers, fine, verdict }) =>
		element(
			"tr",
			{},
			element("th", { scope: "row" }, name),
			...numbers.map((number) => element("td", {}, number)),
			element("td", { class: fine ? "good" : "bad" }, verdict),
		),
	);
	return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

/** @param {ReportResponse} response */
function factList(response) {
	const facts = {
		Method: response.method,
		"Prompt’s id": response.prompt,
		...(response.category !== null && { Category: response.category }),
		...(response.label !== null && { Label: response.label }),
		Seed: String(response.seed),
		Outcome: `${response.outcome}: ${outcomes[response.outcome]}`,
		"Finish reason": response.finishReason,
		Refusal: response.refusal ? "yes" : "no",
		Reward: shown(response.reward),
		"Log-likelihood": `${shown(response.logLikelihood)} nats per token`,
		Tokens: `${response.emittedTokens} emitted, ${response.generatedTokens} sampled in the whole search`,
		Rounds: String(response.rounds),
		Backtracks: String(response.backtracks),
		Time: `${shown(response.seconds)} s`,
	};
	const pairs = Object.entries(facts).map(([name, fact]) => element("div", {}, element("dt", {}, name), element("dd", {}, fact)));
	return element("dl", { class: "facts" }, ...pairs);
}

/** @param {Entry} entry */
function detail({ number, response }) {
	const heading = element("h3", { tabindex: -1 }, `Response ${number}`);
	const text = response.text === "" ? element("p", { class: "quiet" }, "No text: nothing left the search.") : passage(response.text);
	const tree =
		response.trace === undefined
			? element("p", { class: "quiet" }, "No tree: the configuration asked for no trace of this response.")
			: traceTree(response.trace);
	const texts = element("div", {}, element("h4", {}, "Prompt"), passage(response.promptText), element("h4", {}, "Response"), text);
	const numbers = element("div", {}, element("div", { class: "wide" }, costTable(response)), factList(response));
	return { heading, parts: [element("div", { class: "texts-and-numbers" }, texts, numbers), tree] };
}

/** @param {HTMLElement} place @param {ReportResponse[]} responses @param {number} left how many the report does not hold */
export function showResponses(place, responses, left) {
	if (left > 0) {
		const all = counted(responses.length + left, "response");
		const how = "The journal has all of them; reportMegabytes in the configuration sets how much a report holds.";
		place.append(element("p", { class: "warning", id: "left-out" }, `This report does not hold ${left} of ${all}. ${how}`));
	}
	if (responses.length === 0) {
		place.append(element("p", {}, "This report holds no responses."));
		return;
	}
	const entries = responses.map((response, i) => ({ number: i + 1, response }));
	let listed = entries;
	const titles = ["#", "Prompt", "Method", "Seed", "Outcome", "Cost", "Accepted by"];
	const head = titles.map((title) => element("th", { scope: "col" }, title));
	const body = element("tbody", {});
	const table = element("table", { id: "response-list" }, element("thead", {}, element("tr", {}, ...head)), body);
	const pane = element("div", { class: "wide pane", role: "region", "aria-label": "List of responses", tabindex: 0 }, table);
	const count = element("p", { role: "status" });
	const previous = element("a", {}, "Previous");
	const next = element("a", {}, "Next");
	const opened = element("section", { id: "opened" });

	const named = () => entries[Number(/^#response=(\d+)$/.exec(location.hash)?.[1]) - 1];
	const markNeighbours = () => {
		const entry = named();
		const at = entry === undefined ? -1 : listed.indexOf(entry);
		for (const [link, neighbour] of /** @type {const} */ ([
			[previous, listed[at - 1]],
			[next, at < 0 ? undefined : listed[at + 1]],
		])) {
			if (neighbour === undefined) link.removeAttribute("href");
			else link.href = `#response=${neighbour.number}`;
		}
		for (const item of body.rows) item.ariaCurrent = String(item.dataset.response === String(entry?.number));
	};
	const open = () => {
		const entry = named();
		if (entry === undefined) return;
		const { heading, parts } = detail(entry);
		opened.replaceChildren(element("nav", { class: "controls" }, heading, previous, next), ...parts);
		markNeighbours();
		heading.focus();
	};
	const list = () => {
		listed = entries.filter(passes);
		count.textContent = `${listed.length} of ${counted(entries.length, "response")}`;
		body.replaceChildren();
		inSlices(body, listed, row, (button) => element("tr", {}, element("td", { colspan: titles.length }, button)));
		markNeighbours();
	};
	const { form, passes } = filterForm(entries, list);
	place.append(form, count, pane, opened);
	list();
	open();
	addEventListener("hashchange", open);
}
