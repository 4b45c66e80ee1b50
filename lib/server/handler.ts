// The routes, and the way of one request through them: read, generated, written.
import { setTimeout } from "node:timers/promises";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { packageVersion } from "../base/package-files.js";
import { parseJson } from "../data/json.js";
import type { InferenceGuard } from "../guard/guard.js";
import type { Reply } from "../guard/reply.js";
import { callAddon } from "../native/addon.js";
import { settingsHash } from "../options/resolve.js";
import { usualRefusal } from "../prompt/chat.js";
import { withHost, withKey, withOrigins } from "./access.js";
import { Admission, clientLeft, shuttingDown, type Ticket } from "./admission.js";
import { chatJob } from "./chat.js";
import { completionJob } from "./completions.js";
import { RequestError } from "./errors.js";
import { checkHandlerOptions, type HandlerOptions, type ServerOptions, withLimit } from "./options.js";
import { responseJob } from "./responses.js";
import { eventStream, type Frame } from "./sse.js";
import { type Job, type ServerFacts, secondsNow } from "./wire.js";

/** Milliseconds in which a prompt that cannot be read is known, so that a stream of it is answered with an error and no stream. */
const settling = 1000;

/** Reads a request. Errors: RequestError. */
type ReadJob = (body: unknown, options: ServerOptions, facts: ServerFacts) => Job;

const jobs: Record<string, ReadJob> = {
	"/v1/chat/completions": chatJob,
	"/chat/completions": chatJob,
	"/v1/completions": completionJob,
	"/v1/responses": responseJob,
};

/** Changes with llama.cpp, this package, the budgets and how the server searches. */
function fingerprintOf(guard: InferenceGuard, { search }: ServerOptions): string {
	const settings = settingsHash({ version: packageVersion(), limits: guard.limits, search });
	return `b${callAddon((native) => native.llamaCppVersion)}-ig-${settings.slice(0, 8)}`;
}

async function bodyOf(request: Request): Promise<unknown> {
	try {
		return parseJson(await request.text());
	} catch (error) {
		throw new RequestError("invalid_request", `expected JSON as the body of the request: ${(error as Error).message}`);
	}
}

function wrongMethod(allowed: string[]): Response {
	const allow = allowed.join(", ");
	return new RequestError("method_not_allowed", `expected one of the methods ${allow}`, { headers: { allow } }).response;
}

function tooLarge(maxBody: number): Response {
	return new RequestError("request_too_large", `expected a body of at most ${maxBody} bytes; send less`).response;
}

class Server {
	readonly #guard: InferenceGuard;
	readonly #options: ServerOptions;
	readonly #facts: ServerFacts;
	readonly #admission: Admission;
	readonly #created = secondsNow();

