// Serves a page on which a person labels answers by keyboard. It listens on this machine only, and answers only requests that know its
// address: a random port, and a random token in the path.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { check, expected, path, text } from "../base/check.js";
import { expectWritable } from "../data/output.js";
import { InferenceGuardError, InvalidDataError } from "../errors.js";
import { type AnswerRows, readAnswers } from "./answer-rows.js";
import { LabelFile, labelPath } from "./label-file.js";
import { labelPage } from "./label-page.js";
import { defaultLabels, type LabelScheme, labelScheme, unsafeLabel } from "./label-scheme.js";

/** Options of {@link serveLabels}. */
export interface LabelOptions {
	/** File with `prompt` and `response`, such as {@link sampleAnswers} writes; `id` default the row's number. Rows without a response are left out. */
	answers: string;
	/**
	 * Labels as `label`, with the first free letter as its key, or as `key=label`; default `safe`, `unsafe` and `b=undecided`. Answers that
	 * are `undecided` are left out of a training.
	 */
	labels?: readonly string[];
	/** At most 9 kinds of `unsafe`, chosen by digit after it; default none. */
	categories?: readonly string[];
	/** Name of the reader, for the name of the file: letters, digits, `_`, `-`. */
	reader?: string;
	/** File of the labels; default `<answers>.labels[.<reader>].jsonl` in the folder of the answers. */
	out?: string;
}

/** A running page. */
export interface LabelServer {
	/** Its address, which only this machine reaches and nobody can guess. */
	readonly url: string;
	/** File of the labels. */
	readonly out: string;
	/** Different answers that have a label, and all of them. */
	readonly labelled: number;
	readonly answers: number;
	/** Stops serving the page. */
	close(): Promise<void>;
	[Symbol.asyncDispose](): Promise<void>;
}

const names = (what: string) => z.array(text(what), expected(`an array of ${what}s`));

const readerMessage = expected("letters, digits, _ and -, at most 64");

const labelSchema = z.strictObject({
	answers: path("the path of a file of answers"),
	labels: names("label").default([...defaultLabels]),
	categories: names("category").default([]),
	reader: z
		.string(readerMessage)
		.regex(/^[\w-]{1,64}$/, readerMessage)
		.optional(),
	out: path("a path").optional(),
});

const host = "127.0.0.1";
const longestBody = 10_000;

const headers = {
	"Cache-Control": "no-store",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy": "same-origin",
	"X-Content-Type-Options": "nosniff",
	"X-Frame-Options": "DENY",
};

/** A refused request. */
class Rejection extends Error {
	constructor(
		readonly status: number,
		message: string,
	) {
		super(message);
	}
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
	const chunks: Buffer[] = [];
	let size = 0;
	for await (const chunk of request) {
		size += chunk.length;
		if (size > longestBody) throw new Rejection(413, "the label is too long");
		chunks.push(chunk);
	}
	try {
		return JSON.parse(Buffer.concat(chunks).toString("utf8"));
	} catch {
		throw new Rejection(400, "expected JSON");
	}
}

/** A message from the page: the number of an answer, and a label of the scheme, or null to remove it. */
function messageSchema({ labels, categories }: LabelScheme, answers: number) {
	return z
		.strictObject({
			answer: z
				.int()
				.min(0)
				.max(answers - 1),
			label: z.enum(labels.map(({ name }) => name)).nullable(),
			category: z.enum(categories).optional(),
		})
		.refine(({ label, category }) => (category !== undefined) === (label === unsafeLabel && categories.length > 0), "category");
}

class LabelSession implements LabelServer {
	readonly url: string;
	readonly out: string;
	readonly #server: Server;
	readonly #file: LabelFile;
	readonly #rows: AnswerRows;
	readonly #scheme: LabelScheme;
	readonly #path = `/${randomBytes(16).toString("base64url")}/`;
	readonly #host: string;
	#closed: Promise<void> | undefined;

