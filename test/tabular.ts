// Random tabular models and the exact answers to them, computed by brute force.
import fc from "fast-check";
import type { TabularModel } from "../lib/index.js";

export const promptToken = 0;

export interface Problem {
	model: TabularModel & { ends: number[] };
	tokenCosts: number[];
	budget: number;
	discount: number;
	maxTokens: number;
}

/** Texts of tokens: one letter each, so that a text can be read back. */
const letters = "abcdefgh";

export function problems({ maxVocabulary = 3, maxLength = 4 } = {}): fc.Arbitrary<Problem> {
	return fc.integer({ min: 2, max: maxVocabulary }).chain((size) =>
		fc.record({
			model: fc.record({
				pieces: fc.constant([...letters].slice(0, size)),
				logits: fc.array(fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: size, maxLength: size }), {
					minLength: size,
					maxLength: size,
				}),
				ends: fc.constantFrom([], [size - 1]),
			}),
			tokenCosts: fc.array(fc.constantFrom(0, 0, 0.5, 1, 2), { minLength: size, maxLength: size }),
			budget: fc.constantFrom(0, 0.5, 1, 1.5, 2, 3),
			discount: fc.constantFrom(1, 0.999, 0.9),
			maxTokens: fc.integer({ min: 1, max: maxLength }),
		}),
	);
}

/** log softmax of each row */
export function logProbabilities(logits: number[][]): number[][] {
	return logits.map((row) => {
		const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
		return row.map((logit) => logit - total);
	});
}

/** A text up to the first stop string to be complete, the longest of those that end there; undefined if there is none. */
export function cutAtStop(text: string, stop: readonly string[]): string | undefined {
	for (let end = 1; end <= text.length; end++) {
		const complete = stop.filter((one) => text.slice(0, end).endsWith(one)).map(({ length }) => length);
		if (complete.length > 0) return text.slice(0, end - Math.max(...complete));
	}
	return undefined;
}

/** The text of tokens, without that of an end. */
export const textOf = ({ model }: Pick<Problem, "model">, tokens: readonly number[]) =>
	tokens.map((token) => (model.ends.includes(token) ? "" : model.pieces[token])).join("");

export interface Outcome {
	tokens: number[];
	cost: number;
	/** mean log-likelihood */
	reward: number;
}

/** What the tokens of a text cost together, each discounted by its position. */
export function costOf({ tokenCosts, discount }: Pick<Problem, "tokenCosts" | "discount">, tokens: readonly number[]): number {
	return tokens.reduce((sum, token, t) => sum + discount ** t * (tokenCosts[token] as number), 0);
}

/** Every finished response with its cost and reward. */
export function responses(
	problem: Problem,
	cost = (tokens: readonly number[]) => costOf(problem, tokens),
	stop: readonly string[] = [],
): Outcome[] {
	const { model, maxTokens } = problem;
	const logP = logProbabilities(model.logits);
	const found: Outcome[] = [];
	const extend = (tokens: number[], logLikelihood: number) => {
		const last = tokens.at(-1);
		const ends =
			tokens.length === maxTokens || model.ends.includes(last as number) || cutAtStop(textOf(problem, tokens), stop) !== undefined;
		if (tokens.length > 0 && ends) {
			found.push({ tokens, cost: cost(tokens), reward: logLikelihood / tokens.length });
			return;
		}
		model.pieces.forEach((_, next) => {
			extend([...tokens, next], logLikelihood + (logP[last ?? promptToken]?.[next] as number));
		});
	};
	extend([], 0);
	return found;
}

/** Largest γ^T · reward within budget; undefined where nothing is feasible. */
export function constrainedOptimum(
	problem: Problem,
	cost?: (tokens: readonly number[]) => number,
	stop?: readonly string[],
): number | undefined {
	const feasible = responses(problem, cost, stop).filter(({ cost }) => cost <= problem.budget + 1e-12);
	if (feasible.length === 0) return undefined;
	return Math.max(...feasible.map(({ tokens, reward }) => problem.discount ** tokens.length * reward));
}
