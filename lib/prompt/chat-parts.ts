// Tells which parts of a rendered conversation are the template's text, and which are contents. The template is rendered again with veiled
// contents, and the veils show where contents went. Templates may trim and join contents, and search them for texts of their own.
import type { ChatMessage } from "./chat.js";

/** Replace any character of a content, with the same length in UTF-16. */
const [veil, wideVeil] = ["\u{e000}", "\u{10fffd}"];

/** Characters that templates trim, split at and escape are not veiled. None of them is markup by itself. */
const bare = String.raw`\s\p{Cc}"\\`;
const bareCharacter = new RegExp(`[${bare}]`, "u");
/** From a veil to the last veil with only veils and bare characters in between. */
const plainRun = new RegExp(`[${veil}${wideVeil}](?:[${bare}${veil}${wideVeil}]*[${veil}${wideVeil}])?`, "gu");

const isVeil = (unit: number) => unit === 0xe000 || unit === 0xdbff || unit === 0xdffd;

/** Matches any of the texts, the longest first; undefined without texts. */
export function anyOf(texts: readonly string[]): RegExp | undefined {
	const escaped = [...texts].sort((a, b) => b.length - a.length).map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`));
	return escaped.length === 0 ? undefined : new RegExp(escaped.join("|"), "gu");
}

/** The veil of every UTF-16 unit; a bare unit stands for itself. Built once. */
let veils: Uint16Array | undefined;

function veilOf(unit: number): number {
	if (unit >= 0xd800 && unit <= 0xdfff) return wideVeil.charCodeAt(unit < 0xdc00 ? 0 : 1);
	const character = String.fromCharCode(unit);
	return bareCharacter.test(character) ? unit : veil.charCodeAt(0);
}

/** The text has no lone surrogates. It is processed unit by unit, since a text may have millions of them. */
function veiledText(text: string): string {
	veils ??= Uint16Array.from({ length: 0x10000 }, (_, unit) => veilOf(unit));
	const units = new Uint16Array(text.length);
	for (let i = 0; i < text.length; i++) units[i] = veils[text.charCodeAt(i)] as number;
	return Buffer.from(units.buffer).toString("utf16le");
}

/** The conversation with veiled contents, except for the kept texts, which are repeated `times` times. */
export function veiled(messages: readonly ChatMessage[], kept?: RegExp, times = 1): ChatMessage[] {
	const withKept = (text: string) => {
		const parts = kept ? text.split(new RegExp(`(${kept.source})`, "u")) : [text];
		return parts.map((part, i) => (i % 2 === 0 ? veiledText(part) : part.repeat(times))).join("");
	};
	return messages.map(({ role, content }) => ({ role, content: withKept(content) }));
}

/** The template's texts and the contents in turn, the template's first; undefined if the veiled text does not match. */
export function partsOf(text: string, veiledText: string): string[] | undefined {
	if (text.length !== veiledText.length) return undefined;
	for (let i = 0; i < text.length; i++) {
		const unit = veiledText.charCodeAt(i);
		if (unit !== text.charCodeAt(i) && !isVeil(unit)) return undefined;
	}
	const parts: string[] = [];
	let end = 0;
	for (const { index, 0: run } of veiledText.matchAll(plainRun)) {
		parts.push(text.slice(end, index), text.slice(index, index + run.length));
		end = index + run.length;
	}
	return [...parts, text.slice(end)];
}

/**
 * Whether `twice` is `once` with more of the given texts (and white space) in it, none of them next to an occurrence of the same text in
 * `once`. Then the added ones are the repetitions of kept contents, and the others were not produced by contents.
 */
export function addsApart(once: string, twice: string, texts: RegExp): boolean {
	const at = (text: string, place: number) => {
		const sticky = new RegExp(texts.source, "uy");
		sticky.lastIndex = place;
		return sticky.exec(text)?.[0];
	};
	let j = 0;
	for (let i = 0; i < once.length || j < twice.length; ) {
		if (i < once.length && once[i] === twice[j]) {
			i++;
			j++;
			continue;
		}
		const added = at(twice, j) ?? /^\s/.exec(twice[j] ?? "")?.[0];
		if (added === undefined || (added.trim() !== "" && (once.startsWith(added, i) || once.endsWith(added, i)))) return false;
		j += added.length;
	}
	return true;
}

/** The markup that a text spells, in its order. */
export const markupIn = (text: string, markup: RegExp | undefined) => (markup ? [...text.matchAll(markup)].map(([found]) => found) : []);
