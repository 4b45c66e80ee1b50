// kind.ts owns what the rest of the package asks of a kind of cost model. A kind is one file of this folder and its place in the list of index.ts.
import type { z } from "zod";
import type { NativeCostModel, NativeModelDescription, NativeScorer } from "../native/protocol.js";

/** The name of a kind: the native side's word for it, and but for a function the property that tells a cost model of it. */
export type CostKindName = Exclude<NativeCostModel["kind"], "scorer"> | NativeScorer["kind"];

type NativeOf<K extends CostKindName> = K extends NativeScorer["kind"]
	? Extract<NativeCostModel, { kind: "scorer" }>
	: Extract<NativeCostModel, { kind: K }>;

export interface CostKind<K extends CostKindName = CostKindName, S extends z.ZodType = z.ZodType> {
	/** How it is given, in an error's list of all kinds. */
	shown: string;
	schema: S;
	/** Names of the properties whose values are paths, which an experiment's file gives from where it lies. */
	paths: readonly string[];
	/** Errors: those of the files that it reads, and INVALID_OPTION. */
	toNative(given: z.output<S>): NativeOf<K> | Promise<NativeOf<K>>;
	/** What a budget is by default; undefined: what the file recommends, which the native side reads. */
	defaultBudget(cost: NativeOf<K>): number | undefined;
	/** Fingerprint of what is not in files, and of the files. */
	hash(cost: NativeOf<K>): string | Promise<string>;
	/** Files with weights. */
	files(cost: NativeOf<K>): string[];
	/** Names of the categories of what is unsafe that it knows. */
	categories?(cost: NativeOf<K>): readonly string[];
	/** Whether it reads the states of the model that generates; absent: none does. */
	readsModel?(given: z.output<S>): boolean;
	/** How it is given by its file alone, where a GGUF file is one. */
	recognise?(file: string, description: NativeModelDescription): z.input<S> | undefined;
}
