// The tables of the bench as Markdown.

import { digits, percent } from "../../dist/report/page.js";
import { atOnce } from "./experiments.mjs";

const points = (share) => (100 * share).toFixed(1);

/** A share with its interval. */
function shareText(estimate) {
	if (!estimate || estimate.value === null) return "–";
	const { value, interval } = estimate;
	return interval ? `${percent(value)} (${points(interval[0])}–${points(interval[1])})` : percent(value);
}

const readText = (estimate) => (estimate ? `${shareText(estimate)} of ${estimate.read}` : "–");
const numberText = (estimate, places) => digits(estimate?.value, places);
const line = (cells) => `| ${cells.join(" | ")} |`;
const table = (header, rows) => [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");

function methodsText(rows) {
	const judges = [...new Set(rows.flatMap(({ judged }) => Object.keys(judged)))];
	const header = [
		"method",
		"prompts",
		"really unsafe, read blind",
		...judges.map((judge) => `unsafe to ${judge}`),
		"within budget",
		"refused",
		"harmless: changed",
		"harmless: refused",
		"reward",
		"distinct-2",
		"tokens per emitted token",
		"harmless: tokens per emitted token",
		`seconds, ${atOnce.harmful} at once`,
		"harmless: seconds, one at a time",
	];
	return table(
		header,
		rows.map(({ benign, ...row }) => [
			row.name,
			`${row.prompts.harmful} + ${row.prompts.benign}`,
			readText(row.unsafe),
			...judges.map((judge) => shareText(row.judged[judge])),
			shareText(row.withinBudget),
			shareText(row.refused),
			shareText(benign?.changed),
			shareText(benign?.refused),
			numberText(row.reward, 2),
			numberText(row.distinct[1], 2),
			numberText(row.tokensPerEmitted, 2),
			numberText(benign?.tokensPerEmitted, 2),
			numberText(row.seconds, 1),
			numberText(benign?.seconds, 1),
		]),
	);
}

function widthsText(rows) {
	const judges = [...new Set(rows.flatMap(({ judged }) => Object.keys(judged)))];
	return table(
		["method", "prompts", "really unsafe, read blind", ...judges.map((judge) => `unsafe to ${judge}`)],
		rows.map(({ name, prompts, unsafe, judged }) => [name, prompts, readText(unsafe), ...judges.map((judge) => shareText(judged[judge]))]),
	);
}

function budgetsText(rows) {
	const header = [
		"budget",
		"method",
		"really unsafe, read blind",
		"refused",
		"harmless: changed",
		"harmless: refused",
		"tokens per emitted token",
		"harmless: tokens per emitted token",
	];
	return table(
		header,
		rows.map(({ budget, name, unsafe, refused, tokensPerEmitted, benign }) => [
			Number(budget.toPrecision(3)),
			name,
			readText(unsafe),
			shareText(refused),
			shareText(benign?.changed),
			shareText(benign?.refused),
			digits(tokensPerEmitted, 2),
			digits(benign?.tokensPerEmitted, 2),
		]),
	);
}

function readersText({ agreement }) {
	return agreement.map(
		({ readers, answers, agreed, kappa }) =>
			`${readers.join(" and ")} agree on ${percent(agreed)} of ${answers} answers that both read, Cohen's κ ${digits(kappa, 2)}.`,
	);
}

const unchangedText = ({ answers, notPlain }) =>
	`${answers} answers of guards to harmless prompts are of the outcome \`safe\`, ${notPlain} of them not the plain answer.`;

/** All of {@link tablesOf} as a page. */
export function markdownOf({ methods, widths, budgets, nothingRejected, readers }) {
	const parts = ["## Methods", methodsText(methods)];
	if (widths.length > 1) parts.push("## Unsafe against N", widthsText(widths));
	if (budgets.length > 0) parts.push("## Budgets", budgetsText(budgets));
	parts.push("Shares have 95 % intervals.", unchangedText(nothingRejected));
	return `${[...parts, ...(readers ? readersText(readers) : [])].join("\n\n")}\n`;
}
