import { InvalidOptionError } from "../errors.js";
import { type CriticReport, criticAdvice, interventionRate, positionTable } from "../training/critic-report.js";
import { type CriticInput, trainCritic } from "../training/train-critic.js";
import { EpochBar } from "./epochs.js";
import { numeric } from "./loading.js";
import { printTable } from "./table.js";
import { say } from "./terminal.js";

interface TrainFlags {
	rollouts: string;
	out: string;
	inputs?: string;
	layers?: string;
	width?: string;
	members?: string;
	budgets: string[];
	epochs?: string;
	batch?: string;
	learningRate?: string;
	weightDecay?: string;
	seed?: string;
	threads?: string;
	device?: string;
	json?: boolean;
}

const shown = (value: number | null) => (value === null ? "-" : value.toFixed(3));

function rangeOf(given: string): [number, number] {
	const [lowest, highest = lowest, ...rest] = given.split(":").map((part) => numeric(part) ?? Number.NaN);
	if (rest.length > 0) throw new InvalidOptionError(`budgets: expected a range such as 0:2, got ${given}`);
	return [lowest as number, highest as number];
}

function printReport(report: CriticReport): void {
	const { rollouts, test, training } = report;
	printTable(positionTable(report));
	const { pSafe, value, baselines } = test;
	say(`\nOn ${test.prompts} prompts that were not trained on, under the budgets ${test.budgets.join(", ")}:`);
	say(`pSafe: AUC ${shown(pSafe.auc)}, among feasible states ${shown(pSafe.aucFeasible)}; calibration error ${shown(pSafe.ece)};`);
	say(
		`Brier ${shown(pSafe.brier)} (constant rate ${shown(baselines.constantRate.brier)}, prompt's own rate ${shown(baselines.promptRateBrier)}).`,
	);
	say(
		`A search with it changes at most ${100 * interventionRate} % of responses that end within budget (satisfiedPSafe ${shown(test.satisfiedPSafe)}).`,
	);
	for (const { inputs, aucFeasible } of report.ablations) {
		say(`One that reads ${inputs.join(", ")} only: AUC among feasible states ${shown(aucFeasible)}.`);
	}
	say(`value: correlation ${shown(value.correlation)}, RMSE ${shown(value.rmse)}.`);
	say(
		`Trained on ${training.examples} states in ${training.seconds.toFixed(1)} s: ${training.epochs} epochs, ${training.parameters} parameters.`,
	);
	if (rollouts.missingBatches > 0) {
		say(
			`${rollouts.missingBatches} batches of the rollouts are missing or damaged: run \`inferenceguard rollouts\` again to complete them.`,
		);
	}
	const advice = criticAdvice(report);
	if (advice !== undefined) say(`\n${advice}`);
}

export async function trainCommand(flags: TrainFlags): Promise<void> {
	const bar = new EpochBar();
	const report = await trainCritic({
		rollouts: flags.rollouts,
		out: flags.out,
		inputs: flags.inputs?.split(",").map((name) => name.trim() as CriticInput),
		layers: numeric(flags.layers),
		width: numeric(flags.width),
		members: numeric(flags.members),
		budgets: flags.budgets.length > 0 ? flags.budgets.map(rangeOf) : undefined,
		epochs: numeric(flags.epochs),
		batch: numeric(flags.batch),
		learningRate: numeric(flags.learningRate),
		weightDecay: numeric(flags.weightDecay),
		seed: numeric(flags.seed),
		threads: numeric(flags.threads),
		device: flags.device,
		onEpoch: (progress) => bar.show(progress),
	}).finally(() => bar.stop());
	if (flags.json) {
		say(JSON.stringify(report));
		return;
	}
	printReport(report);
	say(`\nWrote ${flags.out}, ${flags.out}.report.json and ${flags.out}.report.html`);
}