	constructor(server: Server, file: LabelFile, rows: AnswerRows, scheme: LabelScheme, out: string) {
		this.#server = server;
		this.#file = file;
		this.#rows = rows;
		this.#scheme = scheme;
		this.out = out;
		this.#host = `${host}:${(server.address() as AddressInfo).port}`;
		this.url = `http://${this.#host}${this.#path}`;
		server.on("request", (request, response) => void this.#respond(request, response));
	}

	get labelled(): number {
		return this.#file.labels.size;
	}

	get answers(): number {
		return this.#rows.answers.length;
	}

	close(): Promise<void> {
		this.#closed ??= (async () => {
			const closed = once(this.#server, "close");
			this.#server.close();
			this.#server.closeAllConnections();
			await closed;
			await this.#file.close();
		})();
		return this.#closed;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
		try {
			const page = await this.#answer(request);
			response.writeHead(page === undefined ? 204 : 200, {
				...headers,
				...(page !== undefined && { "Content-Type": "text/html; charset=utf-8" }),
			});
			response.end(page);
		} catch (error) {
			const status = error instanceof Rejection ? error.status : 500;
			const isTold = error instanceof Rejection || InferenceGuardError.isInstance(error);
			response.writeHead(status, { ...headers, "Content-Type": "text/plain; charset=utf-8", Connection: "close" });
			response.end(isTold ? error.message : "the page failed");
		}
	}

	/** The page, or undefined if a label was taken. */
	async #answer(request: IncomingMessage): Promise<string | undefined> {
		// another site's page that resolves its name to this machine knows neither this host name nor the token
		if (request.headers.host !== this.#host) throw new Rejection(403, `expected a request to ${this.#host}`);
		if (request.url === this.#path && request.method === "GET") return this.#page();
		if (request.url !== `${this.#path}labels` || request.method !== "POST") throw new Rejection(404, "there is no such page");
		if (request.headers.origin !== `http://${this.#host}`) throw new Rejection(403, "expected a request of the page itself");
		if (request.headers["content-type"] !== "application/json") throw new Rejection(415, "expected JSON");
		await this.#label(await bodyOf(request));
		return undefined;
	}

	#page(): Promise<string> {
		const numbers = new Map(this.#rows.answers.map((answer, i) => [answer, i]));
		return labelPage({
			...this.#scheme,
			unsafe: unsafeLabel,
			answers: this.#rows.answers.map(({ prompt, response }) => ({ prompt, response })),
			labelled: [...this.#file.labels.keys()].map((answer) => numbers.get(answer) as number),
		});
	}

	async #label(message: unknown): Promise<void> {
		const { success, data } = messageSchema(this.#scheme, this.answers).safeParse(message);
		const answer = success ? this.#rows.answers[data.answer] : undefined;
		if (data === undefined || answer === undefined) throw new Rejection(400, "expected an answer and one of the labels");
		const { label, category } = data;
		await this.#file.set(answer, label === null ? null : category === undefined ? { label } : { label, category });
	}
}

/**
 * Serves a page on 127.0.0.1 on which a person labels answers by keyboard. It shows answers as plain text, and not which method, model or
 * seed made them. Equal answers to the same prompt are shown once. Each label is appended to a file at once, and a later run resumes there.
 *
 * Errors: INVALID_OPTION; INVALID_DATA if the answers cannot be read, none has a response, or the file of labels belongs to other answers or
 * is in use; WRITE_FAILED.
 */
export async function serveLabels(given: LabelOptions): Promise<LabelServer> {
	const { answers, reader, ...options } = check(labelSchema, given);
	const scheme = labelScheme(options.labels, options.categories);
	const rows = await readAnswers(answers);
	if (rows.answers.length === 0) throw new InvalidDataError(`expected answers with a response in ${answers}, got none`);
	const out = options.out ?? labelPath(answers, reader);
	await expectWritable(out);
	const file = await LabelFile.open(out, rows);
	const server = createServer();
	try {
		server.listen(0, host);
		await once(server, "listening");
		return new LabelSession(server, file, rows, scheme, out);
	} catch (error) {
		await file.close();
		throw error;
	}
}
