import { AsyncResource } from "node:async_hooks";
import { types } from "node:util";
import { LinkedController, whenAborted } from "../base/abort.js";
import { reasonOf } from "../base/thrown.js";
import { AbortedError, CallbackError, type InferenceGuardError } from "../errors.js";
import { callAddon, errorFromNative } from "./addon.js";
import type { Events, Jobs, NativeEvent, NativeQuestion, WorkerHandle } from "./protocol.js";

/** Answers a question to a cost or reward function. Errors: CALLBACK_FAILED. */
export type AskFunction = (kind: "cost" | "reward", question: NativeQuestion) => Promise<Float64Array>;

/** Receives a job's events and questions before its end. */
export interface JobListeners {
	progress?(share: Events["progress"]): void;
	epoch?(progress: Events["epoch"]): void;
	piece?(text: Events["piece"]): void;
	ask?: AskFunction;
}

interface Job extends JobListeners {
	done(result: unknown): void;
	failed(error: InferenceGuardError): void;
	/** Of a function that it called. */
	failure?: CallbackError;
	/** Keeps the native worker alive while the job runs. */
	handle: WorkerHandle;
	/** The call that requested the job. Events run in its asynchronous context. */
	caller: AsyncResource;
}

export function abortedBy(signal: AbortSignal): AbortedError {
	return new AbortedError("the operation was aborted", { cause: signal.reason });
}

/** Reports progress to functions of the caller. If one throws or rejects, the work is aborted and rejects with CALLBACK_FAILED. */
export class CallbackWatch implements Disposable {
	readonly #abort: LinkedController;
	#failure: CallbackError | undefined;

	constructor(signal: AbortSignal | undefined) {
		this.#abort = new LinkedController(signal);
	}

	get signal(): AbortSignal {
		return this.#abort.signal;
	}

	[Symbol.dispose](): void {
		this.#abort[Symbol.dispose]();
	}

	wrap<T>(name: string, callback: ((value: T) => void) | undefined): (value: T) => void {
		const fail = (cause: unknown) => {
			this.#failure ??= new CallbackError(`the ${name} function failed: ${reasonOf(cause)}`, { cause });
			this.#abort.abort();
		};
		return (value) => {
			if (this.#failure) return;
			try {
				const returned: unknown = callback?.(value);
				if (types.isPromise(returned)) (async () => await returned)().catch(fail);
			} catch (cause) {
				fail(cause);
			}
		};
	}

	async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
		const result = await work(this.signal).catch((error) => {
			throw this.#failure ?? error;
		});
		if (this.#failure) throw this.#failure;
		return result;
	}
}

async function answer(job: Job, id: number, ...[kind, question]: Parameters<AskFunction>): Promise<void> {
	let values: Float64Array | null = null;
	try {
		values = (await job.ask?.(kind, question)) ?? null;
	} catch (error) {
		job.failure = error as CallbackError;
	}
	callAddon((native) => native.answer(job.handle, id, values));
}

/** A native thread and its jobs. It is freed when it is no longer referenced and no job runs. */
export class Worker {
	readonly #jobs = new Map<number, Job>();
	readonly #handle: WorkerHandle;
	#lastId = 0;

	constructor() {
		const jobs = this.#jobs;
		this.#handle = callAddon((native) =>
			native.start((id: number, ...[kind, payload]: NativeEvent) => {
				const job = jobs.get(id);
				if (kind === "done" || kind === "failed") jobs.delete(id);
				job?.caller.runInAsyncScope(() => {
					if (kind === "done") job.done(payload);
					else if (kind === "failed") job.failed(errorFromNative(payload.code, payload.message));
					else if (kind === "progress") job.progress?.(payload);
					else if (kind === "epoch") job.epoch?.(payload);
					else if (kind === "piece") job.piece?.(payload);
					else answer(job, id, kind, payload);
				});
			}),
		);
	}

	/** Starts a job and waits for its result. */
	run<K extends keyof Jobs>(
		kind: K,
		request: Jobs[K]["request"],
		signal?: AbortSignal,
		listeners: JobListeners = {},
	): Promise<Jobs[K]["result"]> {
		const id = ++this.#lastId;
		const handle = this.#handle;
		callAddon((native) => native.submit(handle, id, kind, request));
		const result = new Promise<Jobs[K]["result"]>((resolve, reject) => {
			const job: Job = {
				...listeners,
				handle,
				caller: new AsyncResource("inferenceguard"),
				done: (value) => resolve(value as Jobs[K]["result"]),
				failed: (error) => reject(error instanceof CallbackError && job.failure ? job.failure : error),
			};
			this.#jobs.set(id, job);
		});
		if (!signal) return result;
		const stopWaiting = whenAborted(signal, () => callAddon((native) => native.cancel(handle, id)));
		return result
			.catch((error) => {
				throw error instanceof AbortedError && signal.aborted ? abortedBy(signal) : error;
			})
			.finally(stopWaiting);
	}

	cancelAll(): void {
		for (const id of this.#jobs.keys()) callAddon((native) => native.cancel(this.#handle, id));
	}
}
