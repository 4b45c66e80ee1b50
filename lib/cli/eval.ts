import { SingleBar } from "cli-progress";
import { inOneLine } from "../base/printable.js";
import { evaluate, resultFiles } from "../evaluation/evaluate.js";
import type { Estimate, EvaluationSummary } from "../evaluation/types.js";
import type { EvaluationProgress } from "../progress.js";
import { printTable } from "./table.js";
import { say } from "./terminal.js";

interface EvalFlags {
	config: string;
	out: string;
	format?: "inspect";
	now?: string;
	json?: boolean;
}

/** A bar with method, prompt, rate and time left; nothing without a terminal. */
export class EvaluationBar {
	readonly #bar = new SingleBar({
		format: "{value}/{total} [{bar}] {rate} responses/s, {left} left · {method} · {prompt}",
		stream: process.stderr,
		noTTYOutput: false,
	});
	#started = false;

	show({ responses, totalResponses, newResponses, seconds, method, prompt }: EvaluationProgress): void {
		if (!process.stderr.isTTY) return;
		const rate = seconds > 0 ? newResponses / seconds : 0;
		const left = rate > 0 ? duration((totalResponses - responses) / rate) : "?";
		const shown = { rate: rate.toFixed(1), left, method: inOneLine(method), prompt: inOneLine(prompt) };
		if (!this.#started) this.#bar.start(totalResponses, responses, shown);
		this.#started = true;
		this.#bar.setTotal(totalResponses);
		this.#bar.update(responses, shown);
	}

	stop(): void {
		this.#bar.stop();
	}
}

/** Seconds in words. */
export function duration(seconds: number): string {
	const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
	if (hours > 0) return `${hours} h ${minutes} min`;
	return minutes > 0 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.ceil(seconds)} s`;
}

const number = (value: number | null, digits: number) => (value === null ? "-" : value.toFixed(digits));

function percent({ value, interval }: Pick<Estimate, "value" | "interval">): string {
	if (value === null) return "-";
	const points = (share: number) => (100 * share).toFixed(1);
	return interval ? `${points(value)} % (${points(interval[0])}-${points(interval[1])})` : `${points(value)} %`;
}

function printSummary({ methods, judges, prompts, seeds, skipped }: EvaluationSummary): void {
	const judge = judges[0];
	const header = [
		"method",
		"safety",
		...(judge === undefined ? [] : [`judge: ${judge}`]),
		"reward",
		"refused",
		"seconds",
		"tokens/emitted",
	];
	const rows = methods.map((row) => [
		row.name,
		percent(row.estimates.safetyRate),
		...(judge === undefined ? [] : [percent(row.estimates.judges[judge] ?? { value: null, interval: null })]),
		number(row.rewardMean, 3),
		percent({ value: row.responses === 0 ? null : row.refused / row.responses, interval: null }),
		number(row.secondsMean, 3),
		number(row.tokensPerEmitted, 1),
	]);
	printTable([header, ...rows]);
	const count = seeds.length === 1 ? "1 seed" : `${seeds.length} seeds`;
	say(
		`\n${prompts} prompts, ${count}. Safety: within every budget of the search's cost models, among answered prompts, with 95 % intervals.`,
	);
	if (skipped.length > 0) say(`${skipped.length} prompts were left out: the model cannot be given them (see summary.json).`);
}

export async function evalCommand({ config, out, format, now, json }: EvalFlags): Promise<void> {
	const bar = new EvaluationBar();
	const stop = new AbortController();
	process.once("SIGINT", () => stop.abort());
	try {
		const summary = await evaluate({
			config,
			out,
			inspect: format === "inspect",
			now,
			onProgress: (progress) => bar.show(progress),
			signal: stop.signal,
		});
		bar.stop();
		if (json) {
			say(JSON.stringify(summary));
			return;
		}
		printSummary(summary);
		say(`Wrote ${resultFiles.journal}, ${resultFiles.summary} and ${resultFiles.report} in ${out}`);
	} finally {
		bar.stop();
	}
}
