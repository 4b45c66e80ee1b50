// Errors in the words of the command line: options are flags there.
import type { Command, Option } from "commander";

/** Options that have a flag of another name. */
const otherNames: Record<string, string> = { messages: "prompt", budgets: "budget", temperatures: "temperature", promptField: "field" };

/** The flag that sets an option, if the command has one: of `constraints.0.cost.lexicon` it is that of the cost. */
function flagOf(command: Command, path: readonly string[]): Option | undefined {
	const named = (name: string | undefined) => command.options.find((option) => option.attributeName() === name);
	return [...path]
		.reverse()
		.map((name) => named(name) ?? named(otherNames[name]))
		.find((option) => option !== undefined);
}

/** What was typed behind a flag, which may be given several times. */
function typed(command: Command, option: Option, path: readonly string[]): string {
	const given: unknown = command.opts()[option.attributeName()];
	const nth = Number(path.find((name) => /^\d+$/.test(name)) ?? 0);
	return JSON.stringify(Array.isArray(given) ? given[nth] : given) ?? "nothing";
}

/** Names of options in what a message asks for. */
function withFlags(command: Command, text: string): string {
	const flags = (words: string) => words.replace(/\w+/g, (word) => flagOf(command, [word])?.long ?? word);
	return text
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
	const got = problem?.replace(/, got NaN$/, () => `, got ${typed(command, option, path)}`);
	return `${option.long}: ${withFlags(command, got ?? "")}`;
}

/** The message of an error of this command. */
export const inFlags = (command: Command, message: string): string =>
	message
		.split("\n")
		.map((line) => lineInFlags(command, line))
		.join("\n");
