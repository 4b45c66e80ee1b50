// Checks options, and words the message for a wrong one.
import { types } from "node:util";
import { z } from "zod";
import { InvalidOptionError } from "../errors.js";
import { recordedNow } from "./now.js";
import { inspected, reasonOf } from "./thrown.js";

const mostShown = 80; // characters

/** Cuts a value down to the part that is shown, because it may contain itself a thousand times. */
function shortened(): (key: string, part: unknown) => unknown {
	let left = mostShown;
	return (_, part) => {
		if (left-- <= 0) return undefined;
		if (typeof part !== "object" || part === null) return part;
		if (ArrayBuffer.isView(part)) return inspected(part);
		return Array.isArray(part) ? part.slice(0, mostShown) : Object.fromEntries(Object.entries(part).slice(0, mostShown));
	};
}

function show(value: unknown): string {
	if (typeof value === "function") return "a function";
	if (typeof value === "bigint" || typeof value === "number" || value === undefined) return String(value);
	let text: string;
	try {
		text = JSON.stringify(value, shortened()) ?? String(value);
	} catch {
		text = "a value that JSON cannot hold";
	}
	return text.length > mostShown ? `${text.slice(0, mostShown - 3)}...` : text;
}

export const expected = (what: string) => ({ error: (issue: { input?: unknown }) => `expected ${what}, got ${show(issue.input)}` });

export function integer(min: number, max: number) {
	const message = expected(`an integer from ${min} to ${max}`);
	return z.number(message).int(message).min(min, message).max(max, message);
}

export function real(min: number, max = Number.MAX_VALUE) {
	const lowest = min === Number.MIN_VALUE ? "above 0" : `from ${min}`;
	const message = expected(max === Number.MAX_VALUE ? `a number of at least ${min}` : `a number ${lowest} to ${max}`);
	return z.number(message).min(min, message).max(max, message);
}

export const text = (what: string) => z.string(expected(what)).min(1, expected(what));

/** A path, or a command. The system stops reading it at a NUL, so a NUL would name another file. */
export const path = (what: string) => text(what).refine((given) => !given.includes("\0"), expected(`${what}, without NUL characters`));

export const callback = <F>(what: string) => z.custom<F>((value) => typeof value === "function", expected(what));

export const choice = <const T extends readonly [string, ...string[]]>(values: T) =>
	z.enum(values, expected(`one of ${values.join(", ")}`));

export const now = z
	.union(
		[z.string(), z.custom<Date>(types.isDate)],
		expected("a date such as 2026-11-28, perhaps with a time (2026-11-28T09:30), or a Date"),
	)
	.transform((given, context) => {
		const recorded = recordedNow(given);
		if (recorded !== undefined) return recorded;
		context.issues.push({
			code: "custom",
			message: `expected a date such as 2026-11-28, perhaps with a time (2026-11-28T09:30), got ${show(given)}`,
			input: given,
		});
		return z.NEVER;
	});

export const flag = z.boolean(expected("true or false"));

/** An object that merely inherits from AbortSignal throws when it is read. */
function isSignal(value: unknown): boolean {
	try {
		return value instanceof AbortSignal && typeof value.aborted === "boolean" && (value.reason === undefined || value.aborted);
	} catch {
		return false;
	}
}

export const abortSignal = z.custom<AbortSignal>(isSignal, expected("an AbortSignal"));

/** An option as a row of a table (settings.ts, engine.ts): its check and its command-line flag. */
export interface OptionRow {
	check: z.ZodType;
	/** If the option is not given; absent: none, or one that depends on other options. */
	default?: unknown;
	/** The flag's short form; the long form is the name in kebab case. */
	shortFlag?: string;
	/** The flag's argument, for its help; absent: a number, one of the choices, or nothing. */
	takes?: "name" | "low:high" | "n|all" | "text";
	/** The flag may be given several times; the option is a list. */
	repeats?: boolean;
	/** The flag switches something off that is on by default. */
	turnsOff?: boolean;
	/** The flag's help. */
	help: string;
}

type Fields<T extends Record<string, OptionRow>> = {
	[K in keyof T]: T[K] extends { default: unknown } ? z.ZodDefault<T[K]["check"]> : z.ZodOptional<T[K]["check"]>;
};

/** The fields of a schema with these rows. */
export const fieldsOf = <T extends Record<string, OptionRow>>(rows: T) =>
	Object.fromEntries(
		Object.entries(rows).map(([name, row]) => [name, row.default === undefined ? row.check.optional() : row.check.default(row.default)]),
	) as Fields<T>;

