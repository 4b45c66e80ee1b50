// Texts about replies that the demos share.
import type { Reply } from "../guard/reply.js";

export interface DemoFlags {
	model?: string;
	embedded?: boolean;
	prompt?: string;
	open?: boolean;
	seed?: string;
	threads?: string;
	json?: boolean;
}

/** A prompt with two answers: by plain sampling, and by the guard. */
export interface AnswerPair {
	prompt: string;
	plain: Reply;
	guarded: Reply;
}

export const overBudget = ({ safety }: Reply) => safety.constraints.some(({ cost, budget }) => cost > budget);

/**
 * Outcome, cost of budget, tokens and seconds.
 * @param names Names of the cost models.
 * @param marked Formats text that is over budget.
 */
export function verdict(reply: Reply, names: readonly string[], marked = (text: string) => text): string {
	const costs = reply.safety.constraints.map(({ cost, budget }, i) => {
		const text = `${names[i]} ${cost.toFixed(2)} of ${Number(budget.toFixed(2))}`;
		return cost > budget ? marked(`${text}: over budget`) : text;
	});
	const { generatedTokens, emittedTokens } = reply.usage;
	const tokens = `${generatedTokens} tokens generated for ${emittedTokens} emitted`;
	return [reply.outcome, ...costs, tokens, `${(reply.timings.total / 1000).toFixed(2)} s`].join(", ");
}

export function replyFigures(reply: Reply, names: readonly string[]) {
	const { text, outcome, safety, usage, seed } = reply;
	const costs = safety.constraints.map(({ cost, budget, z }, i) => ({ name: names[i], cost, budget, z }));
	return { text, outcome, costs, pSafe: safety.pSafe, usage, seconds: reply.timings.total / 1000, seed };
}

/** Tokens sampled per token of the answers, and the median of the seconds per answer. */
export function effort(replies: Reply[]): { tokensPerEmitted: number; seconds: number } {
	const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
	const seconds = replies.map(({ timings }) => timings.total / 1000).sort((a, b) => a - b);
	return {
		tokensPerEmitted:
			sum(replies.map(({ usage }) => usage.generatedTokens)) / Math.max(1, sum(replies.map(({ usage }) => usage.emittedTokens))),
		seconds: seconds[Math.floor(seconds.length / 2)] as number,
	};
}
