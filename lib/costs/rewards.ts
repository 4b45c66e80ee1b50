// The kinds of reward model.
import { z } from "zod";
import { callback, expected, text } from "../base/check.js";
import type { ScoreFunction } from "../candidates.js";
import { readLexicon } from "../files/lexicon.js";
import type { NativeSpec } from "../native/protocol.js";
import { lexiconHash, lexiconSource } from "./lexicon.js";
import { scoreModelFields, scoreModelScorer } from "./score-model.js";
import { scorerFiles, scorerHash } from "./scorer.js";
import { sequenceClassifierFields, sequenceClassifierScorer } from "./sequence-classifier.js";

export const rewardModel = z.union(
	[
		z.literal("logLikelihood"),
		z.strictObject({ lexicon: lexiconSource }),
		z.strictObject({ ...sequenceClassifierFields, label: text("a label").optional() }),
		z.strictObject(scoreModelFields),
		callback<ScoreFunction>("a function of candidates"),
	],
	expected('a reward: "logLikelihood", { lexicon }, { sequenceClassifier }, { scoreModel } or a function'),
);

export type CheckedReward = z.output<typeof rewardModel>;

type NativeReward = Pick<NativeSpec, "reward" | "rewardLexicon" | "rewardScorer">;

/** The addon's form of a reward model. Errors: those of its files, INVALID_OPTION. */
export async function nativeReward(reward: CheckedReward): Promise<NativeReward> {
	if (typeof reward === "function") return { reward: "function" };
	if (typeof reward === "string") return { reward };
	if ("lexicon" in reward) return { reward: "lexicon", rewardLexicon: readLexicon(reward.lexicon) };
	if ("scoreModel" in reward) return { reward: "scorer", rewardScorer: await scoreModelScorer(reward, "safe") };
	const labels = reward.label === undefined ? [] : [reward.label];
	return { reward: "scorer", rewardScorer: sequenceClassifierScorer(reward, labels, "safe") };
}

/** Fingerprint of a reward model. */
export async function rewardHash({ reward, rewardLexicon, rewardScorer }: NativeReward): Promise<string> {
	if (rewardScorer) return scorerHash(rewardScorer);
	return rewardLexicon ? lexiconHash(rewardLexicon, "strict") : reward;
}

/** Its weight files. */
export const rewardFiles = ({ rewardScorer }: NativeReward) => (rewardScorer ? scorerFiles(rewardScorer) : []);
