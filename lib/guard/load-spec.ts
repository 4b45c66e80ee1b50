import { stat } from "node:fs/promises";
import { readLexicon } from "../costs/lexicon.js";
import { InvalidOptionError } from "../errors.js";
import { readEncoder } from "../files/encoder.js";
import { modelHash } from "../files/fingerprint.js";
import { readProbe } from "../files/probe.js";
import type { NativeConstraint, NativeCostModel, NativeSpec } from "../native/protocol.js";
import type { CheckedCostModel, CheckedLoadOptions, CheckedRewardModel, CheckedScorerOptions } from "../options/load.js";
import { harmJudge, harmProbesBySize } from "./embedded.js";
import { encoderScorer, guardModelScorer, probeScorer, scoreModelScorer, sequenceClassifierScorer } from "./scorers.js";

type Constraint = CheckedLoadOptions["constraints"][number];

/** The judge that comes along, with the probe that comes along for this model. */
async function harm(model: string | undefined): Promise<CheckedCostModel> {
	if (model === undefined) return { encoder: harmJudge };
	const found = await stat(model).catch(() => undefined); // loading says why there is none
	const probe = found && harmProbesBySize.get(found.size);
	if (probe === undefined) return { encoder: harmJudge };
	const isOfModel = readProbe(probe).modelHash === (await modelHash(model));
	return { encoder: harmJudge, ...(isOfModel && { probe }) };
}

async function nativeCost(cost: CheckedCostModel, model: string | undefined): Promise<NativeCostModel> {
	if (cost === "harm") return nativeCost(await harm(model), model);
	if (typeof cost === "function") return { kind: "function" };
	if ("classifier" in cost) {
		const { classifier, link = "probability", threshold = Number.NaN } = cost;
		return { kind: "classifier", classifier, link, threshold };
	}
	if ("guardModel" in cost) return { kind: "scorer", scorer: guardModelScorer(cost), link: "probability", threshold: 0 };
	if ("sequenceClassifier" in cost) {
		const { unsafeLabels = [], link = "probability", threshold = 0, selfTest } = cost;
		return { kind: "scorer", scorer: sequenceClassifierScorer(cost, unsafeLabels, selfTest), link, threshold };
	}
	if ("scoreModel" in cost) {
		const { threshold = 0, selfTest } = cost;
		return { kind: "scorer", scorer: await scoreModelScorer(cost, selfTest), link: "excess", threshold };
	}
	if ("encoder" in cost) return { kind: "scorer", scorer: encoderScorer(cost), link: "probability", threshold: 0 };
	if ("probe" in cost) {
		const { probe, link = "probability", selfTest } = cost;
		const recommended = readProbe(probe).threshold;
		const threshold = cost.threshold ?? Math.log(recommended / (1 - recommended));
		return { kind: "scorer", scorer: probeScorer(probe, selfTest), link, threshold };
	}
	if ("tokenCosts" in cost) return { kind: "tokenCosts", tokenCosts: Float64Array.from(cost.tokenCosts) };
	const lexicon = readLexicon(cost.lexicon);
	const negative = lexicon.find(({ weight }) => weight < 0);
	if (negative) throw new InvalidOptionError(`expected positive weights in a cost lexicon, got ${negative.weight} for "${negative.term}"`);
	return { kind: "lexicon", lexicon, match: cost.match ?? "strict" };
}

/**
 * The file of what was trained here recommends a budget for its probability, that of a probe also one beside an encoder; other
 * probabilities are held to one half.
 */
function defaultBudget(cost: NativeCostModel): number {
	if (!("link" in cost) || cost.link === "excess") return 0;
	if (cost.kind === "classifier") return Number.NaN;
	const { kind, path, probe } = cost.scorer;
	if (kind === "probe") return readProbe(path).threshold;
	if (kind !== "encoder") return 0.5;
	const joint = probe === undefined ? undefined : readProbe(probe).jointThreshold;
	return joint ?? readEncoder(path).threshold;
}

