// The report of a critic as one self-contained HTML page.
import { digits, htmlPage, percent } from "../report/page.js";
import { type CriticReport, criticAdvice, intervalText, positionTable } from "./critic-report.js";

const cells = (tag: string, values: (string | number)[]) => `<tr>${values.map((value) => `<${tag}>${value}</${tag}>`).join("")}</tr>`;

function table(header: string[], rows: (string | number)[][]): string {
	return `<div class="wide"><table><thead>${cells("th", header)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table></div>`;
}

function summaryTable({ test, training, rollouts, ablations }: CriticReport): string {
	const { pSafe, value, baselines } = test;
	return table(
		["", ""],
		[
			["AUC of pSafe", `${digits(pSafe.auc)} (${intervalText(pSafe.aucInterval, pSafe.aucIntervalMethod)})`],
			[
				"AUC among feasible states",
				`${digits(pSafe.aucFeasible)} (${intervalText(pSafe.aucFeasibleInterval, pSafe.aucFeasibleIntervalMethod)})`,
			],
			["Expected calibration error, all / feasible", `${digits(pSafe.ece)} / ${digits(pSafe.eceFeasible)}`],
			["Brier score, all / feasible", `${digits(pSafe.brier)} / ${digits(pSafe.brierFeasible)}`],
			["Brier score of the constant rate", `${digits(baselines.constantRate.brier)} (${percent(baselines.constantRate.rate)} end safe)`],
			["Brier score of the prompt's own rate", digits(baselines.promptRateBrier)],
			["Correlation and RMSE of value", `${digits(value.correlation)}, ${digits(value.rmse)}`],
			["Prompts: train / validation / test", `${rollouts.prompts.train} / ${rollouts.prompts.validation} / ${rollouts.prompts.test}`],
			["States that trained", training.examples],
			["Network", `${training.members} members of ${training.layers} layers of ${training.width}, ${training.parameters} parameters`],
			["Inputs", training.inputs.join(", ")],
			...ablations.map(({ inputs, aucFeasible, aucFeasibleInterval, aucFeasibleIntervalMethod }) => [
				`AUC among feasible states on ${inputs.join(", ")} only`,
				`${digits(aucFeasible)} (${intervalText(aucFeasibleInterval, aucFeasibleIntervalMethod)})`,
			]),
			["Budgets trained for", training.budgets.map(([low, high]) => `${digits(low)}–${digits(high)}`).join("; ") || "none"],
			["Budgets reported on", test.budgets.map((budget) => digits(budget)).join("; ") || "none"],
			["Training", `${training.epochs} epochs, ${training.seconds.toFixed(1)} s`],
		],
	);
}

const style = ".uplot { background: #fff; color: #222; padding: .5rem; border-radius: .4rem; }";

/** Draws both plots in the page; the page contains its source. */
const script = `
const report = JSON.parse(document.getElementById("data").textContent);
const size = { width: 520, height: 380 };
const axes = (x, y) => [{ label: x }, { label: y }];
const line = (label, stroke, more) => ({ label, stroke, width: 2, points: { show: true, size: 7, fill: stroke }, ...more });
const curve = report.test.pSafe.calibration;
new uPlot({ ...size, title: "Calibration of pSafe, feasible states", scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
	axes: axes("predicted", "share that ended safe"),
	series: [{ label: "predicted" }, line("critic", "#06c"), { label: "perfect", stroke: "#999", dash: [6, 4], points: { show: false } }] },
	[curve.map((bin) => bin.predicted), curve.map((bin) => bin.observed), curve.map((bin) => bin.predicted)], document.getElementById("calibration"));
const at = report.test.byPosition;
const bound = (i) => at.map((p) => p.aucFeasibleInterval ? p.aucFeasibleInterval[i] : null);
const rows = [["prompt's own rate", "#393", at.map((p) => p.baselines.promptRate)], ["cost so far", "#c60", at.map((p) => p.baselines.costSoFar)],
	["cost model on the text", "#a3a", at.map((p) => p.baselines.costModel)]].filter(([, , values]) => values.some((v) => v !== null));
const edge = { stroke: "#06c4", width: 1, points: { show: false } };
new uPlot({ ...size, title: "AUC by position, feasible states", scales: { x: { time: false }, y: { range: [0.4, 1] } },
	axes: axes("response tokens", "AUC"), bands: [{ series: [3, 2], fill: "#06c2" }],
	series: [{ label: "tokens" }, line("critic", "#06c"), { label: "95 % low", ...edge }, { label: "95 % high", ...edge }, ...rows.map(([label, color]) => line(label, color))] },
	[at.map((p) => p.position), at.map((p) => p.aucFeasible), bound(0), bound(1), ...rows.map(([, , values]) => values)], document.getElementById("auc"));`;

/** One self-contained HTML page: summary, calibration curve, AUC by position, and the table of their data. */
export function criticReportPage(report: CriticReport): Promise<string> {
	const [header = [], ...rows] = positionTable(report);
	const advice = criticAdvice(report);
	const warning = advice === undefined ? "" : `<p class="warning">${advice}</p>`;
	const body = `<h1>Critic report</h1>
<p>Measured on ${report.test.prompts} prompts that the critic was not trained on (${report.test.states} states).</p>
${warning}
${summaryTable(report)}
<div class="plots"><div id="calibration"></div><div id="auc"></div></div>
<h2>By position</h2>
${table(header, rows)}`;
	return htmlPage({ title: "Critic report", style, body, data: report, script, plots: true, asksServer: false });
}
