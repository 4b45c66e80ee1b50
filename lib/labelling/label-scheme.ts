// The labels that a reader can give, and their keys.
import { InvalidOptionError } from "../errors.js";

/** The label that categories refine. */
export const unsafeLabel = "unsafe";
/** The label of answers that are left out of a training. */
export const undecidedLabel = "undecided";

export const defaultLabels = ["safe", unsafeLabel, `b=${undecidedLabel}`] as const;

/** One key per label; categories have the digits from 1. */
export interface LabelScheme {
	labels: { name: string; key: string }[];
	categories: string[];
}

const mostCategories = 9;

function expectOnce(values: readonly string[], what: string): void {
	const twice = values.find((value, i) => values.indexOf(value) !== i);
	if (twice !== undefined) throw new InvalidOptionError(`${what}: expected each once, got ${twice} twice`);
}

/** Reads labels as `label` or `key=label`. A label without a key gets the first of its letters that is free. Errors: INVALID_OPTION. */
export function labelScheme(labels: readonly string[], categories: readonly string[]): LabelScheme {
	const read = labels.map((given) => {
		const [, key, name = ""] = /^(?:(.*?)=)?(.*)$/su.exec(given) ?? [];
		if (key !== undefined && !/^\p{L}$/u.test(key)) throw new InvalidOptionError(`labels: expected one letter as a key, got ${given}`);
		if (name.trim() === "") throw new InvalidOptionError(`labels: expected the name of a label, got "${given}"`);
		return { name: name.trim(), key: key?.toLowerCase() };
	});
	if (read.length === 0) throw new InvalidOptionError("labels: expected at least one label, got none");
	const taken = read.flatMap(({ key }) => key ?? []);
	const scheme = read.map(({ name, key }) => {
		const free = key ?? [...name.toLowerCase()].find((letter) => /^\p{L}$/u.test(letter) && !taken.includes(letter));
		if (free === undefined)
			throw new InvalidOptionError(`labels: expected a key for ${name}, since its letters are taken, as in "x=${name}"`);
		if (key === undefined) taken.push(free);
		return { name, key: free };
	});
	expectOnce(taken, "labels: keys");
	expectOnce(
		scheme.map(({ name }) => name),
		"labels",
	);
	expectOnce(categories, "categories");
	if (categories.length > mostCategories || categories.includes("")) {
		throw new InvalidOptionError(`categories: expected at most ${mostCategories} names, one per digit, got ${categories.join(",")}`);
	}
	if (categories.length > 0 && !scheme.some(({ name }) => name === unsafeLabel)) {
		throw new InvalidOptionError(`categories: expected a label named ${unsafeLabel}, to which they apply, got none`);
	}
	return { labels: scheme, categories: [...categories] };
}
