// Words errors for the command line, where options are flags.
import type { Command, Option } from "commander";

/** Options whose flag has another name. */
function otherNames(command: Command): Record<string, string | undefined> {
	const names = {
		messages: "prompt",
		budgets: "budget",
		temperatures: "temperature",
		promptField: "field",
		file: "prompts",
		apiKeys: "apiKey",
	};
	return command.opts().export === undefined ? names : { ...names, out: "export", labels: "out" };
}

/** The flag that sets an option, if the command has one. `constraints.0.cost.lexicon` is set by the cost's flag. */
function flagOf(command: Command, path: readonly string[]): Option | undefined {
	const named = (name: string | undefined) => {
		const [first, ...others] = command.options.filter((option) => option.attributeName() === name);
		return others.find(({ negate }) => negate) ?? first; // a flag that switches off has a hidden counterpart that switches on
	};
	return [...path]
		.reverse()
		.map((name) => named(otherNames(command)[name]) ?? named(name))
		.find((option) => option !== undefined);
}

/** Whether an option is in an experiment's file, which has its own names, and not on the command line. */
function isOfFile(command: Command, path: readonly string[]): boolean {
	const isFlagToo = path.length === 1 && (path[0] !== "now" || command.getOptionValueSource("now") === "cli");
	return command.opts().config !== undefined && !isFlagToo;
}

/** The values of a flag, which may be given several times. */
function typed(command: Command, option: Option): unknown[] {
	if (command.getOptionValueSource(option.attributeName()) !== "cli") return [];
	const given: unknown = command.opts()[option.attributeName()];
	return Array.isArray(given) ? given : [given];
}

/** Whether a text mentions a value, as in `at x.txt`, `got "x"` or `'x'`. A number could be anything. */
function speaksOf(text: string, value: unknown): value is string {
	if (typeof value !== "string" || (value !== "" && !Number.isNaN(Number(value)))) return false;
	const begins = (before: string) => text.includes(before + value);
	return ["at ", "for ", "got ", "in ", "into ", "of ", "read ", "write ", '"', "'"].some(begins) || text.startsWith(value);
}

/** The flags whose values a message without a flag mentions. A value that is part of another mentioned value does not count. */
function flagsSpokenOf(command: Command, text: string): string[] {
	const spoken = command.options.flatMap((option) =>
		typed(command, option)
			.filter((value): value is string => speaksOf(text, value))
			.map((value) => ({ flag: option.long as string, value })),
	);
	const meant = spoken.filter(({ value }) => !spoken.some((other) => other.value !== value && other.value.includes(value)));
	return [...new Set(meant.map(({ flag }) => flag))];
}

/** Replaces option names in a message's remedy by flags. */
function withFlags(command: Command, text: string): string {
	const flags = (words: string) => words.replace(/\w+/g, (word) => flagOf(command, [word])?.long ?? word);
	const switchedOff = (words: string, word: string) => {
		const flag = flagOf(command, [word]);
		return flag?.negate ? (flag.long as string) : words;
	};
	return text
		.replace(/\b(\w+): false\b/g, switchedOff)
		.replace(/\b\w+ \((--[\w-]+)\)/g, "$1")
		.replace(/\((?:\w+), (--[\w-]+)\)/g, "($1)")
		.replace(/\b(?:lower|raise) [\w, ]+/g, flags)
		.replace(/(?<![\w/\\.-])[a-z]+[A-Z]\w*(?![\w/\\.-])/g, flags);
}

function lineInFlags(command: Command, line: string): string {
	const [, place, problem] = /^([\w.]+): (.*)$/s.exec(line) ?? [];
	const path = place?.split(".") ?? [];
	const option = flagOf(command, path);
	if (option === undefined) return withFlags(command, line);
	if (isOfFile(command, path)) return line;
	const nth = Number(path.find((name) => /^\d+$/.test(name)) ?? 0);
	const got = problem?.replace(/, got NaN$/, () => `, got ${JSON.stringify(typed(command, option)[nth]) ?? "nothing"}`);
	return `${option.long}: ${withFlags(command, got ?? "")}`;
}

/** The message of an error of this command. */
export function inFlags(command: Command, message: string): string {
	const told = message
		.split("\n")
		.map((line) => lineInFlags(command, line))
		.join("\n");
	const flags = /(?<!\w)--\w/.test(told) ? [] : flagsSpokenOf(command, told);
	return flags.length === 0 ? told : `${flags.join(", ")}: ${told}`;
}
