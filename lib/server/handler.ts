// The routes, and the way of one request through them: read, generated, written.
import { setTimeout } from "node:timers/promises";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { packageVersion } from "../base/package-files.js";
import { reasonOf } from "../base/thrown.js";
import { warn } from "../base/warn.js";
import type { ScoredCost } from "../guard/cost-scorer.js";
import type { InferenceGuard } from "../guard/guard.js";
import type { Reply } from "../guard/reply.js";
import type { GuardStream, StreamPiece } from "../guard/stream.js";
import { callAddon } from "../native/addon.js";
import { plainSettings, settingsHash } from "../options/resolve.js";
import type { GenerateOptions } from "../options/types.js";
import { withHost, withKey, withOrigins } from "./access.js";
import { Admission, clientLeft, shuttingDown, type Ticket } from "./admission.js";
import { bodyOf } from "./body.js";
import { chatJob } from "./chat.js";
import { completionJob } from "./completions.js";
import { RequestError } from "./errors.js";
import { counted, failureKey, Metrics } from "./metrics.js";
import { moderated, moderation } from "./moderations.js";
import { checkHandlerOptions, type HandlerOptions, resolvedFor, type ServerOptions } from "./options.js";
import { propsOf } from "./props.js";
import { responseJob } from "./responses.js";
import { eventStream, type Frame } from "./sse.js";
import { type Job, type ServerFacts, secondsNow, type WireFormat } from "./wire.js";

/** Milliseconds in which a prompt that cannot be read is known, so that a stream of it is answered with an error and no stream. */
const settling = 1000;

/** Texts are judged while no generation runs; between two jobs others may begin. */
const textsPerJob = 4;

/** Reads a request. Errors: RequestError. */
type ReadJob = (body: unknown, options: ServerOptions, facts: ServerFacts) => Job;

const jobs: Record<string, ReadJob> = {
	"/v1/chat/completions": chatJob,
	"/chat/completions": chatJob,
	"/v1/completions": completionJob,
	"/v1/responses": responseJob,
};

const versionsNow = () => ({ version: packageVersion(), llama_cpp: callAddon((native) => native.llamaCppVersion) });

/** Changes with llama.cpp, this package, the budgets and how the server searches. */
function fingerprintOf(guard: InferenceGuard, { resolved }: ServerOptions): string {
	const { version, llama_cpp } = versionsNow();
	const settings = settingsHash({ version, limits: guard.limits, search: plainSettings(resolved) });
	return `b${llama_cpp}-ig-${settings.slice(0, 8)}`;
}

function wrongMethod(allowed: string[]): RequestError {
	const allow = allowed.join(", ");
	return new RequestError("method_not_allowed", `expected one of the methods ${allow}`, { headers: { allow } });
}

/** A request's failure, with a warning for the operator where the server is to blame. */
function failureOf(error: unknown): RequestError {
	const failure = RequestError.of(error);
	if (failure.isOfServer) warn("REQUEST_FAILED", `a request failed: ${reasonOf(error)}`);
	return failure;
}

/** A failure that hono asks for as a response. */
function failed(c: Context, failure: RequestError): Response {
	c.set(failureKey, failure);
	return failure.response;
}

const timed: MiddlewareHandler = async (c, next) => {
	const began = performance.now();
	await next();
	c.res.headers.set("openai-processing-ms", `${Math.round(performance.now() - began)}`);
};

interface RunningChoice {
	stream: GuardStream;
	pieces: AsyncIterator<StreamPiece, undefined>;
	first: Promise<IteratorResult<StreamPiece, undefined>>;
}

const secondsSince = (time: number) => (performance.now() - time) / 1000;

class Server {
	readonly #guard: InferenceGuard;
	readonly #options: ServerOptions;
	readonly #facts: ServerFacts;
	readonly #admission: Admission;
	readonly #metrics = new Metrics();
	readonly #created = secondsNow();

