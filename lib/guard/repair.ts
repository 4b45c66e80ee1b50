// The repair, one attempt before a refusal: the note for the model, and the result.

import type { NativeResult } from "../native/protocol.js";
import type { ChatMessage } from "../prompt/chat.js";

/** The note for the attempt. `harm`: a category of a cost model. */
export const repairNote = (harm: string | undefined) =>
	`This request may lead to harm${harm === undefined ? "" : ` (${harm})`}. Say that you cannot help with it, or answer it safely.`;

/**
 * A conversation with a note after the user's last message, or after the last message if there is no user. Small models hardly follow a
 * note that is further away, such as in the system message.
 */
export function withNote(messages: readonly ChatMessage[], note: string): ChatMessage[] {
	const asked = messages.findLastIndex(({ role }) => role === "user");
	const place = asked < 0 ? messages.length - 1 : asked;
	return messages.map((message, i) => (i === place ? { ...message, content: `${message.content}\n\n${note}` } : message));
}

/** A refused search and its repair, which is the answer if it is within budget. */
export function withRepair(refused: NativeResult, attempt: NativeResult): NativeResult {
	const { prefill, decode, cost, critic, total } = attempt.timings;
	return {
		...(attempt.outcome === "repaired" ? attempt : refused),
		cachedPromptTokens: refused.cachedPromptTokens,
		kvPeak: Math.max(refused.kvPeak, attempt.kvPeak),
		generatedTokens: refused.generatedTokens + attempt.generatedTokens,
		rounds: refused.rounds + attempt.rounds,
		backtracks: refused.backtracks,
		timings: {
			prefill: refused.timings.prefill + prefill,
			decode: refused.timings.decode + decode,
			cost: refused.timings.cost + cost,
			critic: refused.timings.critic + critic,
			total: refused.timings.total + total,
		},
		trace: [...refused.trace, ...attempt.trace],
	};
}