async function nativeConstraint(constraint: Constraint, model: string | undefined): Promise<NativeConstraint> {
	const { cost, budget, discount, criterion, costFloor } = constraint;
	const native = await nativeCost(cost, model);
	return { ...native, budget: budget ?? defaultBudget(native), discount, criterion, floored: costFloor === 0 };
}

async function nativeReward(reward: CheckedRewardModel): Promise<Pick<NativeSpec, "reward" | "rewardLexicon" | "rewardScorer">> {
	if (typeof reward === "function") return { reward: "function" };
	if (typeof reward === "string") return { reward };
	if ("lexicon" in reward) return { reward: "lexicon", rewardLexicon: readLexicon(reward.lexicon) };
	if ("scoreModel" in reward)
		return { reward: "scorer", rewardScorer: { ...(await scoreModelScorer(reward, reward.selfTest)), higher: "safe" } };
	const labels = reward.label === undefined ? [] : [reward.label];
	return { reward: "scorer", rewardScorer: { ...sequenceClassifierScorer(reward, labels, reward.selfTest), higher: "safe" } };
}

const nativeDevice = ({
	device,
	gpuLayers,
	threads,
	useMmap = true,
	useMlock = false,
}: Pick<CheckedLoadOptions, "device" | "gpuLayers" | "threads"> & Partial<Pick<CheckedLoadOptions, "useMmap" | "useMlock">>) => ({
	device,
	gpuLayers: gpuLayers === "all" ? -1 : gpuLayers,
	threads,
	useMmap,
	useMlock,
});

const unlimited = { kvCells: 0, contextSize: 0, outputs: "auto" } as const;

/** A model without cost models. */
export function baseSpec(path: string, options: Parameters<typeof nativeDevice>[0]): NativeSpec {
	return { ...nativeDevice(options), constraints: [], critic: "", reward: "logLikelihood", path, ...unlimited };
}

/** Reads what the checked options name (lexicons) and brings everything into the form the addon takes. */
export async function nativeSpec(options: CheckedLoadOptions): Promise<NativeSpec> {
	const { model } = options;
	const file = typeof model === "string" ? model : undefined;
	const shared = {
		...nativeDevice(options),
		isolate: options.isolate,
		constraints: await Promise.all(options.constraints.map((constraint) => nativeConstraint(constraint, file))),
		critic: options.critic ?? "",
		...(await nativeReward(options.reward)),
	};
	if (typeof model === "string") {
		const { kvCells = 0, contextSize = 0, outputs, steering } = options;
		return { ...shared, path: model, kvCells, contextSize, outputs, steering };
	}
	if (model.oracle && shared.constraints.some(({ kind }) => kind !== "tokenCosts")) {
		throw new InvalidOptionError("model.oracle: expected every cost to be { tokenCosts } for the exact critic, got another cost model");
	}
	const { pieces, logits, ends, maxSequences, oracle } = model;
	const tabular = { pieces, logits: Float32Array.from(logits.flat()), ends: Int32Array.from(ends), maxSequences };
	return { ...shared, tabular, oracle };
}

/** The same for cost models without a model that generates; `model` is the one that probes read. */
export async function scorerSpec(options: CheckedScorerOptions): Promise<NativeSpec> {
	if (options.constraints.some(({ cost }) => typeof cost === "object" && "tokenCosts" in cost)) {
		throw new InvalidOptionError("constraints: expected cost models of texts, got { tokenCosts }, which needs the tokens of a model");
	}
	const constraints = await Promise.all(options.constraints.map((constraint) => nativeConstraint(constraint, options.model)));
	const { isolate } = options;
	const shared = { ...nativeDevice(options), isolate, constraints, critic: "", reward: "logLikelihood" as const };
	return options.model === undefined ? shared : { ...shared, path: options.model, ...unlimited };
}
