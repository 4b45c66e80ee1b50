// index.ts owns the list of all kinds of cost model, and answers questions about a cost model by asking its kind.
import { z } from "zod";
import { expected } from "../base/check.js";
import type { NativeCostModel, NativeModelDescription } from "../native/protocol.js";
import { classifier } from "./classifier.js";
import { encoder } from "./encoder.js";
import { callerFunction } from "./function.js";
import { guardModel } from "./guard-model.js";
import { harmFor } from "./harm.js";
import type { CostKind, CostKindName } from "./kind.js";
import { lexicon } from "./lexicon.js";
import { probe } from "./probe.js";
import { scoreModel } from "./score-model.js";
import { sequenceClassifier } from "./sequence-classifier.js";
import { tokenCosts } from "./token-costs.js";

/** In the order in which they are tried on a file. No cost model has a property named like an earlier kind. */
const kinds = {
	lexicon,
	tokenCosts,
	encoder,
	probe,
	classifier,
	sequenceClassifier,
	guardModel,
	scoreModel,
	function: callerFunction,
} satisfies { [K in CostKindName]: unknown };

const names = Object.keys(kinds) as CostKindName[];

/** The cast is safe: a kind is only asked about its own cost models. */
const kindNamed = (name: CostKindName | undefined) => kinds[name as CostKindName] as unknown as CostKind;

const list = ['"harm"', ...names.slice(0, -1).map((name) => kinds[name].shown)].join(", ");

type Schema = (typeof kinds)[CostKindName]["schema"];

const schemas = names.map((name) => kinds[name].schema) as [Schema, ...Schema[]];

export const costModel = z.union([z.literal("harm"), ...schemas], expected(`a cost model: ${list} or ${callerFunction.shown}`));

export type CheckedCost = z.output<typeof costModel>;

const kindGiven = (cost: Exclude<CheckedCost, "harm">) =>
	kindNamed(typeof cost === "function" ? "function" : names.find((name) => name in cost));

const kindOf = (cost: NativeCostModel) => kindNamed(cost.kind === "scorer" ? cost.scorer.kind : cost.kind);

/** The addon's form of a cost model, for use with this generating model file. Errors: those of its files, INVALID_OPTION. */
export async function nativeCost(cost: CheckedCost, model: string | undefined): Promise<NativeCostModel> {
	return cost === "harm" ? encoder.toNative(await harmFor(model)) : kindGiven(cost).toNative(cost);
}

/** Whether it may read the states of the generating model. */
export const mayReadModel = (cost: CheckedCost) => cost === "harm" || kindGiven(cost).readsModel?.(cost) === true;

/** The budget if none is given; undefined: the file's recommendation, which the addon reads. */
export const defaultBudget = (cost: NativeCostModel) => kindOf(cost).defaultBudget(cost as never);

/** Fingerprint of a cost model, without its budget. */
export const costHash = async (cost: NativeCostModel) => kindOf(cost).hash(cost as never);

/** Its weight files. */
export const costFiles = (cost: NativeCostModel) => kindOf(cost).files(cost as never);

/** Names of its categories of unsafe text. */
export const categoriesOf = (cost: NativeCostModel): readonly string[] => kindOf(cost).categories?.(cost as never) ?? [];

/** Properties of cost models that hold paths. */
export const costPaths: readonly string[] = names.flatMap((name) => kinds[name].paths);

/** The cost model in a GGUF file. */
export function recogniseCost(file: string, description: NativeModelDescription): CheckedCost | undefined {
	return names.map((name) => kindNamed(name).recognise?.(file, description)).find((cost) => cost !== undefined) as CheckedCost | undefined;
}
