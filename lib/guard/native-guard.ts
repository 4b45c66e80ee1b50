import type { NativeInfo, NativeSpec } from "../native/protocol.js";
import { Worker } from "../native/worker.js";
import { tryIsolated } from "./isolation.js";

/** The files and settings of a guard, and whether another process tries them first. */
export type GuardSpec = NativeSpec & { isolate?: boolean };

/** The native half of a guard. It must not refer to the guard, so that a forgotten guard is collected. */
export class NativeGuard extends Worker {
	readonly opened: Promise<NativeInfo>;

	constructor(spec: GuardSpec, signal: AbortSignal | undefined, onProgress: (share: number) => void) {
		super();
		this.opened = this.#open(spec, signal, onProgress);
	}

	async #open({ isolate, ...spec }: GuardSpec, signal: AbortSignal | undefined, progress: (share: number) => void): Promise<NativeInfo> {
		if (isolate) await tryIsolated(spec, signal);
		return this.run("open", spec, signal, { progress });
	}

	close(): Promise<void> {
		return this.run("close", undefined);
	}
}
