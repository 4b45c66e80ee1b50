// A server without a socket, for the official client of OpenAI and for requests that it does not make.
import OpenAI from "openai";
import type { InferenceGuard } from "../lib/index.js";
import { createHandler, type HandlerOptions } from "../lib/server/index.js";

export const short: HandlerOptions = { search: { maxTokens: 16, blockLength: 4, candidates: 4 } };

export type Handler = (request: Request) => Promise<Response>;

export const clientFor = (handler: Handler, apiKey = "none") =>
	new OpenAI({ apiKey, baseURL: "http://localhost/v1", maxRetries: 0, fetch: (url, init) => handler(new Request(url, init)) });

export const clientOf = (guard: InferenceGuard, options: HandlerOptions = short): OpenAI => clientFor(createHandler(guard, options));

/** A request with a body is a POST. */
export function requestOf(path: string, body?: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Request {
	const posted = body === undefined ? {} : { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) };
	return new Request(`http://localhost${path}`, { ...posted, headers, signal });
}

export async function answerOf(pending: Promise<Response>) {
	const response = await pending;
	// biome-ignore lint/suspicious/noExplicitAny: whatever came
	return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}

export const ask = (guard: InferenceGuard, path: string, body?: unknown, options: HandlerOptions = short) =>
	answerOf(createHandler(guard, options)(requestOf(path, body)));

/** What the server adds to a choice. */
export interface Verdict {
	safety?: { outcome: string; within_budget: boolean; constraints: { cost: number; budget: number }[]; seed: number };
}
