// Renders models' chat templates on a thread of its own. They are untrusted programs that may never end.

import { Worker } from "node:worker_threads";
import { moduleFile } from "../base/package-files.js";
import { ChatTemplateError } from "../errors.js";
import { abortedBy } from "../native/worker.js";

/** The input of a template. */
export interface TemplateVariables {
	messages: { role: string; content: string }[];
	add_generation_prompt: boolean;
	bos_token: string;
	eos_token: string;
}

interface TemplateJob {
	/** The template. */
	source: string;
	conversations: TemplateVariables[];
	/** Date, perhaps with a time, that the template reads. */
	now: string;
}

export interface Rendering {
	/** One per conversation: its text, or why there is none. */
	texts: ({ text: string } | { failure: string })[];
	/** The string literals in the template. */
	literals: string[];
	/** Whether the template read the date. */
	readsClock: boolean;
}

/** Milliseconds for all renderings of one prompt; usually they take less than one. */
const longestRendering = 5000;

/** The rest of this time. */
export interface RenderingTime {
	milliseconds: number;
}

export const renderingTime = (): RenderingTime => ({ milliseconds: longestRendering });
/** Megabytes; a rendering may use a fraction of it. */
const memory = { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 32 };

const reasonOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

/** A thread that renders one job at a time. It is replaced after a job that had to be ended. */
class TemplateThread {
	#worker: Worker | undefined;
	#last: Promise<unknown> = Promise.resolve();

	render(job: TemplateJob, signal: AbortSignal | undefined, left: RenderingTime): Promise<Rendering> {
		const stop = new AbortController();
		const rendering = this.#last.then(() => this.#render(job, stop.signal, left));
		this.#last = rendering.catch(() => {});
		if (!signal) return rendering;
		return new Promise((resolve, reject) => {
			const abort = () => {
				stop.abort();
				reject(abortedBy(signal));
			};
			signal.addEventListener("abort", abort, { once: true });
			rendering.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
			if (signal.aborted) abort();
		});
	}

	async #render(job: TemplateJob, signal: AbortSignal, left: RenderingTime): Promise<Rendering> {
		signal.throwIfAborted();
		const worker = this.#worker ?? (await this.#start());
		signal.throwIfAborted();
		worker.ref();
		try {
			return await this.#answer(worker, job, signal, left);
		} finally {
			worker.unref();
		}
	}

	#start(): Promise<Worker> {
		return new Promise((resolve, reject) => {
			const fail = (cause: unknown) =>
				reject(
					new ChatTemplateError(
						`the thread that renders chat templates could not be started (${reasonOf(cause)}); keep the folder of the package, and its dependencies, where a bundle finds them`,
						{ cause },
					),
				);
			try {
				const worker = new Worker(moduleFile("prompt/template-worker.js"), { execArgv: [], resourceLimits: memory });
				worker.on("error", fail);
				worker.on("exit", () => {
					if (this.#worker === worker) this.#worker = undefined;
				});
				worker.once("message", () => {
					this.#worker = worker;
					resolve(worker);
				});
			} catch (cause) {
				fail(cause);
			}
		});
	}

	#answer(worker: Worker, job: TemplateJob, signal: AbortSignal, left: RenderingTime): Promise<Rendering> {
		return new Promise((resolve, reject) => {
			let isSettled = false;
			const settle = () => {
				isSettled = true;
				left.milliseconds -= performance.now() - begin;
				clearTimeout(timer);
				signal.removeEventListener("abort", abort);
				worker.off("message", answered).off("error", failed).off("exit", exited);
			};
			const end = (error: Error) => {
				if (isSettled) return;
				settle();
				this.#worker = undefined;
				void worker.terminate();
				reject(error);
			};
			const answered = (rendering: Rendering) => {
				settle();
				resolve(rendering);
			};
			const failed = (cause: unknown) => end(new ChatTemplateError(`the model's chat template was ended: ${reasonOf(cause)}`, { cause }));
			const exited = () => end(new ChatTemplateError("the thread that renders chat templates ended"));
			const abort = () => end(abortedBy(signal));
			const late = () => end(new ChatTemplateError(`the model's chat template was ended: it took more than ${longestRendering / 1000} s`));
			const begin = performance.now();
			const timer = setTimeout(() => setImmediate(late), left.milliseconds); // an answer that is already waiting comes first
			signal.addEventListener("abort", abort, { once: true });
			worker.on("message", answered).on("error", failed).on("exit", exited);
			worker.postMessage(job);
		});
	}
}

const thread = new TemplateThread();

/**
 * Renders conversations with one template. Each has limits of steps and of output, and all share the remaining time. Errors: CHAT_TEMPLATE
 * if the thread had to be ended or cannot be started, ABORTED.
 */
export const renderTemplate = (job: TemplateJob, signal?: AbortSignal, left = renderingTime()): Promise<Rendering> =>
	thread.render(job, signal, left);
