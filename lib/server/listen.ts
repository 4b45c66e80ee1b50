// Serves the handler on an address.
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { InferenceGuard } from "../guard/guard.js";
import { createHandler } from "./handler.js";
import { checkListenOptions, type ListenOptions } from "./options.js";

/** Milliseconds. Connections are kept longer than proxies keep theirs, which is a minute. */
const serverOptions = { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 75_000 };

/** Milliseconds for the last bytes of answers. */
const lastBytes = 1000;

/** A server that listens. */
export interface RunningServer {
	/** Its address, such as `http://127.0.0.1:8080`. */
	readonly url: string;
	/**
	 * Answers new requests with 503, lets running ones end for `drainTimeout` and then aborts them, and then stops listening. The guard stays
	 * loaded. Calling it again waits for the same end.
	 */
	close(): Promise<void>;
}

/**
 * Serves {@link createHandler} on an address, and resolves when it listens.
 *
 * Errors: INVALID_OPTION, also for an address that other machines reach without `apiKeys`; those of `listen` of Node if the address is taken.
 */
export async function listen(guard: InferenceGuard, given: ListenOptions = {}): Promise<RunningServer> {
	const { host, port, auth: _, drainTimeout, ...options } = checkListenOptions(given);
	const handler = createHandler(guard, options);
	const server = createAdaptorServer({ fetch: handler, overrideGlobalObjects: false, serverOptions }) as Server;
	server.listen(port, host);
	await once(server, "listening");
	const { address, family, port: taken } = server.address() as AddressInfo;
	let closing: Promise<void> | undefined;
	const close = async () => {
		await handler.drain(drainTimeout);
		const closed = once(server, "close");
		server.close();
		server.closeIdleConnections();
		const patience = setTimeout(() => server.closeAllConnections(), lastBytes);
		await closed;
		clearTimeout(patience);
	};
	return {
		url: `http://${family === "IPv6" ? `[${address}]` : address}:${taken}`,
		close: () => {
			closing ??= close();
			return closing;
		},
	};
}
