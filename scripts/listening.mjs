// Servers that scripts start on this machine.
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";

const tries = 240;
const pause = 500; // milliseconds

export async function freePort() {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address();
	server.close();
	await once(server, "close");
	return port;
}

/** The first good response of an address at which a process that was just started will listen. */
export async function answering(address, server) {
	for (let i = 0; i < tries && server.exitCode === null; i++) {
		const response = await fetch(address).catch(() => undefined);
		if (response?.ok) return response;
		await setTimeout(pause);
	}
	throw new Error(`expected an answer from ${address} within ${(tries * pause) / 1000} seconds, got none`);
}
