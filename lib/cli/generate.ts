import { InvalidOptionError } from "../errors.js";
import type { Reply } from "../guard/reply.js";
import { checkGenerateOptions } from "../options/generate.js";
import { resolveSearch } from "../options/resolve.js";
import { settings } from "../options/settings.js";
import type { StrategyName } from "../options/strategies.js";
import type { GenerateOptions } from "../options/types.js";
import { type GuardFlags, guardOptionsOf, loadWithProgress, numeric } from "./loading.js";
import { optionsFrom } from "./row-flags.js";
import { hasReader, print, printAnswer, say, tell } from "./terminal.js";

interface GenerateFlags extends GuardFlags {
	prompt: string;
	chat?: boolean;
	prefill?: string;
	now?: string;
	strategy: StrategyName;
	cachePrompt: boolean;
	trace?: boolean;
	seed?: string;
	json?: boolean;
}

/** To three significant digits. */
const short = (value: number) => Number(value.toPrecision(3));

/** One line: outcome, cost / budget, rounds, tokens, seconds. */
export function summary({ outcome, safety, usage, timings }: Reply): string {
	const rounds = `${safety.rounds} ${safety.rounds === 1 ? "round" : "rounds"}`;
	const tokens = `${usage.emittedTokens} tokens (${usage.generatedTokens} generated)`;
	return `${outcome} · cost ${short(safety.cost)} / budget ${short(safety.budget)} · ${rounds} · ${tokens} · ${(timings.total / 1000).toFixed(2)} s`;
}

/** Returns the outcome, or undefined if the reader of standard output left before the end. */
export async function generate(flags: GenerateFlags): Promise<Reply["outcome"] | undefined> {
	if (flags.trace && !flags.json) throw new InvalidOptionError("trace: expected --json, which prints it, with --trace");
	const options: GenerateOptions = {
		...(flags.chat ? { messages: [{ role: "user", content: flags.prompt }] } : { prompt: flags.prompt }),
		prefill: flags.prefill,
		strategy: flags.strategy,
		...optionsFrom(flags, settings),
		cachePrompt: flags.cachePrompt ? undefined : false,
		trace: flags.trace,
		seed: numeric(flags.seed),
		now: flags.now,
	};
	resolveSearch(checkGenerateOptions(options), flags.critic === undefined ? undefined : {});
	await using guard = await loadWithProgress(guardOptionsOf(flags));
	if (flags.json) {
		const reply = await guard.generate(options);
		say(JSON.stringify(reply));
		return reply.outcome;
	}
	const stream = guard.stream(options);
	for await (const { text } of stream) {
		printAnswer(text);
		if (!hasReader()) return undefined;
	}
	const reply = await stream.reply;
	print("\n");
	tell(summary(reply));
	return reply.outcome;
}