	constructor(guard: InferenceGuard, options: ServerOptions) {
		this.#guard = guard;
		this.#options = options;
		this.#admission = new Admission(options);
		this.#facts = {
			model: options.alias[0] as string,
			fingerprint: fingerprintOf(guard, options),
			refusal: usualRefusal,
		};
	}

	get app(): Hono {
		const app = new Hono();
		const { apiKeys, corsOrigins, allowedHosts, maxBody } = this.#options;
		app.use(methodNotAllowed({ app, onMethodNotAllowed: (_, allowed) => wrongMethod(allowed) }));
		app.use(requestId(), withOrigins(corsOrigins), withHost(allowedHosts));
		app.onError((error) => RequestError.of(error).response);
		app.notFound(({ req }) => new RequestError("unknown_url", `there is no ${req.method} ${req.path} on this server`).response);
		for (const path of ["/health", "/v1/health"]) app.get(path, (c) => this.#health(c));
		app.get("/livez", (c) => c.json({ status: "ok" }));
		app.use(withKey(apiKeys), bodyLimit({ maxSize: maxBody, onError: () => tooLarge(maxBody) }));
		for (const path of ["/v1/models", "/models"]) {
			app.get(path, (c) => c.json({ object: "list", data: this.#options.alias.map((id) => this.#model(id)) }));
			app.get(`${path}/:id{.+}`, (c) => c.json(this.#model(this.#known(c.req.param("id")))));
		}
		for (const [path, read] of Object.entries(jobs)) app.post(path, (c) => this.#answer(c, read));
		return app;
	}

	/** Ends as {@link Handler.drain} says. */
	drain(seconds: number): Promise<void> {
		return this.#admission.drain(seconds);
	}

	#health(c: Context): Response {
		if (this.#admission.isDraining) throw shuttingDown();
		return c.json({ status: "ok" });
	}

	#model(id: string) {
		return { id, object: "model", created: this.#created, owned_by: "inferenceguard", meta: { n_ctx: this.#guard.contextSize } };
	}

	#known(model: string): string {
		const { alias, anyModel } = this.#options;
		if (anyModel || alias.includes(model)) return model;
		throw new RequestError("model_not_found", `model: expected ${alias.join(" or ")}, got ${JSON.stringify(model)}`, { param: "model" });
	}

	async #answer(c: Context, read: ReadJob): Promise<Response> {
		const body = await bodyOf(c.req.raw);
		const job = read(body, this.#options, this.#facts);
		const { model } = body as { model?: string | null };
		if (typeof model === "string") this.#known(model);
		const ticket = await this.#admission.admit(c.req.raw.signal);
		try {
			return await (job.isStream ? this.#stream(job, ticket) : this.#whole(job, ticket));
		} catch (error) {
			ticket.end();
			throw error;
		}
	}

	async #whole({ generations, format }: Job, ticket: Ticket): Promise<Response> {
		const { signal } = ticket;
		const replies = await Promise.all(generations.map((options) => this.#guard.generate({ ...options, signal })));
		ticket.end();
		const outcomes = replies.map(({ outcome }) => outcome);
		return Response.json(format.whole(replies), { headers: { "x-inferenceguard-outcome": outcomes.join(", ") } });
	}

	async #stream({ generations, format }: Job, ticket: Ticket): Promise<Response> {
		const { signal } = ticket;
		const choices = generations.map((options) => {
			const stream = this.#guard.stream({ ...options, signal });
			const pieces = stream[Symbol.asyncIterator]();
			return { stream, pieces, first: pieces.next() };
		});
		await Promise.race([...choices.map(({ first }) => first), setTimeout(settling, undefined, { ref: false })]);
		const write = async (send: (frame: Frame) => void) => {
			const sendAll = (frames: Frame[]) => frames.forEach(send);
			const ofChoice = async ({ stream, pieces, first }: (typeof choices)[number], index: number): Promise<Reply> => {
				for (let next = await first; !next.done; next = await pieces.next()) sendAll(format.piece(index, next.value.text));
				const reply = await stream.reply;
				sendAll(format.ending(index, reply));
				return reply;
			};
			sendAll(format.opening());
			try {
				sendAll(format.closing(await Promise.all(choices.map(ofChoice))));
			} catch (error) {
				sendAll(format.failure(RequestError.of(error)));
			}
			ticket.end();
		};
		return eventStream(write, { ping: this.#options.ping, onLeave: () => ticket.abort(clientLeft()) });
	}
}

/** Answers requests. */
export interface Handler {
	(request: Request): Promise<Response>;
	/**
	 * Answers new and waiting requests with 503 from now on, `/health` too, and resolves when the running ones have ended. They are aborted
	 * after so many seconds; their streams end with the error `shutting_down`.
	 */
	drain(seconds: number): Promise<void>;
}

/**
 * Answers requests of OpenAI's API with a guard: chat completions, completions, models and health. The function takes and gives the objects of `fetch`, so
 * that it can be served by any server that knows them, or called by itself.
 *
 * Errors: INVALID_OPTION. Requests are always answered, with an error's status where they fail.
 */
export function createHandler(guard: InferenceGuard, options: HandlerOptions = {}): Handler {
	const server = new Server(guard, withLimit(checkHandlerOptions(options), guard.contextSize));
	const { app } = server;
	return Object.assign(async (request: Request) => app.fetch(request), { drain: (seconds: number) => server.drain(seconds) });
}
