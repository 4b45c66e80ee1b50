import { checkProbes, promptOfMeans, readsProbe } from "../files/probe.js";
import type { NativeConstraint, NativeInfo, NativeQuestion } from "../native/protocol.js";
import { abortedBy } from "../native/worker.js";
import { checkScorerOptions } from "../options/load.js";
import type { ConstraintOptions, CostModel, LoadOptions } from "../options/types.js";
import { Fingerprints } from "./identity.js";
import { scorerSpec } from "./load-spec.js";
import { NativeGuard } from "./native-guard.js";
import { askScoreFunction } from "./score-function.js";

/** Options of {@link CostScorer.load}. */
export interface CostScorerOptions
	extends Pick<LoadOptions, "device" | "gpuLayers" | "threads" | "useMmap" | "useMlock" | "isolate" | "signal"> {
	/** The GGUF file that probes read; nothing is generated with it. */
	model?: string;
	/** Cost models with their budgets; all kinds but `{ tokenCosts }`. */
	constraints: readonly (ConstraintOptions & { cost: CostModel })[];
}

/** The cost of a text under one constraint. */
export interface ScoredCost {
	/** Without discount, which needs the tokens of a model. */
	cost: number;
	withinBudget: boolean;
}

interface Scoring {
	native: NativeGuard;
	nativeConstraints: readonly NativeConstraint[];
	info: NativeInfo;
	ask(kind: "cost" | "reward", question: NativeQuestion): Promise<Float64Array>;
}

/** The costs of finished responses, as {@link CostScorer.score} describes. */
export async function scoreTexts(
	{ native, nativeConstraints, info, ask }: Scoring,
	prompt: string,
	texts: readonly string[],
	{ signal, now, isRaw = false }: { signal?: AbortSignal; now?: string; isRaw?: boolean },
): Promise<ScoredCost[][]> {
	const wellFormed = texts.map((text) => text.toWellFormed());
	const question = prompt.toWellFormed();
	if (signal?.aborted) throw abortedBy(signal);
	const asked = await Promise.all(nativeConstraints.map((constraint) => promptOfMeans(constraint, question, info, { now, signal })));
	const costs = await native.run("score", { prompt: question, isRaw, texts: wellFormed, asked }, signal, { ask });
	return texts.map((_, i) =>
		nativeConstraints.map((_, c) => {
			const cost = costs[i * nativeConstraints.length + c] as number;
			return { cost, withinBudget: cost <= (info.budgets[c] as number) };
		}),
	);
}

/**
 * Cost models with their budgets, without a generating model, for finished texts. Jobs run one after the other on a thread of its own.
 */
export class CostScorer {
	readonly #native: NativeGuard;
	readonly #scoring: Scoring;
	readonly #fingerprints: Fingerprints;

	private constructor(scoring: Scoring, fingerprints: Fingerprints) {
		this.#fingerprints = fingerprints;
		this.#native = scoring.native;
		this.#scoring = scoring;
	}

	/** Errors: those of {@link InferenceGuard.load} that concern cost models. */
	static async load(given: CostScorerOptions): Promise<CostScorer> {
		const options = checkScorerOptions(given);
		if (options.signal?.aborted) throw abortedBy(options.signal);
		const spec = await scorerSpec(options);
		const fingerprints = await Fingerprints.of(spec);
		if (readsProbe(spec)) checkProbes(spec, await fingerprints.model({ signal: options.signal }));
		const native = new NativeGuard(spec, options.signal, () => {});
		try {
			const info = await native.opened;
			await fingerprints.expectLoaded();
			const { constraints } = options;
			const ask: Scoring["ask"] = (kind, question) => askScoreFunction({ constraints, reward: "logLikelihood" }, kind, question);
			return new CostScorer({ native, nativeConstraints: spec.constraints, info, ask }, fingerprints);
		} catch (error) {
			await native.close();
			throw error;
		}
	}

	/**
	 * The costs of finished responses to a prompt, [text][constraint]. A probe on means reads them after the prompt, as in its training: the
	 * prompt goes through the model's chat template (which reads the date `now`, default today), or is raw text, or is not read at all. A
	 * lexicon reads responses to a raw prompt as a continuation of its text.
	 *
	 * Errors: INVALID_PROMPT, SPECIAL_TOKEN_TEXT, CHAT_TEMPLATE, TEXT_TOO_LONG, CALLBACK_FAILED, KV_CAPACITY, OUT_OF_MEMORY, DECODE_FAILED, ABORTED.
	 */
	async score(
		prompt: string,
		texts: readonly string[],
		reading: { signal?: AbortSignal; now?: string; isRaw?: boolean } = {},
	): Promise<ScoredCost[][]> {
		return scoreTexts(this.#scoring, prompt, texts, reading);
	}

	/** Fingerprints of the cost models. Errors: INVALID_MODEL if a file is no longer the one that was loaded. */
	hashes(): Promise<string[]> {
		return this.#fingerprints.costs();
	}

	async dispose(): Promise<void> {
		this.#native.cancelAll();
		await this.#native.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.dispose();
	}
}
