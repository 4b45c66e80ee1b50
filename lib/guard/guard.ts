import { AsyncLocalStorage } from "node:async_hooks";
import { categoriesOf } from "../costs/index.js";
import { AbortedError, DisposedError, InvalidOptionError } from "../errors.js";
import { checkControlVector } from "../files/control-vector.js";
import { checkProbes, readsProbe } from "../files/probe.js";
import { addonPath, callAddon } from "../native/addon.js";
import type {
	NativeConstraint,
	NativeInfo,
	NativeQuestion,
	NativeRequest,
	NativeResult,
	NativeSearch,
	NativeSpec,
} from "../native/protocol.js";
import { abortedBy, CallbackWatch } from "../native/worker.js";
import { type CheckedGenerateOptions, checkGenerateOptions } from "../options/generate.js";
import { type CheckedLoadOptions, checkHashOptions, checkLoadOptions } from "../options/load.js";
import { asksCritic, type KnownCritic, resolveSearch } from "../options/resolve.js";
import type { GenerateOptions, LoadOptions, SearchOptions } from "../options/types.js";
import {
	begunPrompt,
	type ChatMessage,
	type Prompt,
	type PromptReading,
	questionOf,
	type ReadPrompt,
	readPrompt,
	readRaw,
} from "../prompt/chat.js";
import { CertificateWatch, limitsOf } from "./certificate.js";
import { type ScoredCost, scoreTexts } from "./cost-scorer.js";
import { type CriticIdentity, checkBudgets, checkCritic, readCriticIdentity, TrainingLimits } from "./critic.js";
import { Fingerprints, type GuardIdentity } from "./identity.js";
import { nativeSpec } from "./load-spec.js";
import { NativeGuard } from "./native-guard.js";
import { repairNote, withNote, withRepair } from "./repair.js";
import { RefusalError, type Reply } from "./reply.js";
import { askScoreFunction } from "./score-function.js";
import { GuardStream } from "./stream.js";

/** The call of a cost or reward function that the current code runs in, and whether a search still waits for it. */
const currentQuestion = new AsyncLocalStorage<{ guard: InferenceGuard; open: boolean }>();

/**
 * A loaded model with its cost models and budgets: every generation with an enforcing strategy stays within budget under
 * those cost models (InferenceGuard, arXiv 2502.01208).
 *
 * Generations of one guard run concurrently on threads of its own and share the steps of the model. A guard that is steered runs them one
 * after the other, in the order of the calls. The beginning of a prompt that an earlier generation has read is not read again
 * (`reply.usage.cachedPromptTokens`).
 */
export class InferenceGuard {
	readonly #native: NativeGuard;
	readonly #info: NativeInfo;
	readonly #options: CheckedLoadOptions;
	readonly #fingerprints: Fingerprints;
	readonly #constraints: readonly NativeConstraint[];
	/** Names of each cost model's categories. */
	readonly #categories: readonly (readonly string[])[];
	readonly #limits: TrainingLimits | undefined;
	readonly #critic: KnownCritic | undefined;
	readonly #certificate: CertificateWatch | undefined;
	#disposed: Promise<void> | undefined;

	private constructor(
		native: NativeGuard,
		info: NativeInfo,
		options: CheckedLoadOptions,
		spec: NativeSpec,
		fingerprints: Fingerprints,
		critic: CriticIdentity | undefined,
		certificate: CertificateWatch | undefined,
	) {
		this.#certificate = certificate;
		this.#native = native;
		this.#info = info;
		this.#options = options;
		this.#fingerprints = fingerprints;
		this.#constraints = spec.constraints;
		this.#categories = spec.constraints.map(categoriesOf);
		this.#critic = critic ?? (info.hasCritic ? {} : undefined);
		this.#limits = critic && new TrainingLimits(critic, options.steering !== undefined);
	}

