import { parseJson } from "../data/json.js";
import { linesOf, readText, withoutControls } from "../data/text-file.js";
import { InvalidLexiconError } from "../errors.js";
import type { NativeLexiconTerm } from "../native/protocol.js";

/** A lexicon entry: a word or phrase, with `*` at either end for any continuation; alone (weight 1) or with its weight. */
export type LexiconTerm = string | { term: string; weight?: number };

/** A term and its place. */
interface Entry {
	place: string;
	given: unknown;
}

/** A form of term that was probably meant otherwise, and would match nothing. */
interface Misreading {
	pattern: RegExp;
	what: string;
}

const quotes = "quotes around a term (take them away, they would belong to it)";
const regularExpression = "regular expressions or escapes (write the words out, with * at either end for any continuation)";
const weights = 'weights beside terms (they go into JSON, { "term": weight })';

/** Digits, as in a weight. */
const number = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)`;

const longest = 200; // characters of a term

const misreadings: Misreading[] = [
	{ pattern: new RegExp(`^[^]{${longest + 1}}`), what: `terms of more than ${longest} characters (one word or phrase per entry)` },
	{ pattern: /^\**$/, what: "terms without a letter" },
	{ pattern: /\uFFFD/, what: "characters that were lost when the text was decoded (U+FFFD; restore them)" },
	{ pattern: /(?!\s)\p{Cc}/u, what: "control characters (remove them)" },
	{ pattern: /[\t\n\v\f\r\u2028\u2029]/, what: "tabs or line breaks inside a term (one term per entry; weights go into JSON)" },
	{ pattern: /^["'`“”„«‘].*["'`”“»’]$/u, what: quotes },
	{ pattern: /&(?:#\d+|#x[\da-f]+|amp|lt|gt|quot|apos|nbsp);/iu, what: "escapes of HTML (write the characters themselves)" },
	...[
		/\\[\p{L}\p{N}.*+?()[\]{}|^$\\/-]/u,
		/\.[*+]|\.\?\p{L}/u,
		/\(\?[:=!<imsx]|\([^)]+\)[?+*{]/u,
		/[\p{L}\p{N}]\[[^\]]+\]|\[[^\]]+\][\p{L}\p{N}+?{]|\[\^?(?:[a-z]-[a-z]|\d-\d)/iu,
		/[\p{L}\p{N}"')*]\s*\|\s*[\p{L}\p{N}"'(*-]/u,
		/\{\d+(?:,\d*)?\}/,
		/^[^/=]*\p{L}[?+]\p{L}|^\*?\p{L}+\?$/u,
		/^\*?\^[\p{L}\p{N}([\\]|[\p{L})\]]\$$/u,
		/^\/.+\/[dgimsuvy]*$/,
		/^%\p{L}|\p{L}%$/u,
	].map((pattern) => ({ pattern, what: regularExpression })),
	{ pattern: /[^*]\*+[^*]|^\*\*|\*\*$/, what: "* elsewhere than once at either end (write the letters themselves)" },
	{ pattern: /[＊﹡]/, what: "another asterisk than * (write *)" },
	{ pattern: new RegExp(`[^\\d\\s]\\s*[,;]\\s*${number}$`), what: weights },
];

/** More such forms, for a line. As a JSON entry, they would be unambiguous. */
const misreadLines: Misreading[] = [
	{ pattern: new RegExp(`[^\\d\\s]\\s*[:=]\\s*${number}$`), what: weights },
	{ pattern: /^(?:\/[/*]|--\s|<!--|;)|\s(?:#(?!\d)|\/\/\s)/, what: "comments other than lines that begin with #" },
	{
		pattern: /^---$|^[-+*•–—]\s|^\(?\d+[.)]\s|:\s|:$|\s=\s/,
		what: "marks of a list, of YAML or of settings (one term per line as it is, or JSON)",
	},
	{ pattern: /^<[!?]|^<(\w+)[^>]*>.*<\/\1>$/, what: "markup (take it away)" },
	{
		pattern: /(?<!\d)[,，、]|[,，、](?!\d)|[;；]/,
		what: "separated values (one term per line; a term with a comma or semicolon in it goes into JSON)",
	},
];

const columns = [new RegExp(`^${number}\\s+\\S`), new RegExp(`\\S\\s+${number}$`)];

/** Numbers next to all terms are weights. Next to a single term, a number may be part of it. */
function misreadColumn(lines: readonly string[]): Misreading[] {
	const isWeight = (pattern: RegExp) => lines.length > 1 && lines.every((line) => line.length <= longest && pattern.test(line));
	return columns.filter(isWeight).map((pattern) => ({ pattern, what: weights }));
}

const isTerm = (given: unknown): given is LexiconTerm =>
	typeof given === "string" ||
	(typeof given === "object" &&
		given !== null &&
		"term" in given &&
		typeof given.term === "string" &&
		Object.keys(given).every((key) => key === "term" || key === "weight"));

function normalised(given: LexiconTerm): NativeLexiconTerm {
	const { term, weight = 1 } = typeof given === "string" ? { term: given } : given;
	return { term: term.trim(), weight };
}

/** Why an entry is not a term; undefined if it is one. */
function faultOf(given: unknown, misread: readonly Misreading[]): string | undefined {
	if (!isTerm(given)) return "neither texts nor { term, weight }";
	const { term, weight } = normalised(given);
	if (!term.isWellFormed()) return "halves of characters (surrogates alone)";
	if (typeof weight !== "number" || !Number.isFinite(weight) || weight === 0) return "weights that are no finite number other than 0";
	return misread.find(({ pattern }) => pattern.test(term))?.what;
}

const mostShown = 10;

function shown(given: unknown): string {
	const text = JSON.stringify(given) ?? String(given);
	return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function termsOf(entries: readonly Entry[], misread: readonly Misreading[], where: string): NativeLexiconTerm[] {
	if (entries.length === 0) throw new InvalidLexiconError(`expected ${where} with at least one term, got none`);
	const faults = entries.flatMap(({ place, given }) => {
		const what = faultOf(given, misread);
		return what === undefined ? [] : [{ what, at: `${place}, ${shown(given)}` }];
	});
	if (faults.length === 0) return entries.map(({ given }) => normalised(given as LexiconTerm));
	const first = faults.slice(0, mostShown);
	const kinds = [...new Set(first.map(({ what }) => what))];
	const places = (kind: string) =>
		first
			.filter(({ what }) => what === kind)
			.map(({ at }) => at)
			.join("; ");
	const rest = faults.length > mostShown ? ` – and ${faults.length - mostShown} more` : "";
	throw new InvalidLexiconError(
		`expected ${where} of words and phrases, got ${kinds.map((kind) => `${kind}: ${places(kind)}`).join(" – ")}${rest}`,
	);
}

const pair = new RegExp(`("(?:[^"\\\\]|\\\\.)*")\\s*:\\s*(${number}(?:[eE][-+]?\\d+)?)`, "g");

/** Terms and weights of a JSON object, including repeated terms, of which JSON.parse keeps only the last. */
function weighted(parsed: object, json: string): unknown[] {
	const isFlat = Object.values(parsed).every((weight) => typeof weight === "number");
	if (!isFlat) return Object.entries(parsed).map(([term, weight]) => ({ term, weight }));
	return [...json.matchAll(pair)].map(([, term, weight]) => ({ term: JSON.parse(term as string), weight: Number(weight) }));
}

function jsonEntries(json: string, path: string): unknown[] {
	let parsed: object;
	try {
		parsed = parseJson(json) as object;
	} catch (cause) {
		throw new InvalidLexiconError(
			`expected JSON in ${path}, since it begins with a bracket, or one term per line, got: ${(cause as Error).message}`,
			{ cause },
		);
	}
	return Array.isArray(parsed) ? parsed : weighted(parsed, json);
}

const asEntries = (given: readonly unknown[]): Entry[] => given.map((one, i) => ({ place: `entry ${i + 1}`, given: one }));

function termsOfFile(path: string): NativeLexiconTerm[] {
	let text: string;
	try {
		text = withoutControls(readText(path));
	} catch (cause) {
		throw new InvalidLexiconError(`expected a lexicon file at ${path}, got: ${(cause as Error).message}`, { cause });
	}
	const where = `a lexicon at ${path}`;
	if (/^\s*[[{]/.test(text)) return termsOf(asEntries(jsonEntries(text, path)), misreadings, where);
	const lines = linesOf(text).map((line, i) => ({ place: `line ${i + 1}`, given: line.trim() }));
	const entries = lines.filter(({ given }) => given !== "" && !given.startsWith("#"));
	const column = misreadColumn(entries.map(({ given }) => given));
	return termsOf(entries, [...misreadings, ...misreadLines, ...column], where);
}

/**
 * Reads a lexicon: an array of terms, or the path of a file with one term per line (`#` begins a comment line), a JSON array of terms or
 * `{ term, weight }`, or a JSON object of weights by term; text in UTF-8, or in UTF-16 with a byte order mark.
 *
 * Errors: INVALID_LEXICON if the file is none of these, or a term is not a word or phrase and would match nothing.
 */
export function readLexicon(source: string | readonly LexiconTerm[]): NativeLexiconTerm[] {
	return typeof source === "string" ? termsOfFile(source) : termsOf(asEntries(source), misreadings, "a lexicon");
}
