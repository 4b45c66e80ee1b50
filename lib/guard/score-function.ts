// Calls the caller's cost and reward functions.

import { inspected, reasonOf } from "../base/thrown.js";
import type { ScoreFunction } from "../candidates.js";
import { CallbackError } from "../errors.js";
import type { NativeQuestion } from "../native/protocol.js";
import type { CheckedLoadOptions } from "../options/load.js";

/** A function's result as one number per candidate. Other values are not converted to numbers. */
function scoresOf(values: unknown, expected: number): Float64Array {
	const reject = (got: string) => {
		throw new Error(`expected it to return ${expected} finite numbers, one per candidate, got ${got}`);
	};
	if (typeof values !== "object" || values === null || !("length" in values)) return reject(inspected(values));
	if (values.length !== expected) return reject(`${inspected(values.length)} of them`);
	return Float64Array.from({ length: expected }, (_, i) => {
		const value = (values as ArrayLike<unknown>)[i];
		return typeof value === "number" && Number.isFinite(value) ? value : reject(`${inspected(value)} for candidate ${i}`);
	});
}

async function callScoreFunction(score: ScoreFunction, kind: "cost" | "reward", { candidates }: NativeQuestion): Promise<Float64Array> {
	const expected = candidates.length;
	try {
		return scoresOf(await score(candidates), expected);
	} catch (cause) {
		throw new CallbackError(`the ${kind} function failed: ${reasonOf(cause)}`, { cause });
	}
}

/** Answers a question of the addon with the cost or reward function that it names. Errors: CALLBACK_FAILED. */
export function askScoreFunction(
	{ constraints, reward }: Pick<CheckedLoadOptions, "constraints" | "reward">,
	kind: "cost" | "reward",
	question: NativeQuestion,
): Promise<Float64Array> {
	const score = kind === "cost" ? constraints[question.index]?.cost : reward;
	return callScoreFunction(score as ScoreFunction, kind, question);
}
