// Which fields of a request are honoured, and which are refused. All others change nothing that the engine could do, and are ignored.
import { z } from "zod";
import { expected, integer, untilFirstProblem } from "../base/check.js";
import { generateSchema } from "../options/generate.js";
import { optionalSettings, settings } from "../options/settings.js";
import type { GenerateOptions, SearchOptions } from "../options/types.js";
import { RequestError } from "./errors.js";
import { mostChoices, type ServerOptions } from "./options.js";

type Body = Record<string, unknown>;

/** Values that ask for nothing. */
function isIdle(value: unknown): boolean {
	if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
	return value === undefined || value === null || value === false || value === 0 || value === "";
}

type Idle = (value: unknown, body: Body) => boolean;

const isOne: Idle = (value) => isIdle(value) || value === 1;
const isNone: Idle = (value) => isIdle(value) || value === "none";
const isText: Idle = (value) => isIdle(value) || (value as Body).type === "text";

/**
 * What clients may ask for and not every route has, each with the values that do not ask for it: those are accepted, all others are refused
 * where the schema of the route does not read the field.
 */
const notYet: Record<string, Idle> = {
	stop: isIdle,
	logprobs: (value) => value === undefined || value === null || value === false,
	top_logprobs: isIdle,
	logit_bias: isIdle,
	frequency_penalty: isIdle,
	presence_penalty: isIdle,
	repeat_penalty: isOne,
	repetition_penalty: isOne,
	continue_final_message: isIdle,
	add_generation_prompt: (value) => value !== false,
	response_format: isText,
	json_schema: isIdle,
	grammar: isIdle,
	tools: (value, { tool_choice }) => isIdle(value) || tool_choice === "none",
	functions: isIdle,
	reasoning: (value) => isIdle(value) || Object.values(value as Body).every((one) => isNone(one, {})),
	reasoning_effort: isNone,
	chat_template_kwargs: isIdle,
	modalities: (value) => isIdle(value) || (Array.isArray(value) && value.every((one) => one === "text")),
	audio: isIdle,
	web_search_options: isIdle,
	moderation: isIdle,
	echo: isIdle,
	suffix: isIdle,
	best_of: (value, { n }) => isIdle(value) || value === (n ?? 1),
	text: (value) => isIdle(value) || isText((value as Body).format, {}),
	previous_response_id: isIdle,
	conversation: isIdle,
	background: isIdle,
	include: isIdle,
	truncation: (value) => isIdle(value) || value === "disabled",
};

function refuseWhatIsNotThere(body: Body, { shape }: z.ZodObject): void {
	for (const [param, isIdle] of Object.entries(notYet)) {
		if (param in shape || isIdle(body[param], body)) continue;
		throw new RequestError("unsupported_parameter", `${param}: expected none, since this server does not have it; leave it out`, { param });
	}
}

/** `messages[1].content` */
const placeOf = (path: readonly PropertyKey[]) =>
	path.map((part, i) => (typeof part === "number" ? `[${part}]` : `${i > 0 ? "." : ""}${String(part)}`)).join("");

/** What a schema makes of a part of a request, at this place. Errors: RequestError. */
export function readPart<S extends z.ZodType>(schema: S, part: unknown, place: readonly PropertyKey[] = []): z.output<S> {
	const { data, error } = schema.safeParse(part, untilFirstProblem);
	if (error === undefined) return data;
	const [{ path = [], message = "" } = {}] = error.issues;
	const param = placeOf([...place, ...path]);
	throw new RequestError("invalid_request", param === "" ? message : `${param}: ${message}`, { param });
}

/** The checked fields of a request. Errors: RequestError. */
export function readRequest<S extends z.ZodObject>(schema: S, body: unknown): z.output<S> {
	if (typeof body !== "object" || body === null || Array.isArray(body)) {
		throw new RequestError("invalid_request", "expected a JSON object as the body of the request");
	}
	refuseWhatIsNotThere(body as Body, schema);
	return readPart(schema, body);
}

/** A field that may be null, which means that it was not given. */
export const maybe = <S extends z.ZodType>(schema: S) => schema.nullish().transform((value) => value ?? undefined);

/** Settings of a search that have the same name on the wire, in snake case. */
const sampled = ["temperature", "top_p", "top_k", "min_p"] as const;

type Sampled = (typeof sampled)[number];

type CamelCase<S extends string> = S extends `${infer First}_${infer Rest}` ? `${First}${Capitalize<CamelCase<Rest>>}` : S;

const settingNamed = (name: Sampled) => name.replace(/_\w/g, (letter) => letter.slice(1).toUpperCase()) as CamelCase<Sampled>;

