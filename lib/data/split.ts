// Splits rows into training, validation and test.
import { createHash } from "node:crypto";
import { InvalidDataError } from "../errors.js";
import { shown } from "./records.js";

/** The part of the data that a row belongs to. */
export type Split = "train" | "validation" | "test";

/** A random tenth of the groups is for validation and another for testing, at least one group each. Rows of one group stay together. */
export function splitsOf(groups: readonly string[], seed: number): Split[] {
	const drawn = (group: string) => createHash("sha256").update(`${seed}\n${group}`).digest("hex");
	const order = [...new Set(groups)].map((group) => ({ group, key: drawn(group) })).sort((a, b) => (a.key < b.key ? -1 : 1));
	const tenth = Math.max(1, Math.round(order.length / 10));
	const splits = new Map<string, Split>(order.map(({ group }, i) => [group, i < tenth ? "test" : i < 2 * tenth ? "validation" : "train"]));
	return groups.map((group) => splits.get(group) as Split);
}

/** Reads a split's name from a data file. */
export function splitNamed(name: unknown, row: number): Split {
	const known: Record<string, Split> = {
		train: "train",
		training: "train",
		validation: "validation",
		val: "validation",
		valid: "validation",
		dev: "validation",
		test: "test",
	};
	const split = typeof name === "string" ? known[name.toLowerCase()] : undefined;
	if (split) return split;
	throw new InvalidDataError(`expected train, validation or test as the split of row ${row + 1}, got ${shown(name)}`);
}
