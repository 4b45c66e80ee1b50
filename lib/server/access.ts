// Who may ask: API keys, the host that a request names, and pages of other sites.
import { createHash, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { RequestError } from "./errors.js";

const localNames = ["localhost", "127.0.0.1", "[::1]"];

/** The name in an address such as `localhost:8080`, in the form in which browsers write it; empty if it is none. */
export function nameIn(host: string): string {
	const url = URL.canParse(`http://${host}`) ? new URL(`http://${host}`) : undefined;
	return url?.hostname ?? "";
}

const isLocal = (name: string) => localNames.includes(name) || (name.startsWith("127.") && /^[\d.]+$/.test(name));

/** Whether a server that listens here is reached from this machine alone. */
export const isLoopback = (host: string) => isLocal(nameIn(host.includes(":") ? `[${host}]` : host));

const digest = (key: string) => createHash("sha256").update(key).digest();

/** The key of a request, as clients of OpenAI, Anthropic and Azure send it. */
function keyOf(headers: Headers): string | undefined {
	const [, bearer] = /^Bearer +(.*)$/i.exec(headers.get("authorization") ?? "") ?? [];
	return bearer ?? headers.get("x-api-key") ?? headers.get("api-key") ?? undefined;
}

/** Lets only requests with one of the keys pass. It takes as long for a key that is nearly right as for any other. */
export function withKey(keys: readonly string[]): MiddlewareHandler {
	const digests = keys.map(digest);
	return async (c, next) => {
		const given = digest(keyOf(c.req.raw.headers) ?? "");
		const found = digests.map((known) => timingSafeEqual(known, given)).includes(true);
		if (digests.length > 0 && !found) throw new RequestError("invalid_api_key", "expected a valid API key as Authorization: Bearer");
		await next();
	};
}

/** A page may make its own name lead to this machine, and then asks in that name. */
export function withHost(allowed: readonly string[] | undefined): MiddlewareHandler {
	return async (c, next) => {
		const name = nameIn(c.req.header("host") ?? new URL(c.req.url).host);
		if (allowed !== undefined && !isLocal(name) && !allowed.includes(name)) {
			throw new RequestError("host_not_allowed", `expected a request to localhost${allowed.map((host) => ` or ${host}`).join("")}`);
		}
		await next();
	};
}

const scheme = /^https?:\/\//;

const isLocalPage = (origin: string) => scheme.test(origin) && isLocal(nameIn(origin.replace(scheme, "")));

/** What pages may read of an answer besides its body. */
const exposeHeaders = ["openai-processing-ms", "retry-after", "x-inferenceguard-outcome", "x-request-id", "x-should-retry"];

/**
 * Lets pages of the named origins read answers, and nobody's else make requests: a browser sends a plain one for any page, which only cannot
 * read the answer. `"localhost"`: all pages of this machine.
 */
export function withOrigins(origins: readonly string[]): MiddlewareHandler {
	const isKnown = (origin: string) => origins.includes(origin) || (origins.includes("localhost") && isLocalPage(origin));
	const answers = cors({ origin: (origin) => (isKnown(origin) ? origin : null), exposeHeaders });
	return (c, next) =>
		answers(c, async () => {
			const origin = c.req.header("origin");
			if (origin !== undefined && !isKnown(origin)) {
				throw new RequestError("origin_not_allowed", `expected a page of ${origins.join(" or ") || "no site"}, got one of ${origin}`);
			}
			await next();
		});
}
