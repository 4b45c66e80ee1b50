import { SingleBar } from "cli-progress";
import type { PresetName } from "../evaluation/presets.js";
import type { AnswerMethod } from "../labelling/answer-plan.js";
import { sampleAnswers } from "../labelling/answers.js";
import { engineRows } from "../options/engine.js";
import type { AnswerProgress } from "../progress.js";
import { duration } from "./eval.js";
import { type ConstraintFlags, constraintsOf, listed, numbersOf, numeric } from "./loading.js";
import { optionsFrom } from "./row-flags.js";
import { say, tell } from "./terminal.js";

interface AnswerFlags extends ConstraintFlags {
	model: string;
	prompts: string;
	preset?: PresetName;
	field?: string;
	limit?: string;
	out: string;
	budget: string[];
	methods?: string;
	candidates?: string;
	temperature?: string;
	maxTokens?: string;
	chat?: boolean;
	now?: string;
	template?: string;
	stop: string[];
	seed?: string;
	json?: boolean;
}

/** A bar with rate and time left; without a terminal, it prints only the plan. */
class AnswerBar {
	readonly #bar = new SingleBar({
		format: "{value}/{total} answers [{bar}] {rate}/s, {refused} refused, {left} left",
		stream: process.stderr,
		noTTYOutput: false,
	});
	#started = false;

	show({ answers, totalAnswers, refused, newAnswers, seconds }: AnswerProgress): void {
		if (!this.#started) tell(`${totalAnswers} answers, ${answers} of them there already`);
		if (process.stderr.isTTY) {
			const rate = seconds > 0 ? newAnswers / seconds : 0;
			const shown = { rate: rate.toFixed(1), refused, left: rate > 0 ? duration((totalAnswers - answers) / rate) : "?" };
			if (!this.#started) this.#bar.start(totalAnswers, answers, shown);
			this.#bar.setTotal(totalAnswers);
			this.#bar.update(answers, shown);
		}
		this.#started = true;
	}

	stop(): void {
		this.#bar.stop();
	}
}

/** Text in which `\n` and `\t` are spelled out, as a shell passes them. */
const unescaped = (text: string) => text.replaceAll("\\n", "\n").replaceAll("\\t", "\t");

export async function answersCommand(flags: AnswerFlags): Promise<void> {
	const bar = new AnswerBar();
	const stop = new AbortController();
	process.once("SIGINT", () => stop.abort());
	const seed = numeric(flags.seed);
	const limit = numeric(flags.limit);
	const [firstBudget, ...otherBudgets] = flags.budget;
	try {
		const { skipped, ...done } = await sampleAnswers({
			model: flags.model,
			...constraintsOf({ ...flags, budget: flags.budget.length === 0 ? [] : [undefined, ...otherBudgets] }),
			budgets: numbersOf(firstBudget),
			prompts: {
				file: flags.prompts,
				preset: flags.preset,
				promptField: flags.field,
				...(limit !== undefined && { limit, seed: seed ?? 0 }),
			},
			out: flags.out,
			methods: listed(flags.methods) as AnswerMethod[] | undefined,
			candidates: numbersOf(flags.candidates),
			temperatures: numbersOf(flags.temperature),
			maxTokens: numeric(flags.maxTokens),
			chat: flags.chat,
			now: flags.now,
			template: flags.template && unescaped(flags.template),
			stop: flags.stop.map(unescaped),
			seed,
			...optionsFrom(flags, engineRows),
			onProgress: (progress) => bar.show(progress),
			signal: stop.signal,
		});
		bar.stop();
		if (flags.json) {
			say(JSON.stringify({ ...done, skipped }));
			return;
		}
		say(
			`${done.answers} answers are in ${flags.out}, ${done.refused} of them refused: sampled ${done.newAnswers} in ${done.seconds.toFixed(1)} s`,
		);
		if (skipped.length > 0) {
			const codes = [...new Set(skipped.map(({ code }) => code))].join(", ");
			say(`${skipped.length} were left out, since the model cannot give them: ${codes}`);
		}
	} finally {
		bar.stop();
	}
}
