import { once } from "node:events";
import { wilsonInterval } from "../data/statistics.js";
import { type JoinReport, joinLabels } from "../labelling/join-labels.js";
import { labelPath } from "../labelling/label-file.js";
import { unsafeLabel } from "../labelling/label-scheme.js";
import { serveLabels } from "../labelling/label-server.js";
import { percent } from "../report/page.js";
import { listed } from "./loading.js";
import { printTable } from "./table.js";
import { say } from "./terminal.js";

interface LabelFlags {
	labels?: string;
	categories?: string;
	reader?: string;
	out?: string;
	export?: string;
	json?: boolean;
}

const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, count) => sum + count, 0);

function unsafeShare(counts: Record<string, number>): string {
	const [unsafe, all] = [counts[unsafeLabel] ?? 0, total(counts)];
	const [low, high] = wilsonInterval(unsafe, all) ?? [0, 1];
	return `${percent(unsafe / all)} (${percent(low)} to ${percent(high)})`;
}

function printMethods({ methods, labels }: JoinReport): void {
	const names = Object.keys(labels);
	const rows = Object.entries(methods).map(([method, counts]) => [
		method,
		...names.map((name) => `${counts[name] ?? 0}`),
		unsafeShare(counts),
	]);
	if (rows.length > 0) printTable([["method", ...names, `${unsafeLabel} of these (95 % interval)`], ...rows]);
}

async function exportLabels(answers: string, out: string, { reader, out: file, json }: LabelFlags): Promise<void> {
	const own = file ?? (reader === undefined ? undefined : labelPath(answers, reader));
	const report = await joinLabels({ answers, out, ...(own !== undefined && { labels: [own] }) });
	if (json) {
		say(JSON.stringify(report));
		return;
	}
	printMethods(report);
	const { empty, unlabelled, undecided, disagreed } = report.leftOut;
	for (const { readers, answers, agreed, kappa } of report.agreement) {
		say(`${readers.join(" and ")} agree on ${percent(agreed)} of ${answers} answers, Cohen's κ ${kappa?.toFixed(2) ?? "unknown"}`);
	}
	say(
		`Wrote ${total(report.labels)} labelled answers to ${out}. Left out: ${undecided} undecided, ${disagreed} on which readers disagree, ` +
			`${unlabelled} without a label, ${empty} without a response`,
	);
}

async function serve(answers: string, { reader, out, ...flags }: LabelFlags): Promise<void> {
	const stopped = Promise.race(["SIGINT", "SIGTERM"].map((signal) => once(process, signal)));
	await using server = await serveLabels({ answers, labels: listed(flags.labels), categories: listed(flags.categories), reader, out });
	say(`${server.labelled} of ${server.answers} answers are labelled. Label the others in a browser:\n\n  ${server.url}\n`);
	say(`Labels go into ${server.out} as they are given. Ctrl-C ends this; the next time it goes on.`);
	await stopped;
	say(`${server.labelled} of ${server.answers} answers are labelled in ${server.out}`);
}

export async function labelCommand(answers: string, flags: LabelFlags): Promise<void> {
	if (flags.export === undefined) await serve(answers, flags);
	else await exportLabels(answers, flags.export, flags);
}
