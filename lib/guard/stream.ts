import { LinkedController } from "../base/abort.js";
import { StreamUsedError } from "../errors.js";
import type { Reply } from "./reply.js";

/** A piece of committed text. */
export interface StreamPiece {
	text: string;
}

type Next = IteratorResult<StreamPiece, undefined>;

const done: Next = { value: undefined, done: true };

/** The pieces of a streamed generation, and its whole result. The generation starts at once. */
export class GuardStream implements AsyncIterable<StreamPiece> {
	/** The whole result; rejects with the error that ended the generation. */
	readonly reply: Promise<Reply>;
	readonly #abort: LinkedController;
	readonly #pieces: StreamPiece[] = [];
	/** Calls of `next` that wait for a piece. */
	readonly #waiting: { resolve(next: Next): void; reject(error: unknown): void }[] = [];
	#isUsed = false;
	/** The loop has ended. */
	#isLeft = false;
	#hasEnded = false;
	#failure: { error: unknown } | undefined;

	/** @internal */
	constructor(signal: AbortSignal | undefined, start: (signal: AbortSignal, onPiece: (text: string) => void) => Promise<Reply>) {
		this.#abort = new LinkedController(signal);
		this.reply = start(this.#abort.signal, (text) => this.#add({ text })).finally(() => this.#abort[Symbol.dispose]());
		this.reply.then(
			() => this.#end(undefined),
			(error) => this.#end({ error }),
		);
	}

	/**
	 * One loop may take the pieces; `next` of any further iterator rejects with STREAM_USED. Leaving the loop calls `return`, which aborts the
	 * generation and settles waiting calls of `next`.
	 */
	[Symbol.asyncIterator](): AsyncIterableIterator<StreamPiece> {
		if (this.#isUsed) return refusal();
		this.#isUsed = true;
		const iterator: AsyncIterableIterator<StreamPiece> = {
			next: () => this.#next(),
			return: async () => {
				this.#leave();
				return done;
			},
			throw: async (error) => {
				this.#leave();
				throw error;
			},
			[Symbol.asyncIterator]: () => iterator,
		};
		return iterator;
	}

	#add(piece: StreamPiece): void {
		const first = this.#waiting.shift();
		if (first) first.resolve({ value: piece, done: false });
		else if (!this.#isLeft) this.#pieces.push(piece);
	}

	async #next(): Promise<Next> {
		if (this.#isLeft) return done;
		const piece = this.#pieces.shift();
		if (piece) return { value: piece, done: false };
		if (this.#hasEnded) return this.#lastNext();
		return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
	}

	/** After the last piece. An error is thrown only once. */
	#lastNext(): Next {
		const failure = this.#failure;
		this.#failure = undefined;
		if (failure) throw failure.error;
		return done;
	}

	#end(failure: { error: unknown } | undefined): void {
		this.#hasEnded = true;
		this.#failure = failure;
		for (const { resolve, reject } of this.#waiting.splice(0)) {
			try {
				resolve(this.#lastNext());
			} catch (error) {
				reject(error);
			}
		}
	}

	#leave(): void {
		this.#isLeft = true;
		this.#pieces.length = 0;
		for (const { resolve } of this.#waiting.splice(0)) resolve(done);
		if (!this.#hasEnded) this.#abort.abort();
	}
}

// biome-ignore lint/correctness/useYield: it has nothing to give
async function* refusal(): AsyncGenerator<StreamPiece, undefined, void> {
	throw new StreamUsedError("expected one loop over the pieces of a stream, got another; await stream.reply for the whole text");
}
