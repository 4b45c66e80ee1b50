// POST /generate with { "prompt": "…" } answers with server-sent events: a `piece` for each piece of text, then one `reply` or `error`.
import { once } from "node:events";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { embeddedDefault, InferenceGuard } from "inferenceguard";

const guard = await InferenceGuard.load(embeddedDefault);

async function generate(request, response) {
	const left = new AbortController();
	response.once("close", () => left.abort()); // a client that leaves ends its generation
	response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
	const send = async (event, data) => {
		if (!response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)) await once(response, "drain", { signal: left.signal });
	};
	try {
		const { prompt } = await json(request);
		const stream = guard.stream({ prompt, maxTokens: 64, signal: left.signal });
		for await (const { text } of stream) await send("piece", { text });
		const { outcome, safety } = await stream.reply;
		await send("reply", { outcome, cost: safety.cost, budget: safety.budget });
	} catch ({ code = "INVALID_REQUEST", message }) {
		if (!left.signal.aborted) await send("error", { code, message });
	}
	response.end();
}

const server = createServer((request, response) => {
	if (request.method === "POST" && request.url === "/generate") return void generate(request, response);
	response.writeHead(404).end();
});

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/generate`));

process.once("SIGTERM", async () => {
	server.close();
	await guard.dispose(); // ends what still runs
	server.closeAllConnections();
});
