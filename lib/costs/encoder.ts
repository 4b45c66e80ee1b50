import { z } from "zod";
import { path, real } from "../base/check.js";
import { readEncoder } from "../files/encoder.js";
import { readProbe } from "../files/probe.js";
import type { CostKind } from "./kind.js";
import { pairsOf, scorerKind, selfTest } from "./scorer.js";

const schema = z.strictObject({
	encoder: path("the path of an encoder that judges"),
	probe: path("the path of a probe").optional(),
	uncertaintyPenalty: real(0, 1e6).optional(),
	selfTest: selfTest.optional(),
});

/** An encoder that reads prompt and response, made by `trainCost`; optionally with a probe as an additional member. */
export const encoder = {
	...scorerKind,
	shown: "{ encoder }",
	schema,
	paths: ["encoder", "probe"],
	toNative({ encoder, probe, uncertaintyPenalty, selfTest }) {
		const given = { ...(uncertaintyPenalty !== undefined && { uncertaintyPenalty }), ...(probe !== undefined && { probe }) };
		const scorer = { path: encoder, ...given, labels: [], selfTest: pairsOf(selfTest) };
		return { kind: "scorer", scorer: { kind: "encoder", ...scorer, higher: "unsafe" }, link: "probability", threshold: 0 };
	},
	defaultBudget({ scorer: { path, probe } }) {
		const joint = probe === undefined ? undefined : readProbe(probe).jointThreshold;
		return joint ?? readEncoder(path).threshold;
	},
	readsModel: ({ probe }) => probe !== undefined,
	categories: ({ scorer }) => readEncoder(scorer.path).categories,
	recognise: (file, { metadata }) =>
		metadata.some(({ key, value }) => key === "inferenceguard.kind" && value === "encoder") ? { encoder: file } : undefined,
} satisfies CostKind<"encoder", typeof schema>;
