// kind.ts owns the interface of a kind of cost model to the rest of the package. A kind is one file of this folder and its place in the
// list of index.ts.
import type { z } from "zod";
import type { NativeCostModel, NativeModelDescription, NativeScorer } from "../native/protocol.js";

/** The name of a kind: the addon's word for it and, except for a function, the property that identifies a cost model of this kind. */
export type CostKindName = Exclude<NativeCostModel["kind"], "scorer"> | NativeScorer["kind"];

type NativeOf<K extends CostKindName> = K extends NativeScorer["kind"]
	? Extract<NativeCostModel, { kind: "scorer" }>
	: Extract<NativeCostModel, { kind: K }>;

export interface CostKind<K extends CostKindName = CostKindName, S extends z.ZodType = z.ZodType> {
	/** Its form, for an error's list of all kinds. */
	shown: string;
	schema: S;
	/** Names of the properties that hold paths; an experiment's file gives them relative to itself. */
	paths: readonly string[];
	/** Errors: those of the files that it reads, and INVALID_OPTION. */
	toNative(given: z.output<S>): NativeOf<K> | Promise<NativeOf<K>>;
	/** The default budget; undefined: the file's recommendation, which the addon reads. */
	defaultBudget(cost: NativeOf<K>): number | undefined;
	/** Fingerprint of its options and its files. */
	hash(cost: NativeOf<K>): string | Promise<string>;
	/** Its weight files. */
	files(cost: NativeOf<K>): string[];
	/** Names of its categories of unsafe text. */
	categories?(cost: NativeOf<K>): readonly string[];
	/** Whether it reads the states of the generating model; absent: it never does. */
	readsModel?(given: z.output<S>): boolean;
	/** The cost model that a GGUF file alone gives, if the file is of this kind. */
	recognise?(file: string, description: NativeModelDescription): z.input<S> | undefined;
}
