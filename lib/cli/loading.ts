import { extname } from "node:path";
import { SingleBar } from "cli-progress";
import { recogniseCost } from "../costs/index.js";
import { isGguf } from "../data/text-file.js";
import { InvalidOptionError } from "../errors.js";
import { InferenceGuard } from "../guard/guard.js";
import { callAddon } from "../native/addon.js";
import { engineRows } from "../options/engine.js";
import type { ConstraintOptions, CostModel, LoadOptions, RewardModel, SteeringOptions } from "../options/types.js";
import { optionsFrom } from "./row-flags.js";

/** Shows the progress of work on a terminal. */
export async function withBar<T>(name: string, work: (onProgress: (share: number) => void) => Promise<T>): Promise<T> {
	const bar = new SingleBar({
		format: `${name} [{bar}] {percentage}%`,
		clearOnComplete: true,
		noTTYOutput: false,
		stream: process.stderr,
	});
	if (process.stderr.isTTY) bar.start(100, 0);
	try {
		return await work((share) => bar.update(Math.round(share * 100)));
	} finally {
		bar.stop();
	}
}

/** Loads a guard with a progress bar on a terminal. */
export function loadWithProgress(options: LoadOptions): Promise<InferenceGuard> {
	return withBar("loading model", (onLoadProgress) => InferenceGuard.load({ ...options, onLoadProgress }));
}

/** Reads a number from the command line. Anything else is left for the option's own check to reject. */
export function numeric(given: string | undefined): number | undefined {
	return given === undefined ? undefined : Number(given === "" ? Number.NaN : given);
}

/** Reads a comma-separated list. */
export const listed = (given: string | undefined) => given?.split(",").map((one) => one.trim());

/** Reads comma-separated numbers. */
export const numbersOf = (given: string | undefined) => listed(given)?.map((part) => numeric(part) ?? Number.NaN);

/** Collects an option that may be given several times. */
export const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value];

/** `harm` is the judge in this package. A GGUF file identifies its own kind of cost model. Anything else is a lexicon. */
function costOf(file: string): CostModel {
	if (file === "harm") return "harm";
	if (!isGguf(file) && extname(file).toLowerCase() !== ".gguf") return { lexicon: file };
	return recogniseCost(
		file,
		callAddon((native) => native.inspect(file)),
	) as CostModel; // any other language model is taken for a guard LLM
}

/** Options per cost model, in order; undefined if given in another way. */
export interface ConstraintFlags {
	cost: string[];
	budget: (string | undefined)[];
	discount?: string[];
	costFloor?: string[];
	criterion?: string[];
}

/** Cost models and their budgets; without a cost model, the default one. */
export function constraintsOf({
	cost: costs,
	budget,
	discount = [],
	costFloor = [],
	criterion = [],
}: ConstraintFlags): Pick<LoadOptions, "constraints" | "budget"> {
	const most = Math.max(1, costs.length);
	for (const [name, list] of Object.entries({ budget, discount, costFloor, criterion })) {
		if (list.length > most) throw new InvalidOptionError(`${name}: expected at most one per cost model (${most}), got ${list.length}`);
	}
	const ofNth = (n: number) => ({
		budget: numeric(budget[n]),
		discount: numeric(discount[n]),
		costFloor: costFloor[n] === "null" ? null : (numeric(costFloor[n]) as 0 | undefined),
		criterion: criterion[n] as ConstraintOptions["criterion"],
	});
	if (costs.length === 0) return ofNth(0);
	return { constraints: costs.map((file, n) => ({ cost: costOf(file), ...ofNth(n) })) };
}

/** A lexicon of desirable terms. */
export function rewardOf(file: string | undefined): RewardModel | undefined {
	return file === undefined ? undefined : { lexicon: file };
}

/** What a guard is loaded from. The flags of the engine are in its table. */
export interface GuardFlags extends ConstraintFlags {
	model: string;
	reward?: string;
	critic?: string;
	certificate?: string;
	onMismatch?: "warn" | "refuse";
	steering?: string;
	strength?: string;
	sparsity?: string;
	gate?: boolean;
}

function steeringOf({ steering, strength, sparsity, gate }: GuardFlags): SteeringOptions | undefined {
	if (steering !== undefined) return { vector: steering, strength: numeric(strength) ?? 1, sparsity: numeric(sparsity), gate };
	if (strength === undefined && sparsity === undefined && gate === undefined) return undefined;
	throw new InvalidOptionError("steering: expected a control vector (--steering) with --strength, --sparsity and --gate, got none");
}

function certificateOf({ certificate, onMismatch }: GuardFlags): LoadOptions["certificate"] {
	if (certificate !== undefined) return { file: certificate, onMismatch };
	if (onMismatch === undefined) return undefined;
	throw new InvalidOptionError("onMismatch: expected a certificate (--certificate) with it, got none");
}

export const guardOptionsOf = (flags: GuardFlags): LoadOptions => ({
	model: flags.model,
	...constraintsOf(flags),
	reward: rewardOf(flags.reward),
	critic: flags.critic,
	steering: steeringOf(flags),
	certificate: certificateOf(flags),
	...optionsFrom(flags, engineRows),
});
