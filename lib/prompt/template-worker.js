// Renders chat templates on a thread of its own. They are untrusted programs. Their computation is limited here, and templates.ts ends the
// thread if that is not enough.
import { parentPort } from "node:worker_threads";
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

/** Evaluations, plus one step per item of a list and per 16 characters of a text. */
const mostSteps = 2_000_000;
const charactersPerStep = 16;
/** The maximum characters of an intermediate text, and items of a list, in addition to twice those of the messages. */
const longest = 2 ** 20;
/** Of a number passed to a function or filter: indent(n) writes n spaces before every line. */
const largestArgument = 10_000;

class LimitError extends Error {}

/** The remaining limits of one rendering. They also bound memory: a single step that allocates too much would end the process. */
const left = { steps: 0, length: 0 };

function spend(steps) {
	left.steps -= steps;
	if (!(left.steps >= 0)) throw new LimitError(`it takes more than ${mostSteps} steps`);
}

function expectLength(length) {
	if (!(length <= left.length)) throw new LimitError(`it makes a text or a list of more than ${longest} characters or items`);
}

// jinja's functions use these to make texts that are longer than their input
const { repeat, replaceAll } = String.prototype;
const { join } = Array.prototype;

String.prototype.repeat = function (count) {
	expectLength(this.length * count);
	return repeat.call(this, count);
};

String.prototype.replaceAll = function (pattern, replacement) {
	let length = this.length;
	return replaceAll.call(this, pattern, (...found) => {
		const text = typeof replacement === "function" ? replacement(...found) : replacement;
		length += text.length - found[0].length;
		expectLength(length);
		return text;
	});
};

Array.prototype.join = function (separator = ",") {
	let length = 0;
	for (const item of this) {
		length += separator.length + (typeof item === "string" ? item.length : 1);
		expectLength(length);
	}
	return join.call(this, separator);
};

/** Expressions whose values exist already. */
const known = new Set(["Identifier", "MemberExpression", "StringLiteral"]);

class BoundedInterpreter extends Interpreter {
	evaluate(statement, environment) {
		spend(1);
		const result = super.evaluate(statement, environment);
		const { value } = result;
		if (typeof value === "string" || Array.isArray(value)) {
			expectLength(value.length);
			if (!known.has(statement.type)) spend(Array.isArray(value) ? value.length : value.length / charactersPerStep);
		}
		return result;
	}

	evaluateBlock(statements, environment) {
		spend(1);
		return super.evaluateBlock(statements, environment);
	}

	evaluateArguments(given, environment) {
		const [args, named] = super.evaluateArguments(given, environment);
		for (const { value } of [...args, ...named.values()]) {
			if (typeof value === "number" && !(Math.abs(value) <= largestArgument)) {
				throw new LimitError(`it calls a function with a number above ${largestArgument}`);
			}
		}
		return [args, named];
	}
}

const reasonOf = (error) => (error instanceof Error ? error.message : String(error));

function range(start, stop, step = 1) {
	const [first, end] = stop === undefined ? [0, start] : [start, stop];
	if (step === 0) throw new Error("range() expects a step other than 0");
	return Array.from({ length: Math.max(0, Math.ceil((end - first) / step)) }, (_, i) => first + i * step);
}

const twoDigits = (value) => String(value).padStart(2, "0");

/** Python's strftime of "2026-11-28" or "2026-11-28T09:30", in English, with the directives that templates use. */
function formatted(now, format) {
	const date = new Date(now.includes("T") ? `${now}Z` : now);
	const named = (options) => new Intl.DateTimeFormat("en-US", { ...options, timeZone: "UTC" }).format(date);
	const hours = date.getUTCHours();
	const directives = {
		Y: () => String(date.getUTCFullYear()).padStart(4, "0"),
		y: () => twoDigits(date.getUTCFullYear() % 100),
		m: () => twoDigits(date.getUTCMonth() + 1),
		d: () => twoDigits(date.getUTCDate()),
		b: () => named({ month: "short" }),
		B: () => named({ month: "long" }),
		a: () => named({ weekday: "short" }),
		A: () => named({ weekday: "long" }),
		H: () => twoDigits(hours),
		I: () => twoDigits(hours % 12 || 12),
		p: () => (hours < 12 ? "AM" : "PM"),
		M: () => twoDigits(date.getUTCMinutes()),
		S: () => "00",
		j: () => String(1 + Math.floor((date - Date.UTC(date.getUTCFullYear())) / 86_400_000)).padStart(3, "0"),
		"%": () => "%",
	};
	const plain = { F: "%Y-%m-%d", T: "%H:%M:%S", R: "%H:%M", D: "%m/%d/%y" };
	return format
		.replaceAll(/%([FTRD])/g, (_, name) => plain[name])
		.replaceAll(/%-?([A-Za-z%])/g, (directive, name) => {
			const value = directives[name]?.();
			if (value === undefined) return directive;
			return directive.length === 3 ? value.replace(/^0+(?=.)/, "") : value;
		});
}

/** The last parsed template, with its string literals, which it may compare contents with. */
let parsed = { source: "", program: undefined, literals: [] };

function parsedOf(source) {
	if (parsed.program === undefined || parsed.source !== source) {
		const tokens = tokenize(source, { lstrip_blocks: true, trim_blocks: true });
		const literals = [...new Set(tokens.filter(({ type }) => type === "StringLiteral").map(({ value }) => value.trim()))];
		parsed = { source, program: parse(tokens), literals };
	}
	return parsed;
}

/** The text of one conversation, or why there is none. */
function render(program, variables, now, onClock) {
	const given = variables.messages.reduce((sum, { content }) => sum + content.length, 0);
	left.steps = mostSteps + given;
	left.length = longest + 2 * given;
	const environment = new Environment();
	const globals = {
		false: false,
		False: false,
		true: true,
		True: true,
		none: null,
		None: null,
		raise_exception: (reason) => {
			throw new Error(reason);
		},
		range: (...numbers) => range(...numbers.filter((number) => typeof number === "number")),
		strftime_now: (format) => {
			onClock();
			return formatted(now, format);
		},
		...variables,
	};
	for (const [name, value] of Object.entries(globals)) environment.set(name, value);
	try {
		return { text: new BoundedInterpreter(environment).run(program).value };
	} catch (error) {
		return { failure: reasonOf(error) };
	}
}

parentPort.on("message", ({ source, conversations, now }) => {
	let readsClock = false;
	const onClock = () => {
		readsClock = true;
	};
	try {
		const { program, literals } = parsedOf(source);
		const texts = conversations.map((variables) => render(program, variables, now, onClock));
		parentPort.postMessage({ texts, literals, readsClock });
	} catch (error) {
		const failure = reasonOf(error);
		parentPort.postMessage({ texts: conversations.map(() => ({ failure })), literals: [], readsClock });
	}
});
parentPort.postMessage("ready");