/** Clients mean the most probable token by values that are nearly 0, and all tokens by a top-k below 0. */
function readable(name: Sampled, value: unknown): unknown {
	if (name === "temperature" && typeof value === "number" && value > 0 && value < 0.01) return 0;
	if (name === "top_p" && value === 0) return 1e-6;
	return name === "top_k" && value === -1 ? 0 : value;
}
const randomBelowZero = (value: unknown) => (typeof value === "number" && value < 0 ? undefined : value);

/** The values of these settings, by their names on the wire. */
export const sampledValues = (search: Pick<SearchOptions, CamelCase<Sampled>>) =>
	Object.fromEntries(sampled.map((name) => [name, search[settingNamed(name)]]));

/** Lengths as clients write them; -1 is the default. */
export const length = maybe(z.preprocess((value) => (value === -1 ? undefined : value), integer(1, Number.MAX_SAFE_INTEGER).nullish()));

export const count = maybe(integer(1, mostChoices));

/** The number of choices of each of some prompts. Errors: RequestError. */
export function countWithin(n = 1, { maxN }: ServerOptions, prompts = 1): number {
	if (n * prompts <= maxN) return n;
	const param = n > maxN ? "n" : "prompt";
	throw new RequestError("invalid_request", `${param}: expected at most ${maxN} choices, got ${n * prompts}; ask for fewer`, { param });
}

export const streamOptions = maybe(z.looseObject({ include_usage: maybe(z.boolean(expected("true or false"))) }, expected("an object")));

/** How a client may change the search: each value costs or saves work, and none changes what may leave. */
const clientSettings = ["candidates", "startCandidates", "beams", "blockLength", "retries", "maxGeneratedTokens"] as const;

const guardOptions = z.object({
	...(Object.fromEntries(clientSettings.map((name) => [name, optionalSettings[name]])) as Pick<
		typeof optionalSettings,
		(typeof clientSettings)[number]
	>),
	cachePrompt: generateSchema.shape.cachePrompt,
});

const sampledField = (name: Sampled) => maybe(z.preprocess((value) => readable(name, value), settings[settingNamed(name)].check.nullish()));

/** Fields of every request that generates. */
export const generationFields = {
	model: maybe(z.string(expected("the name of a model"))),
	stream: maybe(z.boolean(expected("true or false"))),
	...(Object.fromEntries(sampled.map((name) => [name, sampledField(name)])) as Record<Sampled, ReturnType<typeof sampledField>>),
	seed: maybe(z.preprocess(randomBelowZero, generateSchema.shape.seed.nullable())),
	guard: maybe(z.looseObject(guardOptions.shape)),
};

/** Texts that end a response; null and none of them are no such text. */
export const stopTexts = maybe(z.preprocess((value) => (isIdle(value) ? undefined : value), settings.stop.check.optional()));

type GenerationFields = Omit<z.output<z.ZodObject<typeof generationFields>>, "stream"> & { stop?: readonly string[] | undefined };

function searchOptions(given: GenerationFields["guard"], options: ServerOptions): SearchOptions {
	const { clientOptions, maxCandidates, search, resolved } = options;
	if (given === undefined) return {};
	const known = clientOptions === "search" ? Object.keys(guardOptions.shape) : [];
	const other = Object.keys(given).find((name) => !known.includes(name));
	if (other !== undefined) {
		const choice = known.length === 0 ? "no options of the guard, which the server decides" : known.join(", ");
		throw new RequestError("guard_option_forbidden", `guard.${other}: expected ${choice}; leave it out`, { param: `guard.${other}` });
	}
	const { candidates, retries = resolved.retries, maxGeneratedTokens = resolved.maxGeneratedTokens } = given;
	return {
		...given,
		...(candidates !== undefined && { candidates: Math.min(candidates, maxCandidates) }),
		retries: Math.min(retries, resolved.retries),
		maxGeneratedTokens: Math.min(maxGeneratedTokens, resolved.maxGeneratedTokens),
		...(given.cachePrompt !== undefined && { cachePrompt: given.cachePrompt && search.cachePrompt !== false }),
	};
}

/** Everything about a generation but its prompt. `nth`: of several for one prompt. */
export function generationOptions(
	request: GenerationFields,
	maxTokens: number | undefined,
	options: ServerOptions,
	nth: number,
): Omit<GenerateOptions, "prompt" | "messages"> {
	const given = sampled.map((name) => [settingNamed(name), request[name]]).filter(([, value]) => value !== undefined);
	return {
		...options.search,
		...searchOptions(request.guard, options),
		...Object.fromEntries(given),
		...(request.stop && { stop: request.stop }),
		maxTokens: Math.min(maxTokens ?? options.search.maxTokens, options.maxTokensLimit),
		...(request.seed !== undefined && { seed: (request.seed + nth) % Number.MAX_SAFE_INTEGER }),
		onRefusal: options.onRefusal,
	};
}
