// Makes flags from the tables of options: one flag per row.
import { type Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import type { OptionRow } from "../base/check.js";
import { kebabCase } from "../base/kebab-case.js";
import { collect } from "./loading.js";

type Rows = Record<string, OptionRow>;

/** A flag that takes one of these names, as spelled here or in kebab case. */
export function ofNames(option: Option, names: readonly string[]): Option {
	const shown = names.map(kebabCase);
	return option.choices(shown).argParser((given: string) => {
		const name = names.find((one) => one === given || kebabCase(one) === given);
		if (name === undefined) throw new InvalidArgumentError(`Allowed choices are ${shown.join(", ")}.`);
		return name;
	});
}

function placeholderOf({ check, takes }: OptionRow): string {
	if (takes) return `<${takes}>`;
	if (check instanceof z.ZodEnum) return "<name>";
	return check instanceof z.ZodNumber && check.isInt ? "<n>" : "<number>";
}

function flagsOf(name: string, row: OptionRow): Option[] {
	const long = `--${kebabCase(name)}`;
	const on = new Option(long, row.help);
	if (row.check instanceof z.ZodBoolean) {
		return row.turnsOff ? [on.hideHelp(), new Option(`--no-${kebabCase(name)}`, row.help)] : [on];
	}
	const short = row.shortFlag ? `-${row.shortFlag}, ` : "";
	const option = new Option(`${short}${long} ${placeholderOf(row)}`, row.help);
	if (row.repeats) return [option.argParser(collect)];
	return [row.check instanceof z.ZodEnum ? ofNames(option, row.check.options.map(String)) : option];
}

/** Adds a flag to a command for every row, under a heading of its own in the help. */
export function addFlags(command: Command, heading: string, rows: Rows): Command {
	for (const [name, row] of Object.entries(rows)) {
		for (const option of flagsOf(name, row)) command.addOption(option.helpGroup(heading));
	}
	return command;
}

/** Anything that is not a number is left for the option's own check to reject. */
const numberIn = (given: string) => (given.trim() === "" || Number.isNaN(Number(given)) ? given : Number(given));

function readValue({ check, takes }: OptionRow, given: unknown): unknown {
	if (typeof given !== "string" || check instanceof z.ZodString || check instanceof z.ZodEnum) return given;
	return takes === "low:high" ? given.split(":").map(numberIn) : numberIn(given);
}

/** The options given by these rows' flags. */
export const optionsFrom = (flags: object, rows: Rows): Record<string, unknown> =>
	Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, readValue(row, (flags as Record<string, unknown>)[name])]));
