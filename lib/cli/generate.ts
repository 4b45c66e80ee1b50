import { InvalidOptionError } from "../errors.js";
import type { Reply } from "../guard/reply.js";
import type { StrategyName } from "../options/strategies.js";
import type { GenerateOptions, SteeringOptions } from "../options/types.js";
import { constraintsOf, loadWithProgress, numeric, rewardOf } from "./loading.js";
import { hasReader, print, printAnswer, say, tell } from "./terminal.js";

interface GenerateFlags {
	model: string;
	cost: string[];
	budget: string[];
	reward?: string;
	critic?: string;
	certificate?: string;
	steering?: string;
	strength?: string;
	sparsity?: string;
	gate?: boolean;
	prompt: string;
	chat?: boolean;
	now?: string;
	strategy: StrategyName;
	candidates?: string;
	beams?: string;
	blockLength?: string;
	maxTokens?: string;
	temperature?: string;
	repair: boolean;
	seed?: string;
	threads?: string;
	device?: string;
	isolate?: boolean;
	json?: boolean;
}

/** To three digits. */
const short = (value: number) => Number(value.toPrecision(3));

/** One line: outcome, cost / budget, rounds, tokens, seconds. */
export function summary({ outcome, safety, usage, timings }: Reply): string {
	const rounds = `${safety.rounds} ${safety.rounds === 1 ? "round" : "rounds"}`;
	const tokens = `${usage.emittedTokens} tokens (${usage.generatedTokens} generated)`;
	return `${outcome} · cost ${short(safety.cost)} / budget ${short(safety.budget)} · ${rounds} · ${tokens} · ${(timings.total / 1000).toFixed(2)} s`;
}

function steeringOf({ steering, strength, sparsity, gate }: GenerateFlags): SteeringOptions | undefined {
	if (steering !== undefined) return { vector: steering, strength: numeric(strength) ?? 1, sparsity: numeric(sparsity), gate };
	if (strength === undefined && sparsity === undefined && gate === undefined) return undefined;
	throw new InvalidOptionError("steering: expected a control vector (--steering) beside --strength, --sparsity and --gate, got none");
}

/** Returns how it ended, or undefined where whoever read the answer went away before its end. */
export async function generate(flags: GenerateFlags): Promise<Reply["outcome"] | undefined> {
	await using guard = await loadWithProgress({
		model: flags.model,
		...constraintsOf(flags.cost, flags.budget),
		reward: rewardOf(flags.reward),
		critic: flags.critic,
		steering: steeringOf(flags),
		certificate: flags.certificate,
		threads: numeric(flags.threads),
		device: flags.device,
		isolate: flags.isolate,
	});
	const options: GenerateOptions = {
		...(flags.chat ? { messages: [{ role: "user", content: flags.prompt }] } : { prompt: flags.prompt }),
		strategy: flags.strategy,
		candidates: numeric(flags.candidates),
		beams: numeric(flags.beams),
		blockLength: numeric(flags.blockLength),
		maxTokens: numeric(flags.maxTokens),
		temperature: numeric(flags.temperature),
		repair: flags.repair ? undefined : false,
		seed: numeric(flags.seed),
		now: flags.now,
	};
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
