// The table of the server's options that are single plain values, as flags and as options of the handler.
import { z } from "zod";
import { check, choice, expected, fieldsOf, flag, integer, type OptionRow, real, text } from "../base/check.js";
import type { InferenceGuard } from "../guard/guard.js";
import { generateSchema } from "../options/generate.js";
import { optionalSettings, settings } from "../options/settings.js";
import { strategyName } from "../options/strategies.js";
import type { GenerateOptions, SearchOptions } from "../options/types.js";
import { isLoopback, nameIn } from "./access.js";

/** Options of {@link createHandler}. */
export interface HandlerOptions {
	/** Names of the model on the wire, the first one in responses; default `["inferenceguard"]`. */
	alias?: readonly string[];
	/** Whether a request may name any model and still gets this one; default false: others are `model_not_found`. */
	anyModel?: boolean;
	/**
	 * How generations search if the request does not say: options of `generate`, default `maxTokens` 1024. Requests may set `maxTokens`,
	 * temperature, top-p, top-k, min-p and the seed.
	 */
	search?: Omit<SearchOptions, "trace" | "seed">;
	/** As for `generate`: a refusal message (`"return"`, default), the error `content_filter` (`"throw"`), or this text as the response. */
	onRefusal?: GenerateOptions["onRefusal"];
	/** Longest response that a request may ask for, in tokens; default the context. Longer ones are cut down to it. */
	maxTokensLimit?: number;
	/** Most choices per request, 1..64; default 8. */
	maxN?: number;
	/**
	 * Whether a request may carry `guard`, an object with `candidates`, `startCandidates`, `beams`, `blockLength`, `retries`,
	 * `maxGeneratedTokens` and `cachePrompt` of `generate` (`"search"`), or not (`"none"`, default). None of them changes what may leave, and
	 * none makes a search sample more tokens or retry more often than the server's own.
	 */
	clientOptions?: "search" | "none";
	/** Most candidates that `guard.candidates` may ask for; default 64. */
	maxCandidates?: number;
	/** Most requests that run at once; default 4. The choices of a request run together. */
	parallel?: number;
	/** Most requests that wait for others, first come, first served; default 64. Further ones are answered with 429. */
	queue?: number;
	/** Longest wait of a request in seconds; default 30. After that it is answered with 429. */
	queueTimeout?: number;
	/** Longest run of a request in seconds; default 600. After that it is answered with 504, or its stream ends with an error. */
	requestTimeout?: number;
	/** Seconds after which a client that takes nothing of its stream counts as gone; default 60. */
	idleTimeout?: number;
	/** Keys, one of which every request needs, except those for health; default none. */
	apiKeys?: readonly string[];
	/**
	 * Origins of pages that may make requests and read answers, such as `https://example.com`; `"localhost"` stands for every page of this
	 * machine. Default `["localhost"]`.
	 */
	corsOrigins?: readonly string[];
	/**
	 * Names, besides those of this machine, in which requests may be made; default any. A server that only this machine reaches should allow
	 * none, `[]`: otherwise a page could ask it in a name of its own.
	 */
	allowedHosts?: readonly string[];
	/** Longest body of a request in bytes; default 4 MiB. Longer ones are answered with 413. */
	maxBody?: number;
	/** Whether `/metrics` answers, in Prometheus' text format; default false. */
	metrics?: boolean;
	/** Seconds between comments that keep a silent stream open; default 10. */
	ping?: number;
}

/** Per request, whatever the server allows. */
export const mostChoices = 64;

const seconds = real(0.01, 1_000_000);

