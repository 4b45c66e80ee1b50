// Server-sent events: frames, and comments that keep a silent connection open.

/** An event of a stream; without a name for formats that have none. */
export interface Frame {
	event?: string;
	data: unknown;
}

const framed = ({ event, data }: Frame) =>
	`${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

const comment = ": ping\n\n";

const headers = {
	"content-type": "text/event-stream; charset=utf-8",
	"cache-control": "no-cache, no-transform",
	connection: "keep-alive",
	"x-accel-buffering": "no", // nginx would hold events back
};

export interface EventStreamOptions {
	/** Seconds of silence after which a comment is sent. */
	ping: number;
	/** Seconds after which a reader who takes nothing counts as one who left, at the latest at the double. */
	idleTimeout: number;
	/** Called if the reader leaves before the end. */
	onLeave(): void;
}

/** Frames count as kept from the first one. */
const byFrame = { highWaterMark: 0 };

/**
 * A response with the frames that `write` sends until it ends. A slow reader does not hold `write` up: frames are kept for it until it leaves,
 * or takes none for a while.
 */
export function eventStream(
	write: (send: (frame: Frame) => void) => Promise<void>,
	{ ping, idleTimeout, onLeave }: EventStreamOptions,
): Response {
	const encoder = new TextEncoder();
	let isOpen = true;
	let stop = () => {};
	const start = (controller: ReadableStreamDefaultController<Uint8Array>) => {
		const kept = () => -(controller.desiredSize ?? 0);
		let [sent, taken, keptBefore] = [0, 0, 0];
		const put = (text: string) => {
			if (!isOpen) return;
			controller.enqueue(encoder.encode(text));
			sent++;
		};
		const end = () => {
			isOpen = false;
			clearInterval(pinging);
		};
		const watch = () => {
			const isStalled = keptBefore > 0 && sent - kept() === taken;
			[taken, keptBefore] = [sent - kept(), kept()];
			if (isStalled) {
				controller.error(new Error(`the reader took nothing for ${idleTimeout} s`));
				stop();
				onLeave();
			} else if (!isOpen && keptBefore === 0) clearInterval(watching);
		};
		const pinging = setInterval(() => put(comment), ping * 1000);
		const watching = setInterval(watch, idleTimeout * 1000).unref();
		stop = () => {
			end();
			clearInterval(watching);
		};
		const send = (frame: Frame) => {
			put(framed(frame));
			pinging.refresh();
		};
		void write(send).finally(() => {
			if (isOpen) controller.close();
			end();
		});
	};
	const cancel = () => {
		stop();
		onLeave();
	};
	return new Response(new ReadableStream<Uint8Array>({ start, cancel }, byFrame), { headers });
}
