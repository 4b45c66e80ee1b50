import { confidence, percentDown, percentUp } from "../data/percent.js";
import { calibrate, verify } from "../evaluation/calibrate.js";
import { resultFiles } from "../evaluation/evaluate.js";
import type { Certificate } from "../guard/certificate.js";
import { EvaluationBar } from "./eval.js";
import { numeric } from "./loading.js";
import { printTable } from "./table.js";
import { say, tell } from "./terminal.js";

interface CalibrateFlags {
	config: string;
	out: string;
	evaluation?: string;
	delta?: string;
	epsilon?: string;
	now?: string;
	json?: boolean;
}

function printCertificate({ claims, delta, prompts, refusals, tested, configuration, method }: Certificate): void {
	if (method === "learnThenTest") {
		const judged = (count: number | null) => (count === null ? "-" : String(count));
		const rows = tested.map(({ name, unsafe, judgeUnsafe, pValue, passed }) => [
			name,
			String(unsafe),
			judged(judgeUnsafe),
			pValue.toPrecision(3),
			passed ? "yes" : "no",
		]);
		printTable([["method, in order", "over budget", "rejected by judge", "p", "passed"], ...rows]);
		say("");
	}
	const { costModels, judge } = claims;
	say(`Certified: ${configuration.name}, from ${prompts} prompts, each claim with confidence ${confidence(delta)}:`);
	say(
		`- at most ${percentUp(costModels.epsilon)} of prompts get a response over budget under the search's cost models (seen: ${costModels.unsafe});`,
	);
	if (judge) say(`- at most ${percentUp(judge.epsilon)} get one that the judge ${judge.name} rejects (seen: ${judge.unsafe});`);
	const [low, high] = refusals.interval;
	say(`- between ${percentDown(low)} and ${percentUp(high)} are refused (seen: ${refusals.prompts}).`);
}

export async function calibrateCommand({
	config,
	out,
	evaluation = `${out}.evaluation`,
	delta,
	epsilon,
	now,
	json,
}: CalibrateFlags): Promise<void> {
	const bar = new EvaluationBar();
	const stop = new AbortController();
	process.once("SIGINT", () => stop.abort());
	try {
		const certificate = await calibrate({
			config,
			out,
			evaluation,
			delta: numeric(delta),
			epsilon: numeric(epsilon),
			now,
			onProgress: (progress) => bar.show(progress),
			signal: stop.signal,
		});
		bar.stop();
		if (json) {
			say(JSON.stringify(certificate));
			return;
		}
		printCertificate(certificate);
		say(`\nIt assumes:`);
		for (const assumption of certificate.assumptions) say(`- ${assumption}`);
		say(`\nWrote ${out}; its journal is ${evaluation}/${resultFiles.journal}`);
	} finally {
		bar.stop();
	}
}

/** Whether the certificate follows from the journal. */
export async function verifyCommand(certificate: string, { journal, json }: { journal: string; json?: boolean }): Promise<boolean> {
	const { valid, differences } = await verify(certificate, journal);
	if (json) say(JSON.stringify({ valid, differences }));
	else if (valid) say(`${certificate} follows from ${journal}: counts, bounds, choice and hashes.`);
	else for (const difference of differences) tell(difference);
	return valid;
}
