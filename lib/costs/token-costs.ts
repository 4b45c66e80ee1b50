import { types } from "node:util";
import { z } from "zod";
import { expected } from "../base/check.js";
import { sha256 } from "../files/fingerprint.js";
import type { CostKind } from "./kind.js";

const costs = z.union(
	[
		z.array(z.number()).min(1),
		z.custom<Float64Array>(types.isFloat64Array).refine((costs) => costs.length > 0 && costs.every(Number.isFinite)),
	],
	expected("an array of finite costs, one per token id"),
);

const schema = z.strictObject({ tokenCosts: costs });

/** A cost per token id. */
export const tokenCosts = {
	shown: "{ tokenCosts }",
	schema,
	paths: [],
	toNative: ({ tokenCosts }) => ({ kind: "tokenCosts", tokenCosts: Float64Array.from(tokenCosts) }),
	defaultBudget: () => 0,
	hash: ({ tokenCosts }) => sha256(tokenCosts),
	files: () => [],
} satisfies CostKind<"tokenCosts", typeof schema>;
