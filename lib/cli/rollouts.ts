import { SingleBar } from "cli-progress";
import { engineRows } from "../options/engine.js";
import type { RolloutProgress } from "../progress.js";
import { collectRollouts } from "../training/rollouts.js";
import { type ConstraintFlags, constraintsOf, numbersOf, numeric, rewardOf } from "./loading.js";
import { optionsFrom } from "./row-flags.js";
import { say, tell } from "./terminal.js";

interface RolloutFlags extends ConstraintFlags {
	model: string;
	reward?: string;
	prompts: string;
	field?: string;
	chat?: boolean;
	now?: string;
	out: string;
	responses?: string;
	maxTokens?: string;
	stride?: string;
	meanLayers?: string;
	temperature?: string;
	batch?: string;
	shard?: string;
	seed?: string;
	json?: boolean;
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** A bar with the rates of the run; without a terminal, it prints only the size and the end. */
class RolloutBar {
	readonly #bar = new SingleBar({
		format: "{prompts}/{totalPrompts} prompts [{bar}] {rate} tokens/s, {unsafe} over budget, {eta_formatted} left",
		stream: process.stderr,
		noTTYOutput: false,
	});
	#started = false;

	show(progress: RolloutProgress): void {
		if (!this.#started) {
			this.#started = true;
			tell(`${progress.totalPrompts} prompts, about ${mebibytes(progress.totalBytes)} of rollouts`);
			if (process.stderr.isTTY) this.#bar.start(progress.totalPrompts, 0, rates(progress));
			return;
		}
		this.#bar.update(progress.prompts, rates(progress));
	}

	stop(): void {
		this.#bar.stop();
	}
}

function rates({ prompts, totalPrompts, generatedTokens, overBudget, responses, seconds }: RolloutProgress) {
	const rate = seconds > 0 ? Math.round(generatedTokens / seconds) : 0;
	const unsafe = responses > 0 ? `${((100 * overBudget) / responses).toFixed(1)} %` : "-";
	return { prompts, totalPrompts, rate, unsafe };
}

export async function rolloutsCommand(flags: RolloutFlags): Promise<void> {
	const bar = new RolloutBar();
	const stop = new AbortController();
	process.once("SIGINT", () => stop.abort());
	try {
		const done = await collectRollouts({
			model: flags.model,
			...constraintsOf(flags),
			reward: rewardOf(flags.reward),
			...optionsFrom(flags, engineRows),
			prompts: flags.prompts,
			field: flags.field,
			chat: flags.chat,
			now: flags.now,
			out: flags.out,
			responses: numeric(flags.responses),
			maxTokens: numeric(flags.maxTokens),
			stride: numeric(flags.stride),
			meanLayers: numbersOf(flags.meanLayers),
			temperature: numeric(flags.temperature),
			batch: numeric(flags.batch),
			shard: flags.shard,
			seed: numeric(flags.seed),
			onProgress: (progress) => bar.show(progress),
			signal: stop.signal,
		});
		bar.stop();
		const { rate, unsafe } = rates(done);
		if (flags.json) say(JSON.stringify(done));
		else {
			say(
				`${done.prompts} prompts are in ${flags.out}: sampled ${done.responses} responses, ${done.generatedTokens} tokens in ` +
					`${done.seconds.toFixed(1)} s (${rate} tokens/s), ${unsafe} over budget`,
			);
		}
	} finally {
		bar.stop();
	}
}
