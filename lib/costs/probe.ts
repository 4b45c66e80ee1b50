import { z } from "zod";
import { path } from "../base/check.js";
import { InvalidOptionError } from "../errors.js";
import { readProbe } from "../files/probe.js";
import type { CostKind } from "./kind.js";
import { linked, linkFields, pairsOf, scorerKind, selfTest } from "./scorer.js";

const schema = linked(z.strictObject({ probe: path("the path of a probe"), ...linkFields, selfTest: selfTest.optional() }));

/** Logistic regression on the generating model's states, made by `trainCost`. */
export const probe = {
	...scorerKind,
	shown: "{ probe }",
	schema,
	paths: ["probe"],
	toNative({ probe, link = "probability", threshold, selfTest }) {
		const { threshold: recommended, means } = readProbe(probe);
		if (means !== undefined && selfTest) {
			throw new InvalidOptionError(`selfTest: expected none for ${probe}, which judges what the model generates; test it with CostScorer`);
		}
		return {
			kind: "scorer",
			scorer: { kind: "probe", path: probe, labels: [], selfTest: pairsOf(means === undefined && selfTest), higher: "unsafe" },
			link,
			threshold: threshold ?? Math.log(recommended / (1 - recommended)),
		};
	},
	defaultBudget: ({ link, scorer }) => (link === "excess" ? 0 : readProbe(scorer.path).threshold),
	readsModel: () => true,
	recognise: (file, { metadata }) =>
		metadata.some(({ key, value }) => key === "inferenceguard.kind" && value === "probe") ? { probe: file } : undefined,
} satisfies CostKind<"probe", typeof schema>;
