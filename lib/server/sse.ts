// Server-sent events: frames, and comments that keep a silent connection open.

/** An event of a stream; without a name for formats that have none. */
export interface Frame {
	event?: string;
	data: unknown;
}

export const framed = ({ event, data }: Frame) =>
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
	/** Called if the reader leaves before the end. */
	onLeave(): void;
}

/** A response with the frames that `write` sends until it ends. A slow reader does not hold `write` up: frames are kept for it. */
export function eventStream(write: (send: (frame: Frame) => void) => Promise<void>, { ping, onLeave }: EventStreamOptions): Response {
	let end = () => {};
	const body = new ReadableStream<Uint8Array>({
		start(controller) {
			const encoder = new TextEncoder();
			let isOpen = true;
			const put = (text: string) => {
				if (isOpen) controller.enqueue(encoder.encode(text));
			};
			const pinging = setInterval(() => put(comment), ping * 1000);
			end = () => {
				isOpen = false;
				clearInterval(pinging);
			};
			const send = (frame: Frame) => {
				put(framed(frame));
				pinging.refresh();
			};
			void write(send).finally(() => {
				if (isOpen) controller.close();
				end();
			});
		},
		cancel() {
			end();
			onLeave();
		},
	});
	return new Response(body, { headers });
}