export const handlerRows = {
	anyModel: { check: flag, default: false, help: "answer requests for any model" },
	maxTokensLimit: {
		check: settings.maxTokens.check,
		help: "longest response that a request may ask for, in tokens (default: the context)",
	},
	maxN: { check: integer(1, mostChoices), default: 8, help: "most choices per request" },
	clientOptions: { check: choice(["search", "none"]), default: "none", help: "whether a request may say how wide to search" },
	maxCandidates: { check: integer(1, 1024), default: 64, help: "most candidates that a request may ask for" },
	parallel: { check: integer(1, 64), default: 4, help: "most requests that run at once" },
	queue: { check: integer(0, 1_000_000), default: 64, help: "most requests that wait" },
	queueTimeout: { check: seconds, default: 30, help: "longest wait of a request in seconds" },
	requestTimeout: { check: seconds, default: 600, help: "longest run of a request in seconds" },
	idleTimeout: { check: seconds, default: 60, help: "longest time in seconds in which a client takes nothing of its stream" },
	maxBody: { check: integer(1, 2 ** 30), default: 4 * 2 ** 20, help: "longest body of a request in bytes" },
	metrics: { check: flag, default: false, help: "answer /metrics in Prometheus' text format" },
	ping: { check: seconds, default: 10, help: "seconds between comments in a silent stream" },
} satisfies Record<string, OptionRow>;

const usualMaxTokens = 1024;

const searchSchema = z
	.strictObject({ ...optionalSettings, strategy: strategyName.optional(), cachePrompt: flag.optional() })
	.default({})
	.transform((given) => ({ ...given, maxTokens: given.maxTokens ?? usualMaxTokens }));

const hostName = text("a host name")
	.refine((name) => nameIn(name) !== "", expected("a host name"))
	.transform(nameIn);

const handlerSchema = z.strictObject({
	alias: z.array(text("a name"), expected("an array of names")).min(1, expected("at least one name")).default(["inferenceguard"]),
	search: searchSchema,
	onRefusal: generateSchema.shape.onRefusal,
	apiKeys: z.array(text("a key"), expected("an array of keys")).default([]),
	corsOrigins: z.array(text("an origin"), expected("an array of origins")).default(["localhost"]),
	allowedHosts: z.array(hostName, expected("an array of host names")).optional(),
	...fieldsOf(handlerRows),
});

export type CheckedHandlerOptions = z.output<typeof handlerSchema>;

/** With what follows from them for a guard. Errors: INVALID_OPTION. */
export const resolvedFor = (guard: InferenceGuard, options: CheckedHandlerOptions) => ({
	...options,
	maxTokensLimit: Math.min(options.maxTokensLimit ?? guard.contextSize, guard.contextSize),
	/** The search with all its settings. */
	resolved: guard.searchOf(options.search),
});

export type ServerOptions = ReturnType<typeof resolvedFor>;

export const checkHandlerOptions = (given: unknown) => check(handlerSchema, given);

/** Options of {@link listen}. */
export interface ListenOptions extends HandlerOptions {
	/** Address to listen on; default `127.0.0.1`, which only this machine reaches. Others need `apiKeys`. */
	host?: string;
	/** Default 8080; 0: any free port. */
	port?: number;
	/** Whether an address that other machines reach needs `apiKeys`; default true. */
	auth?: boolean;
	/** Seconds that running requests have to end in when the server is closed; default 30. */
	drainTimeout?: number;
}

export const listenRows = {
	host: {
		check: text("an address"),
		default: "127.0.0.1",
		takes: "name",
		help: "address to listen on; others than this machine's need a key",
	},
	port: { check: integer(0, 65_535), default: 8080, help: "port; 0: any free one" },
	auth: { check: flag, default: true, turnsOff: true, help: "listen on any address without a key" },
	drainTimeout: { check: real(0, 1_000_000), default: 30, help: "seconds for running requests after SIGTERM or SIGINT" },
} satisfies Record<string, OptionRow>;

const listenSchema = z
	.strictObject({ ...handlerSchema.shape, ...fieldsOf(listenRows) })
	.check((context) => {
		const { host, auth, apiKeys } = context.value;
		if (!auth || apiKeys.length > 0 || isLoopback(host)) return;
		const message = `expected a key (apiKeys) for an address that other machines reach, got none for ${host}; give one, or auth: false`;
		context.issues.push({ code: "custom", message, path: ["host"], input: context.value });
	})
	.transform(({ allowedHosts, ...given }) => ({ ...given, allowedHosts: allowedHosts ?? (isLoopback(given.host) ? [] : undefined) }));

export const checkListenOptions = (given: unknown) => check(listenSchema, given);
