import { readFile } from "node:fs/promises";
import { InvalidLexiconError } from "./errors.js";
import type { NativeLexiconTerm } from "./native.js";

/** A lexicon entry: a term, alone (weight 1) or with its weight. */
export type LexiconTerm = string | { term: string; weight?: number };

function fail(expected: string, got: string): never {
	throw new InvalidLexiconError(`expected ${expected}, got ${got}`);
}

function normalise(entry: unknown): NativeLexiconTerm {
	const { term, weight = 1 } = (typeof entry === "string" ? { term: entry } : (entry ?? {})) as { term?: unknown; weight?: unknown };
	if (typeof term !== "string") fail("every lexicon entry to be a string or { term, weight }", JSON.stringify(entry) ?? "undefined");
	if (!term.isWellFormed()) fail("well-formed Unicode in every lexicon term", JSON.stringify(term));
	if (typeof weight !== "number" || !Number.isFinite(weight) || weight === 0) {
		fail(`a finite weight other than 0 for the term "${term}"`, String(weight));
	}
	return { term: term.trim(), weight };
}

function parseText(text: string, path: string): unknown[] {
	const json = /^\s*[[{]/.test(text);
	if (!json) {
		const lines = text.split(/\r?\n/).map((line) => line.trim());
		return lines.filter((line) => line !== "" && !line.startsWith("#"));
	}
	let parsed: unknown;
	try {
		parsed = JSON.parse(text);
	} catch (cause) {
		throw new InvalidLexiconError(`expected JSON or one term per line in ${path}, got: ${(cause as Error).message}`, { cause });
	}
	if (Array.isArray(parsed)) return parsed;
	return Object.entries(parsed as object).map(([term, weight]) => ({ term, weight }));
}

/**
 * Reads a lexicon: an array of terms, or the path of a file with one term per line (`#` starts a comment line), a JSON
 * array of terms or `{ term, weight }`, or a JSON object of weights by term.
 */
export async function readLexicon(source: string | readonly LexiconTerm[]): Promise<NativeLexiconTerm[]> {
	let entries: readonly unknown[];
	if (typeof source === "string") {
		let text: string;
		try {
			text = await readFile(source, "utf8");
		} catch (cause) {
			throw new InvalidLexiconError(`expected a lexicon file at ${source}, got: ${(cause as Error).message}`, { cause });
		}
		entries = parseText(text.replace(/^\uFEFF/, ""), source);
	} else {
		entries = source;
	}
	if (entries.length === 0) fail("a lexicon with at least one term", "none");
	return entries.map(normalise);
}
