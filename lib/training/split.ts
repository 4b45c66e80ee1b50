// Which rows train, validate and test.
import { createHash } from "node:crypto";
import { InvalidDataError } from "../errors.js";
import { shown } from "./records.js";

/** The part of the data that a row belongs to. */
export type Split = "train" | "validation" | "test";

/** 80 % train, 10 % validation, 10 % test; rows of one group stay together. */
export function splitOf(group: string, seed: number): Split {
	const share = createHash("sha256").update(`${seed}\n${group}`).digest().readUInt32LE(0) / 2 ** 32;
	return share < 0.8 ? "train" : share < 0.9 ? "validation" : "test";
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
