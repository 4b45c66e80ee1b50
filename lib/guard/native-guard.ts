import { CallbackError } from "../errors.js";
import { callAddon } from "../native/addon.js";
import type {
	NativeInfo,
	NativeProbeJob,
	NativeProbes,
	NativePrompt,
	NativeQuestion,
	NativeRequest,
	NativeResult,
	NativeRolloutBatch,
	NativeRolloutRequest,
	NativeScoreRequest,
	NativeSpec,
} from "../native/protocol.js";
import { type JobEvents, Worker } from "../native/worker.js";
import { tryIsolated } from "./isolation.js";

export type AskFunction = (kind: "cost" | "reward", question: NativeQuestion) => Promise<Float64Array>;

/** The native half of a guard. It must not refer to the guard, so that a forgotten guard is collected. */
export class NativeGuard {
	readonly #worker = new Worker();
	readonly opened: Promise<NativeInfo>;

	constructor(spec: NativeSpec, signal: AbortSignal | undefined, onProgress: (share: number) => void) {
		this.opened = this.#open(spec, signal, onProgress);
	}

	async #open(spec: NativeSpec, signal: AbortSignal | undefined, progress: (share: number) => void): Promise<NativeInfo> {
		if (spec.isolate) await tryIsolated(spec, signal);
		return this.#run((id) => callAddon((native) => native.open(this.#worker.handle, id, spec)), signal, { progress });
	}

	readonly #run: Worker["run"] = (start, signal, events) => this.#worker.run(start, signal, events);

	/** Runs a job that may ask cost and reward functions. */
	#runAsking<T>(
		start: (id: number) => void,
		signal: AbortSignal | undefined,
		ask: AskFunction,
		piece?: (text: string) => void,
	): Promise<T> {
		const handle = this.#worker.handle;
		let failure: CallbackError | undefined;
		let jobId = 0;
		const answer = async (kind: "cost" | "reward", question: NativeQuestion) => {
			let answer: Float64Array | null = null;
			try {
				answer = await ask(kind, question);
			} catch (error) {
				failure = error as CallbackError;
			}
			callAddon((native) => native.answer(handle, jobId, answer));
		};
		const startKnown = (id: number) => {
			jobId = id;
			start(id);
		};
		return this.#run<T>(startKnown, signal, { piece, ask: answer }).catch((error) => {
			throw error instanceof CallbackError && failure ? failure : error;
		});
	}

	generate(request: NativeRequest, signal: AbortSignal | undefined, { piece, ask }: { piece(text: string): void; ask: AskFunction }) {
		const start = (id: number) => callAddon((native) => native.generate(this.#worker.handle, id, request));
		return this.#runAsking<NativeResult>(start, signal, ask, piece);
	}

	rollouts(request: NativeRolloutRequest, signal: AbortSignal | undefined, ask: AskFunction): Promise<NativeRolloutBatch> {
		return this.#runAsking((id) => callAddon((native) => native.rollouts(this.#worker.handle, id, request)), signal, ask);
	}

	score(request: NativeScoreRequest, signal: AbortSignal | undefined, ask: AskFunction): Promise<Float64Array> {
		return this.#runAsking((id) => callAddon((native) => native.score(this.#worker.handle, id, request)), signal, ask);
	}

	trainProbes(job: NativeProbeJob, signal: AbortSignal | undefined, epoch: JobEvents["epoch"]): Promise<NativeProbes> {
		return this.#run((id) => callAddon((native) => native.trainProbes(this.#worker.handle, id, job)), signal, { epoch });
	}

	tokenize(prompts: NativePrompt[], signal: AbortSignal | undefined): Promise<Int32Array[]> {
		return this.#run((id) => callAddon((native) => native.tokenize(this.#worker.handle, id, prompts)), signal);
	}

	layerStates(prompts: NativePrompt[], signal: AbortSignal | undefined): Promise<Float32Array> {
		return this.#run((id) => callAddon((native) => native.layerStates(this.#worker.handle, id, prompts)), signal);
	}

	logLikelihoods(prompt: Int32Array, tokens: Int32Array): Promise<Float64Array> {
		return this.#run((id) => callAddon((native) => native.logLikelihoods(this.#worker.handle, id, prompt, tokens)));
	}

	bareDecode(promptTokens: number, sequences: number, tokens: number): Promise<number> {
		return this.#run((id) => callAddon((native) => native.bareDecode(this.#worker.handle, id, promptTokens, sequences, tokens)));
	}

	cancelAll(): void {
		this.#worker.cancelAll();
	}

	close(): Promise<void> {
		return this.#run((id) => callAddon((native) => native.close(this.#worker.handle, id)));
	}
}
