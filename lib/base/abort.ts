// Listens to the caller's abort signals. A signal may live as long as the process and be given to many calls at once.

interface Listener {
	readonly reactions: Set<() => void>;
	readonly onAbort: () => void;
}

const listeners = new WeakMap<AbortSignal, Listener>();

function listenerOf(signal: AbortSignal): Listener {
	const known = listeners.get(signal);
	if (known) return known;
	const reactions = new Set<() => void>();
	const onAbort = () => {
		for (const react of [...reactions]) react();
	};
	signal.addEventListener("abort", onAbort, { once: true });
	const listener = { reactions, onAbort };
	listeners.set(signal, listener);
	return listener;
}

/**
 * Calls `react` when the signal aborts, or at once if it has aborted. A signal has only one listener, shared by all who wait for it.
 * Returns a function that stops waiting.
 */
export function whenAborted(signal: AbortSignal, react: () => void): () => void {
	if (signal.aborted) {
		react();
		return () => {};
	}
	const { reactions, onAbort } = listenerOf(signal);
	reactions.add(react);
	return () => {
		reactions.delete(react);
		if (reactions.size > 0 || listeners.get(signal)?.reactions !== reactions) return;
		listeners.delete(signal);
		signal.removeEventListener("abort", onAbort);
	};
}

/** A controller that also aborts with the caller's signal, until it is disposed. */
export class LinkedController extends AbortController implements Disposable {
	readonly #unlink: () => void;

	constructor(signal: AbortSignal | undefined) {
		super();
		this.#unlink = signal ? whenAborted(signal, () => this.abort(signal.reason)) : () => {};
	}

	[Symbol.dispose](): void {
		this.#unlink();
	}
}
