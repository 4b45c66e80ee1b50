// Asking the caller's cost and reward functions.
import { CallbackError } from "./errors.js";
import type { NativeQuestion } from "./native.js";
import type { CheckedLoadOptions, ScoreFunction } from "./options.js";

function scoresOf(values: ArrayLike<number> | null | undefined, expected: number): Float64Array {
	const reject = (got: unknown) => {
		throw new Error(`expected it to return ${expected} finite numbers, one per candidate, got ${got}`);
	};
	if (typeof values !== "object" || values === null || typeof values.length !== "number")
		return reject(values === null ? "null" : typeof values);
	if (values.length !== expected) return reject(values.length);
	const numbers = Float64Array.from(values);
	const bad = numbers.findIndex((value) => !Number.isFinite(value));
	return bad < 0 ? numbers : reject(`${values[bad]} for candidate ${bad}`);
}

async function callScoreFunction(score: ScoreFunction, kind: "cost" | "reward", { candidates }: NativeQuestion): Promise<Float64Array> {
	try {
		return scoresOf(await score(candidates), candidates.length);
	} catch (cause) {
		throw new CallbackError(`the ${kind} function failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
	}
}

/** Answers a question of the native side with the cost or reward function that it is about. Errors: CALLBACK_FAILED. */
export function askScoreFunction(
	{ constraints, reward }: Pick<CheckedLoadOptions, "constraints" | "reward">,
	kind: "cost" | "reward",
	question: NativeQuestion,
): Promise<Float64Array> {
	const score = kind === "cost" ? constraints[question.index]?.cost : reward;
	return callScoreFunction(score as ScoreFunction, kind, question);
}
