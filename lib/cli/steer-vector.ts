import { InvalidOptionError } from "../errors.js";
import { steerVector } from "../training/steer-vector.js";
import { numeric } from "./loading.js";
import { printTable } from "./table.js";
import { say } from "./terminal.js";

interface SteerVectorFlags {
	model: string;
	positive: string;
	negative: string;
	out: string;
	field?: string;
	chat?: boolean;
	now?: string;
	method?: "mean" | "pca";
	layers?: string;
	threads?: string;
	device?: string;
	seed?: string;
	json?: boolean;
}

export async function steerVectorCommand(flags: SteerVectorFlags): Promise<void> {
	const { layers, threads, seed, json, ...given } = flags;
	const [first, last = first, ...more] = layers?.split(":").map((layer) => numeric(layer) ?? Number.NaN) ?? [];
	if (more.length > 0) throw new InvalidOptionError(`layers: expected a range such as 4:12, got ${layers}`);
	const report = await steerVector({
		...given,
		layers: first === undefined ? undefined : [first, last as number],
		threads: numeric(threads),
		seed: numeric(seed),
	});
	if (json) {
		say(JSON.stringify(report));
		return;
	}
	const rows = report.layers.map(({ layer, norm, auc }) => [String(layer), norm.toFixed(3), auc.toFixed(3)]);
	printTable([["layer", "distance", "AUC"], ...rows]);
	const { positive, negative, heldOut } = report.prompts;
	say(`\n${positive} positive and ${negative} negative prompts, ${heldOut} of them held out for the AUC.`);
	say(`The gate reads layer ${report.gate.layer}: ${(100 * report.gate.accuracy).toFixed(1)} % of the held-out prompts on the right side.`);
	say(`Wrote ${flags.out} and ${flags.out}.report.json`);
}
