import { defaultBudget, nativeCost } from "../costs/index.js";
import { nativeReward } from "../costs/rewards.js";
import { InvalidOptionError } from "../errors.js";
import type { NativeConstraint, NativeSpec } from "../native/protocol.js";
import type { CheckedLoadOptions, CheckedScorerOptions } from "../options/load.js";
import type { GuardSpec } from "./native-guard.js";

type Constraint = CheckedLoadOptions["constraints"][number];

async function nativeConstraint(constraint: Constraint, model: string | undefined): Promise<NativeConstraint> {
	const { cost, budget, discount, criterion, costFloor } = constraint;
	const native = await nativeCost(cost, model);
	return { ...native, budget: budget ?? defaultBudget(native), discount, criterion, floored: costFloor === 0 };
}

const nativeDevice = ({
	device,
	gpuLayers,
	threads,
	useMmap = true,
	useMlock = false,
}: Pick<CheckedLoadOptions, "device" | "gpuLayers" | "threads"> & Partial<Pick<CheckedLoadOptions, "useMmap" | "useMlock">>) => ({
	device,
	...(gpuLayers !== "all" && { gpuLayers }),
	threads,
	useMmap,
	useMlock,
});

/** A model without cost models. */
export function baseSpec(path: string, options: Parameters<typeof nativeDevice>[0]): NativeSpec {
	return { ...nativeDevice(options), constraints: [], reward: "logLikelihood", path, outputs: "auto" };
}

/** Reads the files that checked options name (lexicons), and brings everything into the addon's form. */
export async function nativeSpec(options: CheckedLoadOptions): Promise<GuardSpec> {
	const { model } = options;
	const file = typeof model === "string" ? model : undefined;
	const shared = {
		...nativeDevice(options),
		isolate: options.isolate,
		constraints: await Promise.all(options.constraints.map((constraint) => nativeConstraint(constraint, file))),
		...(options.critic !== undefined && { critic: options.critic }),
		...(await nativeReward(options.reward)),
	};
	if (typeof model === "string") {
		const { kvCells, contextSize, outputs, steering } = options;
		return { ...shared, path: model, kvCells, contextSize, outputs, steering };
	}
	if (model.oracle && shared.constraints.some(({ kind }) => kind !== "tokenCosts")) {
		throw new InvalidOptionError("model.oracle: expected every cost to be { tokenCosts } for the exact critic, got another cost model");
	}
	const { pieces, logits, ends, maxSequences, oracle } = model;
	const tabular = { pieces, logits: Float32Array.from(logits.flat()), ends: Int32Array.from(ends), maxSequences };
	return { ...shared, tabular, oracle };
}

/** The same for cost models without a generating model; `model` is the one that probes read. */
export async function scorerSpec(options: CheckedScorerOptions): Promise<GuardSpec> {
	if (options.constraints.some(({ cost }) => typeof cost === "object" && "tokenCosts" in cost)) {
		throw new InvalidOptionError("constraints: expected cost models of texts, got { tokenCosts }, which needs the tokens of a model");
	}
	const constraints = await Promise.all(options.constraints.map((constraint) => nativeConstraint(constraint, options.model)));
	const { isolate } = options;
	const shared = { ...nativeDevice(options), isolate, constraints, reward: "logLikelihood" as const };
	return options.model === undefined ? shared : { ...shared, path: options.model, outputs: "auto" };
}
