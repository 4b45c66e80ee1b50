import { type CostMetrics, type TrainCostOptions, trainCost } from "../training/train-cost.js";
import type { ProbeReport } from "../training/train-probe.js";
import { EpochBar } from "./epochs.js";
import { numbersOf, numeric } from "./loading.js";
import { printTable } from "./table.js";
import { say } from "./terminal.js";

const numberFlags = ["falseNegativeRate", "members", "shared", "epochs", "minutes", "seed", "threads"] as const;
type NumberFlags = Record<(typeof numberFlags)[number], string | undefined>;

type TrainCostFlags = Omit<TrainCostOptions, keyof NumberFlags | "layers" | "gpuLayers" | "onEpoch" | "signal"> &
	NumberFlags & { layers?: string; json?: boolean };

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

function row(name: string, m: CostMetrics): string[] {
	const bounds = m.aucInterval?.map((bound) => bound.toFixed(3)).join("–");
	const interval = bounds ? `${bounds}${m.aucIntervalMethod === "t" ? ", by t" : ""}` : "unknown";
	const rates = [percent(m.falseNegativeRate), percent(m.falsePositiveRate)];
	return [name, `${m.texts}`, `${m.unsafe}`, `${m.auc.toFixed(3)} (${interval})`, percent(m.accuracy), m.ece.toFixed(3), ...rates];
}

const inputsOf = (layers: number[], lastState: boolean) =>
	[...(layers.length > 0 ? [`mean behind ${layers.join(", ")}`] : []), ...(lastState ? ["last state"] : [])].join(" + ");

/** Prints the quality of probes with other inputs. */
function printInputs({ layers, inputs }: ProbeReport): void {
	const digits = (value: number | null | undefined) => value?.toFixed(3) ?? "–";
	const lengths = [...new Set(inputs.flatMap(({ byLength }) => byLength.map(({ tokens }) => tokens)))];
	say("");
	printTable([
		["probe on", "validation loss", "validation AUC", "test AUC", ...lengths.map((tokens) => `at ${tokens} tokens`)],
		...inputs.map(({ byLength, ...one }) => [
			inputsOf(one.layers, one.lastState),
			one.validationLoss.toFixed(3),
			digits(one.validationAuc),
			digits(one.testAuc),
			...lengths.map((length) => digits(byLength.find(({ tokens }) => tokens === length)?.auc)),
		]),
	]);
	say(`\nThe probe reads: ${inputsOf(layers, layers.length === 0)}.`);
}

export async function trainCostCommand(flags: TrainCostFlags): Promise<void> {
	const { json, layers, ...others } = flags;
	const numbers = Object.fromEntries(numberFlags.map((name) => [name, numeric(flags[name])])) as Record<
		keyof NumberFlags,
		number | undefined
	>;
	const bar = new EpochBar();
	const report = await trainCost({
		...others,
		...numbers,
		layers: layers === "auto" || layers === "last" ? layers : numbersOf(layers),
		onEpoch: (progress) => bar.show(progress),
	}).finally(() => bar.stop());
	if (json) {
		say(JSON.stringify(report));
		return;
	}
	printTable([
		["split", "texts", "unsafe", "AUC (95 % interval)", "accuracy", "calibration error", "passed of unsafe", "stopped of safe"],
		row("validation", report.validation),
		row("test", report.test),
	]);
	if (report.probe) printInputs(report.probe);
	say(`\nTrained on ${report.rows.train} texts in ${report.seconds.toFixed(1)} s, ${report.epochs} epochs.`);
	say(
		`Threshold ${report.threshold.toFixed(4)}: the default budget. It lets ${percent(report.validation.falseNegativeRate)} of the unsafe validation ` +
			`texts pass (asked: at most ${percent(report.wishedFalseNegativeRate)}).`,
	);
	say(`Wrote ${flags.out} and ${flags.out}.report.json`);
}