	/**
	 * Loads a model. See {@link LoadOptions} for every option.
	 *
	 * Errors: INVALID_OPTION, INVALID_LEXICON, INVALID_COST_MODEL, INVALID_CRITIC, CRITIC_MISMATCH, INVALID_CONTROL_VECTOR,
	 * CONTROL_VECTOR_MISMATCH, MODEL_NOT_FOUND, INVALID_MODEL, UNSUPPORTED_MODEL, COST_MODEL_FLIPPED, COST_MODEL_TEMPLATE,
	 * COST_MODEL_TOKENIZER, COST_MODEL_MISMATCH, INVALID_CERTIFICATE, CERTIFICATE_MISMATCH, DEVICE_NOT_FOUND, OUT_OF_MEMORY, CALLBACK_FAILED, ABORTED, ADDON_NOT_FOUND,
	 * CPU_UNSUPPORTED.
	 */
	static async load(options: LoadOptions): Promise<InferenceGuard> {
		const checked = checkLoadOptions(options);
		if (checked.signal?.aborted) throw abortedBy(checked.signal);
		addonPath(); // if the package is missing, so are its model files
		const spec = await nativeSpec(checked);
		const critic = checked.critic === undefined ? undefined : readCriticIdentity(checked.critic);
		using watch = new CallbackWatch(checked.signal);
		const onProgress = watch.wrap("onLoadProgress", checked.onLoadProgress);
		const fingerprints = await Fingerprints.of(spec);
		const asked = critic || checked.steering || checked.certificate || readsProbe(spec);
		const [hashed, loaded] = asked ? [0.5, 0.5] : [0, 1];
		if (asked || "tabular" in spec) {
			const hashing = { signal: watch.signal, onProgress: (share: number) => onProgress(hashed * share) };
			const hash = await watch.run(() => fingerprints.model(hashing));
			checkProbes(spec, hash);
			if (critic) await checkCritic(critic, spec, hash);
			if (checked.steering) checkControlVector(checked.steering.vector, hash);
		}
		const native = new NativeGuard(spec, watch.signal, (share) => onProgress(hashed + loaded * share));
		try {
			const info = await watch.run(() => native.opened);
			await fingerprints.expectLoaded();
			if (critic) checkBudgets(critic, info.budgets);
			const certificate =
				checked.certificate && new CertificateWatch(checked.certificate, await fingerprints.identity(), limitsOf(checked, info.budgets));
			return new InferenceGuard(native, info, checked, spec, fingerprints, critic, certificate);
		} catch (error) {
			await native.close();
			throw error;
		}
	}

	/** Longest prompt and response together, in tokens. */
	get contextSize(): number {
		return this.#info.contextSize;
	}

