// Checks whether a critic belongs to the model, the cost models and the budgets of its guard.

import { z } from "zod";
import { warn } from "../base/warn.js";
import { costHash } from "../costs/index.js";
import { rewardHash } from "../costs/rewards.js";
import { parseJson } from "../data/json.js";
import { CriticMismatchError, InvalidCriticError } from "../errors.js";
import { type ConstraintIdentity, constraintIdentity } from "../files/fingerprint.js";
import { callAddon } from "../native/addon.js";
import type { NativeSearch, NativeSpec } from "../native/protocol.js";

/** What a critic was trained for. */
export interface CriticIdentity {
	modelHash: string;
	rewardHash: string;
	constraints: (ConstraintIdentity & { lowest: number; highest: number })[];
	/** T of its training responses. */
	maxTokens: number;
	/** Their sampling temperature. */
	temperature: number;
	/** Default of `satisfiedPSafe`. */
	satisfiedPSafe: number;
}

function parseConstraints(path: string, text: string): ConstraintIdentity[] {
	try {
		return z.array(constraintIdentity).parse(parseJson(text));
	} catch (cause) {
		throw new InvalidCriticError(`${path} does not say which cost models it was trained for; make the file again`, { cause });
	}
}

/** Reads the guard and settings that a critic was trained for. Errors: INVALID_CRITIC. */
export function readCriticIdentity(path: string): CriticIdentity {
	const { texts, numbers } = callAddon((native) =>
		native.readTensors(
			path,
			"critic",
			"INVALID_CRITIC",
			["model_hash", "constraints", "reward_hash"],
			["budget_lowest", "budget_highest", "max_tokens", "temperature", "satisfied_p_safe"],
		),
	);
	const constraints = parseConstraints(path, texts.constraints ?? "");
	return {
		modelHash: texts.model_hash ?? "",
		rewardHash: texts.reward_hash ?? "",
		constraints: constraints.map((constraint, c) => ({
			...constraint,
			lowest: numbers.budget_lowest?.[c] ?? 0,
			highest: numbers.budget_highest?.[c] ?? 0,
		})),
		maxTokens: numbers.max_tokens?.[0] ?? 0,
		temperature: numbers.temperature?.[0] ?? 0,
		satisfiedPSafe: numbers.satisfied_p_safe?.[0] ?? 0,
	};
}

function expectSame(what: string, critic: string | number | null, guard: string | number | null): void {
	if (critic === guard) return;
	throw new CriticMismatchError(
		`expected a critic that was trained for this guard's ${what} (${guard}), got one for ${critic}; train a critic for it, or load without one`,
	);
}

const warnExtrapolation = (message: string) => warn("CRITIC_EXTRAPOLATES", message);

/** Checks that a critic belongs to the guard that loads it. Errors: CRITIC_MISMATCH. */
export async function checkCritic(critic: CriticIdentity, spec: NativeSpec, modelHash: string): Promise<void> {
	expectSame("model", critic.modelHash, modelHash);
	expectSame("reward", critic.rewardHash, await rewardHash(spec));
	expectSame("number of cost models", critic.constraints.length, spec.constraints.length);
	for (const [c, constraint] of spec.constraints.entries()) {
		const trained = critic.constraints[c] as CriticIdentity["constraints"][number];
		expectSame(`cost model ${c}`, trained.hash, await costHash(constraint));
		expectSame(`discount of cost model ${c}`, trained.discount, constraint.discount);
		expectSame(`criterion of cost model ${c}`, trained.criterion, constraint.criterion);
		expectSame(`costFloor of cost model ${c}`, trained.floored ? 0 : null, constraint.floored ? 0 : null);
	}
}

/** Warns of a budget outside the training range. Throws CRITIC_MISMATCH if the critic was trained for a single other budget. */
export function checkBudgets({ constraints }: CriticIdentity, budgets: Float64Array): void {
	for (const [c, { lowest, highest }] of constraints.entries()) {
		const budget = budgets[c] ?? 0;
		if (lowest === highest) expectSame(`budget ${c}`, lowest, budget);
		else if (budget < lowest || budget > highest) {
			warnExtrapolation(
				`the critic was trained for budgets from ${lowest} to ${highest} of cost model ${c}, and extrapolates to ${budget}`,
			);
		}
	}
}

/** Warns, once each, of responses unlike those in a critic's training: longer, or begun, ended, sampled or steered differently. */
export class TrainingLimits {
	#maxTokens: number;
	#temperature: number | undefined;
	#steered: boolean;
	#warnsOfPrefill = true;
	#warnsOfStop = true;

	constructor({ maxTokens, temperature }: CriticIdentity, steered: boolean) {
		this.#maxTokens = maxTokens;
		this.#temperature = temperature;
		this.#steered = steered;
	}

	check({ maxTokens, temperature, stop }: Pick<NativeSearch, "maxTokens" | "temperature" | "stop">, isBegun: boolean): void {
		if (this.#steered) {
			warnExtrapolation("the critic was trained without steering, and extrapolates to a steered model");
			this.#steered = false;
		}
		if (isBegun && this.#warnsOfPrefill) {
			warnExtrapolation("the critic was trained without a prefill, and extrapolates to responses that are begun");
			this.#warnsOfPrefill = false;
		}
		if (stop !== undefined && this.#warnsOfStop) {
			warnExtrapolation("the critic was trained without stop strings, and extrapolates to responses that they end");
			this.#warnsOfStop = false;
		}
		if (maxTokens > this.#maxTokens) {
			warnExtrapolation(`the critic was trained on responses of ${this.#maxTokens} tokens, and extrapolates to ${maxTokens}`);
			this.#maxTokens = Number.POSITIVE_INFINITY;
		}
		if (this.#temperature !== undefined && temperature !== this.#temperature) {
			warnExtrapolation(`the critic was trained at temperature ${this.#temperature}, and extrapolates to ${temperature}`);
			this.#temperature = undefined;
		}
	}
}
