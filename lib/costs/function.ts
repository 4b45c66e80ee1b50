import { callback } from "../base/check.js";
import type { ScoreFunction } from "../candidates.js";
import type { CostKind } from "./kind.js";

const schema = callback<ScoreFunction>("a function of candidates");

/** A function of the caller. It has no fingerprint; it is taken on trust. */
export const callerFunction = {
	shown: "a function",
	schema,
	paths: [],
	toNative: () => ({ kind: "function" }),
	defaultBudget: () => 0,
	hash: () => "function",
	files: () => [],
} satisfies CostKind<"function", typeof schema>;