	/**
	 * Fingerprint of the model: SHA-256 over all bytes of its file (of all parts in order), or of its table. Every byte is read for it, on a
	 * thread of its own, and only once for an unchanged file. Loading computes it if a critic, a probe, steering or a certificate depends on
	 * it.
	 *
	 * Errors: INVALID_OPTION, INVALID_MODEL if the file is no longer the one that was loaded, CALLBACK_FAILED, ABORTED.
	 */
	async modelHash(options: { onProgress?: (share: number) => void; signal?: AbortSignal } = {}): Promise<string> {
		const { onProgress, signal } = checkHashOptions(options);
		using watch = new CallbackWatch(signal);
		const hashing = { signal: watch.signal, onProgress: watch.wrap("onProgress", onProgress) };
		return await watch.run(() => this.#fingerprints.model(hashing));
	}

	/**
	 * Fingerprints of everything that decides its answers.
	 * @internal
	 */
	identity(): Promise<GuardIdentity> {
		return this.#fingerprints.identity();
	}

	/**
	 * Generates one response. See {@link GenerateOptions} for every option.
	 *
	 * Errors: INVALID_OPTION, INVALID_PROMPT, SPECIAL_TOKEN_TEXT, PROMPT_TOO_LONG, CHAT_TEMPLATE, KV_CAPACITY, OUT_OF_MEMORY,
	 * TEXT_TOO_LONG, CALLBACK_FAILED, DECODE_FAILED, ABORTED, DISPOSED, CERTIFICATE_MISMATCH, CRITIC_MISMATCH, UNSUPPORTED_MODEL, and REFUSED with `onRefusal: "throw"`.
	 */
	async generate(options: GenerateOptions): Promise<Reply> {
		return this.#generate(checkGenerateOptions(options), undefined);
	}

	/**
	 * Generates one response and yields its text as it is committed. The yielded text never changes, is a prefix of the final text, and is
	 * within budget. Iterate once; `reply` has the whole result. Leaving the loop early aborts.
	 *
	 * Errors: as for {@link generate}, thrown by the iteration and by `reply`.
	 */
	stream(options: GenerateOptions): GuardStream {
		const checked = attempted(() => checkGenerateOptions(options));
		return new GuardStream("value" in checked ? checked.value.signal : undefined, async (signal, onPiece) => {
			if ("error" in checked) throw checked.error;
			return this.#generate({ ...checked.value, signal }, onPiece);
		});
	}

	async #generate(options: CheckedGenerateOptions, onPiece: ((text: string) => void) | undefined): Promise<Reply> {
		this.#assertFree();
		const { signal, onRefusal } = options;
		if (signal?.aborted) throw abortedBy(signal);
		const isStream = onPiece !== undefined;
		const search = this.#search(options);
		const { asked, prefill } = begunPrompt(options);
		const reading = { now: options.now, refusal: typeof onRefusal === "object" ? onRefusal.text : undefined, signal };
		const { native, readNow } = await readPrompt(asked, this.#info, reading);
		const begun = prefill === undefined ? undefined : readRaw(prefill, "the prefill", this.#info);
		const certificate = this.#certificate?.claimFor(search, { stream: isStream, readNow, isBegun: begun !== undefined });
		const request = { ...this.#request(native, questionOf(asked), options, search, isStream), prefill: begun };
		const events = { piece: (text: string) => onPiece?.(text), ask: this.#ask };
		const run = async (request: NativeRequest) => {
			this.#assertUsable();
			return this.#untilDisposed(this.#native.run("generate", request, signal, events), signal);
		};
		const searched = await run(request);
		const attempt = await this.#repair(searched, request, "messages" in asked ? asked.messages : undefined, reading, run);
		if (attempt?.outcome === "repaired") onPiece?.(attempt.text);
		const result = attempt ? withRepair(searched, attempt) : searched;
		const reply = {
			...this.#reply(result, request.seed),
			...(options.trace && { trace: result.trace }),
			...(certificate && { certificate }),
		};
		if (reply.outcome !== "refused" || onRefusal === "return") return reply;
		if (onRefusal === "throw") throw new RefusalError(reply);
		onPiece?.(onRefusal.text);
		return { ...reply, text: onRefusal.text };
	}

	/** A function that is asked may not wait for its own guard. */
	readonly #ask = (kind: "cost" | "reward", question: NativeQuestion): Promise<Float64Array> => {
		const call = { guard: this, open: true };
		return currentQuestion
			.run(call, () => askScoreFunction(this.#options, kind, question))
			.finally(() => {
				call.open = false;
			});
	};

	/** Errors: DISPOSED where the guard's end cancelled the work, and not the caller. */
	#untilDisposed<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
		return work.catch((error) => {
			throw this.#disposed && error instanceof AbortedError && !signal?.aborted ? disposedError() : error;
		});
	}

	/** The attempt after a refusal, if its prompt can carry a note. */
	async #repair(
		{ outcome, harm }: NativeResult,
		request: NativeRequest,
		messages: readonly ChatMessage[] | undefined,
		reading: PromptReading,
		run: (request: NativeRequest) => Promise<NativeResult>,
	): Promise<NativeResult | undefined> {
		if (outcome !== "refused" || !request.repair || messages === undefined) return undefined;
		const note = repairNote(harm ? this.#categories[harm.constraint]?.[harm.category] : undefined);
		const { native } = await readPrompt({ messages: withNote(messages, note) }, this.#info, reading);
		return run({ ...request, noted: native, stream: false, availableBytes: process.availableMemory() });
	}

	#search(options: CheckedGenerateOptions): NativeSearch {
		const search = resolveSearch(options, this.#critic);
		if (asksCritic(search)) this.#limits?.check(search, options.prefill !== undefined || options.continueFinal);
		if (search.objective === "augmented" && this.#options.constraints.length === 0) {
			throw new InvalidOptionError(
				`strategy: expected a cost model for ${options.strategy} with the augmented objective, got none; ` +
					"give load a cost, or choose a strategy that does not enforce the budget, such as sample",
			);
		}
		return search;
	}

	#request(
		prompt: ReadPrompt["native"],
		question: string | undefined,
		options: CheckedGenerateOptions,
		search: NativeSearch,
		stream: boolean,
	): NativeRequest {
		const { messages, cachePrompt = options.seed === undefined, seed = Math.floor(Math.random() * 2 ** 32), trace } = options;
		return {
			...prompt,
			...search,
			repair: search.repair && messages !== undefined,
			question,
			seed,
			cachePrompt,
			stream,
			trace,
			availableBytes: process.availableMemory(),
		};
	}

	#reply(result: NativeResult, seed: number): Reply {
		const constraints = result.z.map((z, i) => ({
			cost: result.cost[i] ?? 0,
			budget: this.#info.budgets[i] ?? 0,
			z: Array.from(z),
			...this.#categoriesOf(result, i),
		}));
		const [first = { cost: 0, budget: 0, z: [] }] = constraints;
		return {
			text: result.text,
			tokens: Array.from(result.tokens),
			endToken: result.endToken,
			outcome: result.outcome,
			finishReason: result.finishReason,
			safety: { ...first, constraints, pSafe: result.pSafe, rounds: result.rounds, backtracks: result.backtracks },
			reward: result.reward,
			logLikelihood: result.logLikelihood,
			logLikelihoods: Array.from(result.logLikelihoods),
			usage: {
				promptTokens: result.promptTokens,
				cachedPromptTokens: result.cachedPromptTokens,
				emittedTokens: result.tokens.length,
				generatedTokens: result.generatedTokens,
				kvCells: { capacity: result.kvCapacity, peak: result.kvPeak },
			},
			timings: result.timings,
			engine: {
				llamaCpp: callAddon((native) => native.llamaCppVersion),
				backend: this.#info.backend,
				cpu: callAddon((native) => native.cpuLevel),
				threads: this.#options.threads,
				modelHash: this.#fingerprints.known,
				outputs: result.outputs,
			},
			seed,
			...(result.steering !== null && { steering: result.steering }),
		};
	}

	#categoriesOf({ categories }: NativeResult, constraint: number): { categories?: Record<string, number> } {
		const probabilities = categories[constraint];
		if (!probabilities?.length) return {};
		const names = this.#categories[constraint] ?? [];
		return { categories: Object.fromEntries(names.map((name, i) => [name, probabilities[i] as number])) };
	}

	/**
	 * Log-likelihood of each token after a prompt, decoded afresh one by one, to check the search's own sums.
	 * @internal
	 */
	async logLikelihoods(prompt: readonly number[], tokens: readonly number[]): Promise<number[]> {
		this.#assertUsable();
		return Array.from(await this.#native.run("logLikelihoods", { prompt: Int32Array.from(prompt), tokens: Int32Array.from(tokens) }));
	}

	/**
	 * The costs of finished responses to a prompt, [text][constraint]. They wait until running generations have ended.
	 * @internal
	 */
	async score(prompt: string, texts: readonly string[], signal: AbortSignal): Promise<ScoredCost[][]> {
		this.#assertFree();
		if (this.#constraints.some(({ kind }) => kind === "tokenCosts")) {
			throw new InvalidOptionError("expected cost models of texts, got { tokenCosts }, which needs the tokens of a model");
		}
		const scoring = { native: this.#native, nativeConstraints: this.#constraints, info: this.#info, ask: this.#ask };
		return this.#untilDisposed(scoreTexts(scoring, prompt, texts, { signal }), signal);
	}

	/**
	 * How a generation with these options searches.
	 *
	 * Errors: INVALID_OPTION.
	 * @internal
	 */
	searchOf(options: SearchOptions): NativeSearch {
		return this.#search(checkGenerateOptions({ ...options, prompt: "" }));
	}

	/**
	 * Whether a certificate covers such a search, as long as it does not stream.
	 * @internal
	 */
	isCertified(search: NativeSearch): boolean {
		return this.#certificate?.covers(search) === true;
	}

	/**
	 * Facts about the model.
	 * @internal
	 */
	get info(): NativeInfo {
		return this.#info;
	}

	/**
	 * Budgets and criteria in effect.
	 * @internal
	 */
	get limits(): Record<string, unknown>[] {
		return limitsOf(this.#options, this.#info.budgets);
	}

	/**
	 * Mean log-likelihood of a reply's tokens after its prompt, the one that ended the turn included, under the unsteered model; 0 without
	 * tokens.
	 * @internal
	 */
	async meanLogLikelihood(prompt: Prompt, reply: Pick<Reply, "tokens" | "endToken">, now?: string): Promise<number> {
		this.#assertUsable();
		const tokens = reply.endToken === null ? reply.tokens : [...reply.tokens, reply.endToken];
		if (tokens.length === 0) return 0;
		const { native } = await readPrompt(prompt, this.#info, { now });
		const [promptTokens = new Int32Array()] = await this.#native.run("tokenize", [native]);
		const each = await this.#native.run("logLikelihoods", { prompt: promptTokens, tokens: Int32Array.from(tokens) });
		return each.reduce((sum, one) => sum + one, 0) / tokens.length;
	}

	/**
	 * The residual stream after every layer at each prompt's last token, not steered: [prompts, layers, width].
	 * @internal
	 */
	async layerStates(prompts: readonly (readonly number[])[]): Promise<Float32Array> {
		this.#assertUsable();
		return this.#native.run(
			"layerStates",
			prompts.map((tokens) => ({ tokens: Int32Array.from(tokens) })),
		);
	}

	/**
	 * Seconds of a bare loop over the decoder (sequences that share a prompt, one step per token, nothing else): the upper bound for the
	 * search's speed.
	 * @internal
	 */
	async bareDecode(promptTokens: number, sequences: number, tokens: number): Promise<number> {
		this.#assertUsable();
		return this.#native.run("bareDecode", { promptTokens, sequences, tokens });
	}

	/**
	 * Frees the model. Running and queued generations are cancelled and reject with DISPOSED, as every later call does.
	 * Calling it again waits for the same end.
	 */
	dispose(): Promise<void> {
		this.#disposed ??= (async () => {
			this.#native.cancelAll();
			await this.#native.close();
		})();
		return this.#disposed;
	}

	/** `await using guard = …` disposes at the end of the block. */
	async [Symbol.asyncDispose](): Promise<void> {
		await this.dispose();
	}

	#assertUsable(): void {
		if (this.#disposed) throw disposedError();
	}

	/** Errors: DISPOSED; INVALID_OPTION in a cost or reward function that this guard waits for. */
	#assertFree(): void {
		this.#assertUsable();
		const question = currentQuestion.getStore();
		if (question?.guard !== this || !question.open) return;
		throw new InvalidOptionError(
			"expected a cost or reward function not to generate with the guard that waits for it; load a second guard for that",
		);
	}
}

function disposedError(): DisposedError {
	return new DisposedError("expected a live guard, but it was disposed; load a new one");
}

/** What a function returns or throws. */
function attempted<T>(work: () => T): { value: T } | { error: unknown } {
	try {
		return { value: work() };
	} catch (error) {
		return { error };
	}
}