	constructor(guard: InferenceGuard, options: ServerOptions) {
		this.#guard = guard;
		this.#options = options;
		this.#admission = new Admission(options);
		this.#facts = {
			model: options.alias[0] as string,
			fingerprint: fingerprintOf(guard, options),
		};
	}

	get app(): Hono {
		const app = new Hono();
		const { apiKeys, corsOrigins, allowedHosts, metrics } = this.#options;
		app.onError((error) => failureOf(error).response);
		app.use(requestId(), timed, counted(this.#metrics));
		app.use(withOrigins(corsOrigins), withHost(allowedHosts));
		app.use(methodNotAllowed({ app, onMethodNotAllowed: (c, allowed) => failed(c, wrongMethod(allowed)) }));
		app.notFound((c) => failed(c, new RequestError("unknown_url", `there is no ${c.req.method} ${c.req.path} on this server`)));
		for (const path of ["/health", "/v1/health"]) app.get(path, (c) => this.#health(c));
		app.get("/livez", (c) => c.json({ status: "ok" }));
		app.use(withKey(apiKeys));
		for (const path of ["/v1/models", "/models"]) {
			app.get(path, (c) => c.json({ object: "list", data: this.#options.alias.map((id) => this.#model(id)) }));
			app.get(`${path}/:id{.+}`, (c) => c.json(this.#model(this.#known(c.req.param("id")))));
		}
		for (const [path, read] of Object.entries(jobs)) app.post(path, (c) => this.#answer(c, read));
		if (this.#guard.limits.length > 0) app.post("/v1/moderations", (c) => this.#moderate(c));
		app.get("/props", (c) => c.json(propsOf(this.#guard, this.#options, this.#facts)));
		if (metrics) app.get("/metrics", () => this.#exposition());
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

	#exposition(): Response {
		const { running, waiting } = this.#admission;
		const { backend } = this.#guard.info;
		const info = { ...versionsNow(), backend, model: this.#facts.model };
		const text = this.#metrics.text({ requests_running: running, requests_waiting: waiting }, info);
		return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
	}

	#model(id: string) {
		const { contextSize, vocabularySize } = this.#guard.info;
		return {
			id,
			object: "model",
			created: this.#created,
			owned_by: "inferenceguard",
			meta: { n_ctx: contextSize, n_vocab: vocabularySize },
		};
	}

	#known(model: string): string {
		const { alias, anyModel } = this.#options;
		if (anyModel || alias.includes(model)) return model;
		throw new RequestError("model_not_found", `model: expected ${alias.join(" or ")}, got ${JSON.stringify(model)}`, { param: "model" });
	}

	async #answer(c: Context, read: ReadJob): Promise<Response> {
		const job = read(await this.#bodyFor(c), this.#options, this.#facts);
		return this.#admitted(c, (ticket) => (job.isStream ? this.#stream(job, ticket) : this.#whole(job, ticket)));
	}

	async #moderate(c: Context): Promise<Response> {
		const { prompt, texts } = moderated(await bodyOf(c.req.raw, this.#options.maxBody));
		return this.#admitted(c, async (ticket) => {
			const costs: ScoredCost[][] = [];
			for (let i = 0; i < texts.length; i += textsPerJob) {
				costs.push(...(await this.#guard.score(prompt, texts.slice(i, i + textsPerJob), ticket.signal)));
			}
			ticket.end();
			return c.json(moderation(costs, this.#facts));
		});
	}

	/** The body of a request for this model. */
	async #bodyFor(c: Context): Promise<unknown> {
		const body = await bodyOf(c.req.raw, this.#options.maxBody);
		const { model } = (body ?? {}) as { model?: unknown };
		if (typeof model === "string") this.#known(model);
		return body;
	}

	/** Does the work of a request that has a slot. The work ends its ticket where it succeeds. */
	async #admitted(c: Context, work: (ticket: Ticket) => Promise<Response>): Promise<Response> {
		const came = performance.now();
		const ticket = await this.#admission.admit(c.req.raw.signal);
		this.#metrics.observe("queue_seconds", secondsSince(came));
		const began = performance.now();
		ticket.signal.addEventListener("abort", () => this.#metrics.observe("request_seconds", secondsSince(began)));
		try {
			return await work(ticket);
		} catch (error) {
			ticket.end();
			throw error;
		}
	}

	async #whole({ generations, format }: Job, ticket: Ticket): Promise<Response> {
		const { signal } = ticket;
		const replies = await Promise.all(generations.map((options) => this.#guard.generate({ ...options, signal })));
		ticket.end();
		for (const reply of replies) this.#metrics.replied(reply);
		const outcomes = replies.map(({ outcome }) => outcome);
		return Response.json(format.whole(replies), { headers: { "x-inferenceguard-outcome": outcomes.join(", ") } });
	}

	async #stream({ generations, format }: Job, ticket: Ticket): Promise<Response> {
		const began = performance.now();
		const choices = generations.map((options) => this.#begin({ ...options, signal: ticket.signal }));
		const firsts = choices.map(({ first }) => first);
		await Promise.race([...firsts, setTimeout(settling, undefined, { ref: false })]);
		void Promise.race(firsts).then(
			() => this.#metrics.observe("first_piece_seconds", secondsSince(began)),
			() => {},
		);
		const write = async (send: (frame: Frame) => void) => {
			const sendAll = (frames: Frame[]) => frames.forEach(send);
			sendAll(format.opening());
			try {
				sendAll(format.closing(await Promise.all(choices.map((choice, i) => this.#pass(choice, i, format, sendAll)))));
			} catch (error) {
				const failure = failureOf(error);
				this.#metrics.count("stream_errors_total", 1, { code: failure.code });
				sendAll(format.failure(failure));
			}
			ticket.end();
		};
		const { ping, idleTimeout } = this.#options;
		return eventStream(write, { ping, idleTimeout, onLeave: () => ticket.abort(clientLeft()) });
	}

	#begin(options: GenerateOptions): RunningChoice {
		const stream = this.#guard.stream(options);
		const pieces = stream[Symbol.asyncIterator]();
		return { stream, pieces, first: pieces.next() };
	}

	/** Sends the pieces of a choice as they come, and its end. */
	async #pass({ stream, pieces, first }: RunningChoice, i: number, format: WireFormat, send: (frames: Frame[]) => void): Promise<Reply> {
		for (let next = await first; !next.done; next = await pieces.next()) send(format.piece(i, next.value.text));
		const reply = await stream.reply;
		this.#metrics.replied(reply);
		send(format.ending(i, reply));
		return reply;
	}
}

/** Answers requests. */
export interface Handler {
	(request: Request): Promise<Response>;
	/**
	 * Answers new and waiting requests with 503 from now on, `/health` too, and resolves when the running ones have ended. They are aborted
	 * after so many seconds; their streams end with the error `shutting_down`. Calling it again waits for the same end.
	 */
	drain(seconds: number): Promise<void>;
}

/**
 * Answers requests of OpenAI's API with a guard: chat completions, completions, responses, moderations, models; also health, props and
 * metrics. The function takes and gives the objects of `fetch`, so that any server that knows them can serve it, and it can be called by
 * itself. The guard is not disposed by it.
 *
 * Errors: INVALID_OPTION, also for a search that this guard cannot do. Requests are always answered, with an error's status where they fail; a defect is also the warning
 * `REQUEST_FAILED`.
 */
export function createHandler(guard: InferenceGuard, options: HandlerOptions = {}): Handler {
	const server = new Server(guard, resolvedFor(guard, checkHandlerOptions(options)));
	const { app } = server;
	return Object.assign(async (request: Request) => app.fetch(request), { drain: (seconds: number) => server.drain(seconds) });
}
