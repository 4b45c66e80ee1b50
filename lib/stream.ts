import type { Reply } from "./reply.js";

/** A piece of committed text. */
export interface StreamPiece {
	text: string;
}

/** The pieces of a streamed generation, and its whole result. The generation starts at once. */
export class GuardStream implements AsyncIterable<StreamPiece> {
	/** The whole result; rejects with the error that ended the generation. */
	readonly reply: Promise<Reply>;
	readonly #pieces: StreamPiece[] = [];
	readonly #abort = new AbortController();
	#wake: () => void = () => {};
	#ended = false;

	/** @internal */
	constructor(signal: AbortSignal | undefined, start: (signal: AbortSignal, onPiece: (text: string) => void) => Promise<Reply>) {
		const either = signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal;
		this.reply = start(either, (text) => {
			this.#pieces.push({ text });
			this.#wake();
		}).finally(() => {
			this.#ended = true;
			this.#wake();
		});
		this.reply.catch(() => {}); // whoever iterates is told
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<StreamPiece, void, void> {
		try {
			for (;;) {
				const piece = this.#pieces.shift();
				if (piece) yield piece;
				else if (this.#ended) break;
				else await new Promise<void>((resolve) => (this.#wake = resolve));
			}
			await this.reply;
		} finally {
			if (!this.#ended) this.#abort.abort();
		}
	}
}