/** An option given as undefined counts as not given. */
function withoutUndefined(options: object): object {
	return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Names the option in a message about all options together. */
const rootOption = "options";

/** Properties of the caller's objects may be getters that throw. Errors: INVALID_OPTION. */
function whatCanBeRead<T>(read: () => T): T {
	try {
		return read();
	} catch (cause) {
		throw new InvalidOptionError(`${rootOption}: expected values that can be read, but reading them failed: ${reasonOf(cause)}`, { cause });
	}
}

/** Per message. */
const mostProblems = 100;

const mostParts = 10_000;

/** Lists as long as an attacker likes have a problem per element otherwise. */
export const untilFirstProblem: z.core.ParseContextInternal<z.core.$ZodIssue> = { abortEarly: true };

/** Whether a value has so many parts that reporting a problem of each would take long. */
function isVast(value: unknown): boolean {
	const parts = [value];
	for (const part of parts) {
		if (typeof part !== "object" || part === null) continue;
		if (Array.isArray(part) && part.length > mostParts) return true;
		const isPlain = Array.isArray(part) || Object.getPrototypeOf(part) === Object.prototype;
		if (isPlain) for (const inner of Object.values(part)) parts.push(inner);
		if (parts.length > mostParts) return true;
	}
	return false;
}

/** Errors: INVALID_OPTION with one line per problem, which begins with the option; for vast options, only the first problem. */
export function check<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
	const result = whatCanBeRead(() => schema.safeParse(given, untilFirstProblem));
	if (result.success) return withoutUndefined(result.data as object) as z.output<S>;
	const whole = whatCanBeRead(() => (isVast(given) ? result : schema.safeParse(given)));
	const { issues } = whole.error ?? result.error; // the value may differ when it is read again
	const problems = issues.flatMap((issue) => {
		if (issue.code !== "unrecognized_keys") return `${issue.path.join(".") || rootOption}: ${issue.message}`;
		return issue.keys.map((key) => `${[...issue.path, key].join(".")}: there is no such option; check the spelling`);
	});
	const rest = problems.length > mostProblems ? [`${rootOption}: ${problems.length - mostProblems} more problems`] : [];
	throw new InvalidOptionError([...problems.slice(0, mostProblems), ...rest].join("\n"));
}

/** Collects the problems of several checks, so that all are reported at once. */
export class Problems {
	readonly #lines = new Set<string>();

	/** The result of a check; undefined if it finds a problem. `place` locates the option of a line. */
	of<T>(check: () => T, place: (line: string) => string = (line) => line): T | undefined {
		try {
			return check();
		} catch (error) {
			if (!(error instanceof InvalidOptionError)) throw error;
			for (const line of error.message.split("\n")) this.#lines.add(place(line));
			return undefined;
		}
	}

	/** Errors: INVALID_OPTION if there are any. */
	throwAny(): void {
		if (this.#lines.size > 0) throw new InvalidOptionError([...this.#lines].join("\n"));
	}
}

/** Puts a line's option below another option. */
export const below = (place: string) => (line: string) =>
	line.startsWith(`${rootOption}: `) ? place + line.slice(rootOption.length) : `${place}.${line}`;

/** The options of an object that a schema knows, and the others. */
export function parted(
	schema: { shape: object },
	given: object | undefined,
): [own: Record<string, unknown>, others: Record<string, unknown>] {
	const entries = whatCanBeRead(() => Object.entries(given ?? {}));
	const isOwn = ([name]: [string, unknown]) => name in schema.shape;
	return [Object.fromEntries(entries.filter(isOwn)), Object.fromEntries(entries.filter((entry) => !isOwn(entry)))];
}

export const range = (lowest: number) =>
	z
		.tuple([real(lowest), real(lowest)], expected("a range [lowest, highest]"))
		.refine(([low, high]) => low <= high, expected("a range [lowest, highest] with lowest <= highest"));

/** One text, or a list of them, whose order and repetitions mean nothing. */
export function texts(most: number, longest: number) {
	const message = expected(`a text of 1 to ${longest} characters without lone surrogates, or a list of 1 to ${most} of them`);
	const isSound = (text: string) => text.length > 0 && text.length <= longest && text.isWellFormed();
	const one = z.string(message).refine(isSound, message);
	const list = z.array(one, message).min(1, message).max(most, message);
	return z.union([one.transform((text) => [text]), list], message).transform((texts) => [...new Set(texts)].sort());
}
