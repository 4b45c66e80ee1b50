// Who runs and who waits: slots, a queue, the deadline of a request, and the end of the server.
import { LinkedController, whenAborted } from "../base/abort.js";
import { RequestError } from "./errors.js";
import type { ServerOptions } from "./options.js";

type Limits = Pick<ServerOptions, "parallel" | "queue" | "queueTimeout" | "requestTimeout">;

/** The run of one request. Its signal aborts if the client leaves, at the deadline, and when a draining server waits no longer. */
export class Ticket extends LinkedController {
	readonly #deadline: NodeJS.Timeout;
	readonly #onEnd: () => void;

	constructor(client: AbortSignal, { requestTimeout }: Limits, onEnd: () => void) {
		super(client);
		this.#onEnd = onEnd;
		const late = () => this.abort(new RequestError("deadline", `expected an answer within ${requestTimeout} s; ask for a shorter one`));
		this.#deadline = setTimeout(late, requestTimeout * 1000);
	}

	/** Ends what still runs, and gives the slot to the next request. */
	end(): void {
		clearTimeout(this.#deadline);
		this.abort();
		this[Symbol.dispose]();
		this.#onEnd();
	}
}

interface Waiting {
	begin(): void;
	refuse(error: RequestError): void;
}

export const shuttingDown = () => new RequestError("shutting_down", "the server is shutting down; try another one");

export const clientLeft = () => new RequestError("client_left", "the client left");

/** Requests run in the order in which they came, at most `parallel` at once. */
export class Admission {
	readonly #limits: Limits;
	readonly #running = new Set<Ticket>();
	readonly #waiting: Waiting[] = [];
	/** Slots in use, by tickets and by requests that are about to get theirs. */
	#taken = 0;
	/** A moving average of how long requests run. */
	#usualSeconds = 0;
	#onIdle: (() => void) | undefined;
	#drained: Promise<void> | undefined;

	constructor(limits: Limits) {
		this.#limits = limits;
	}

	get isDraining(): boolean {
		return this.#drained !== undefined;
	}

	get running(): number {
		return this.#taken;
	}

	get waiting(): number {
		return this.#waiting.length;
	}

	/** Waits for a slot. Errors: RequestError. */
	async admit(client: AbortSignal): Promise<Ticket> {
		if (this.isDraining) throw shuttingDown();
		if (client.aborted) throw clientLeft();
		if (this.#taken < this.#limits.parallel) this.#taken++;
		else await this.#turn(client);
		const began = performance.now();
		const ticket = new Ticket(client, this.#limits, () => this.#leave(ticket, (performance.now() - began) / 1000));
		this.#running.add(ticket);
		return ticket;
	}

	/** Refuses new and waiting requests, lets the running ones end, and ends them itself after some seconds; the first call says how many. */
	drain(seconds: number): Promise<void> {
		this.#drained ??= this.#drain(seconds);
		return this.#drained;
	}

	async #drain(seconds: number): Promise<void> {
		for (const waiting of [...this.#waiting]) waiting.refuse(shuttingDown());
		if (this.#taken === 0) return;
		const idle = new Promise<void>((resolve) => {
			this.#onIdle = resolve;
		});
		const patience = setTimeout(() => {
			for (const ticket of this.#running) ticket.abort(shuttingDown());
		}, seconds * 1000);
		await idle;
		clearTimeout(patience);
	}

	#turn(client: AbortSignal): Promise<void> {
		const { queue, queueTimeout } = this.#limits;
		if (this.#waiting.length >= queue) throw this.#busy("queue_full", `expected at most ${queue} waiting requests`);
		return new Promise((resolve, reject) => {
			const leave = () => {
				clearTimeout(patience);
				stopListening();
				const place = this.#waiting.indexOf(waiting);
				if (place >= 0) this.#waiting.splice(place, 1);
			};
			const waiting: Waiting = {
				begin: () => {
					leave();
					resolve();
				},
				refuse: (error) => {
					leave();
					reject(error);
				},
			};
			this.#waiting.push(waiting);
			const patience = setTimeout(() => {
				waiting.refuse(this.#busy("queue_timeout", `expected a free slot within ${queueTimeout} s`));
			}, queueTimeout * 1000);
			const stopListening = whenAborted(client, () => waiting.refuse(clientLeft()));
		});
	}

	#busy(code: "queue_full" | "queue_timeout", message: string): RequestError {
		const seconds = (this.#usualSeconds * this.#waiting.length) / this.#limits.parallel;
		return new RequestError(code, `${message}; try again later`, {
			headers: { "retry-after": `${Math.ceil(Math.min(Math.max(seconds, 1), 60))}` },
		});
	}

	#leave(ticket: Ticket, seconds: number): void {
		if (!this.#running.delete(ticket)) return;
		this.#usualSeconds = this.#usualSeconds === 0 ? seconds : 0.8 * this.#usualSeconds + 0.2 * seconds;
		const next = this.#waiting[0];
		if (next) next.begin();
		else if (--this.#taken === 0) this.#onIdle?.();
	}
}
