// Writes the tables of native/core/support/unicode.cpp from this Node's Unicode data and lookalikes.json: `node unicode-tables.mjs OUT`.
import { readFileSync, writeFileSync } from "node:fs";

const ignorable = /\p{Default_Ignorable_Code_Point}/u;
const unspacedScripts = [
	...["Han", "Katakana", "Bopomofo", "Yi", "Thai", "Lao", "Khmer", "Myanmar"],
	...["Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Ahom", "Javanese", "Balinese", "Buginese", "Nushu", "Tangut"],
];
const unspaced = new RegExp(`[\\p{scx=Hiragana}${unspacedScripts.map((script) => `\\p{Script=${script}}`).join("")}]`, "u");
const isHangul = (code) => code >= 0xac00 && code <= 0xd7a3; // decomposed by formula
const hex = (code) => `0x${code.toString(16)}`;
const codesOf = (text) => [...text].map((c) => c.codePointAt(0));
const wrapped = (items) => items.join(",").replace(/(.{100,140}?,)(?=[{0])/g, "$1\n");
const table = (type, name, entries) => `static const ${type} ${name}[] = {\n${wrapped(entries)}};\n`;

const characters = [];
for (let code = 0; code <= 0x10ffff; code++) if (code < 0xd800 || code > 0xdfff) characters.push(String.fromCodePoint(code));

/** Ranges of the characters that match. */
function ranges(name, pattern) {
	const found = [];
	for (const code of characters.filter((c) => pattern.test(c)).map((c) => c.codePointAt(0))) {
		const last = found.at(-1);
		if (last && last[1] === code - 1) last[1] = code;
		else found.push([code, code]);
	}
	return table(
		"unicode_range",
		name,
		found.map(([first, last]) => `{${hex(first)},${hex(last)}}`),
	);
}

/** What characters become, where that is something other than `usual`. */
function mapping(name, targetsName, become, usual = (character) => character) {
	const targets = [];
	const entries = [];
	for (const character of characters) {
		const code = character.codePointAt(0);
		if (isHangul(code)) continue;
		const to = become(character);
		if (to === usual(character)) continue;
		entries.push(`{${hex(code)},${targets.length},${codesOf(to).length}}`);
		targets.push(...codesOf(to));
	}
	return table("unicode_folding", name, entries) + table("uint32_t", targetsName, targets.map(hex));
}

function folded(character) {
	if (ignorable.test(character)) return "";
	const to = character.normalize("NFKD").toLowerCase().toUpperCase().toLowerCase().normalize("NFKD");
	return to === character ? to : [...to].filter((c) => !ignorable.test(c)).join("");
}

/** Whether the first of two characters goes behind the second one in canonical order. */
const swaps = (first, second) => (first + second).normalize("NFD") !== first + second;

/** Combining classes as ranks: their order is all that canonical forms need, and all that JavaScript tells. */
function combiningRanks() {
	const [lowest, highest] = ["\u0334", "\u0345"];
	const marks = characters.filter((c) => c.normalize("NFD") === c && (c === lowest || swaps(c, lowest) || swaps(highest, c)));
	marks.sort((a, b) => (swaps(a, b) ? 1 : swaps(b, a) ? -1 : 0));
	let rank = 1;
	const entries = marks.map((mark, i) => {
		if (i > 0 && swaps(mark, marks[i - 1])) rank++;
		return [mark.codePointAt(0), rank];
	});
	entries.sort(([a], [b]) => a - b);
	return table(
		"unicode_rank",
		"combining_ranks",
		entries.map(([code, of]) => `{${hex(code)},${of}}`),
	);
}

/** Characters that have several codes, or one of their own in a style, by what a lexicon reads them as. */
const respellings = new Map();
for (const [to, from] of [
	["-", /[\p{Dash}\u02d7\u2043\u2796]/u],
	["'", /[`\xb4\u02b9\u02bb-\u02bd\u02c8\u02ca\u02cb\u02f4\u0374\u0384\u055a\u055d\u05f3\u07f4\u07f5\u1fbd\u1fbf\u1fef\u1ffd\u1ffe]/u],
	["'", /[\u2018-\u201b\u2032\u2035\u2039\u203a\ua78b\ua78c\uff07\uff40]/u],
	['"', /[\xab\xbb\u02ba\u02dd\u02ee\u02f6\u05f4\u201c-\u201f\u2033\u2036\u301d-\u301f\uff02]/u],
	["/", /[\u2044\u2215\u29f8]/u],
	["\u3099", /\u309b/u], // the marks of kana, where they stand alone
	["\u309a", /\u309c/u],
	["j", /\u0237/u],
	["\u0643", /[\u06a9\u06aa]/u], // kaf
	["\u064a", /[\u0649\u06cc]/u], // yeh
	["\u0647", /[\u0629\u06be\u06c1\u06c3\u06d5]/u], // heh
	["\u0627", /\u0671/u], // alef
]) {
	for (const character of characters.filter((c) => from.test(c))) respellings.set(character, to);
}
const letters = [..."abcdefghijklmnopqrstuvwxyz"];
for (const styled of ["ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡ\0ʏᴢ", ...["🅐", "🅰", "🇦"].map((a) => letters.map((_, i) => shifted(a, i)).join(""))]) {
	for (const [i, character] of [...styled].entries()) if (character !== "\0") respellings.set(character, letters[i]);
}
for (const [i, digit] of characters.filter((c) => /\p{Nd}/u.test(c)).entries()) respellings.set(digit, String(i % 10)); // ten by ten, from 0 on

function shifted(character, by) {
	return String.fromCodePoint(character.codePointAt(0) + by);
}

/** What does not show in a word. */
const hidden = [
	/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}](?<![\t-\r\x85])/u,
	/[\u2800\ufffc\ufffd\u{1d159}]/u,
	/[\u0640\u07fa\u0883-\u0885\u180a]/u, // what lengthens a line between letters
	/[\ufe70-\ufe7f]/u, // marks of Arabic, where they stand alone
	/\p{Me}/u,
	/(?=\p{Mn})[\p{scx=Arabic}\p{scx=Hebrew}\p{scx=Syriac}]/u, // vowels
];
const isOverlay = (mark) => swaps("\u0345", mark) && !swaps("\u0334", mark) && !swaps(mark, "\u0334");
const composing = new Set(characters.flatMap((c) => (isHangul(c.codePointAt(0)) ? [] : [...c.normalize("NFD")].slice(1))));

/** Marks that make no letter of their own with any that they stand on. */
const isOrnament = (c) => /(?=\p{Mn})\p{Script=Inherited}/u.test(c) && (isOverlay(c) || !composing.has(c));
const respelled = (c) => (hidden.some((pattern) => pattern.test(c)) || isOrnament(c) ? "" : (respellings.get(c) ?? c));

/** What a lexicon reads. */
function spelled(character) {
	const own = respelled(character);
	return own === character ? [...folded(character)].map(respelled).join("") : own;
}

/** Characters that show as nothing, or as a space. */
const gap = /[\p{Cc}\u115f\u1160\u2800\u3164\uffa0\ufff9-\ufffd](?<![\t-\r\x85])/u;

function lookalikes() {
	const found = JSON.parse(readFileSync(new URL("lookalikes.json", import.meta.url), "utf8"));
	const pairs = Object.entries(found).flatMap(([to, alike]) => codesOf(alike).map((code) => [code, to.codePointAt(0)]));
	pairs.sort(([a], [b]) => a - b);
	return table(
		"unicode_lookalike",
		"lookalikes",
		pairs.map((pair) => `{${pair.map(hex).join(",")}}`),
	);
}

function compositions() {
	const pairs = [];
	for (const character of characters) {
		const parts = [...character.normalize("NFD")];
		if (isHangul(character.codePointAt(0)) || parts.length < 2 || character.normalize("NFC") !== character) continue;
		const first = parts.slice(0, -1).join("").normalize("NFC");
		pairs.push([first.codePointAt(0), parts.at(-1).codePointAt(0), character.codePointAt(0)]);
	}
	pairs.sort(([a, x], [b, y]) => a - b || x - y);
	return table(
		"unicode_pair",
		"compositions",
		pairs.map((pair) => `{${pair.map(hex).join(",")}}`),
	);
}

writeFileSync(
	process.argv[2],
	mapping("foldings", "folding_targets", folded) +
		mapping("spellings", "spelling_targets", spelled, folded) +
		lookalikes() +
		mapping("decompositions", "decomposition_targets", (c) => c.normalize("NFD")) +
		mapping("lower_cases", "lower_case_targets", (c) => c.toLowerCase()) +
		combiningRanks() +
		compositions() +
		ranges("word_ranges", /[\p{L}\p{M}\p{N}]/u) +
		ranges("unspaced_ranges", unspaced) +
		ranges("mark_ranges", /\p{M}/u) +
		ranges("accent_ranges", /(?=\p{Mn})[\p{Script=Inherited}\p{Script=Cyrillic}](?<![\u3099\u309a])/u) +
		ranges("soft_dotted_ranges", /\p{Soft_Dotted}/u) +
		ranges("greek_ranges", /(?=\p{L})\p{Script=Greek}/u) +
		ranges("cyrillic_ranges", /(?=\p{L})\p{Script=Cyrillic}/u) +
		ranges("gap_ranges", gap) +
		ranges("nonspacing_ranges", /\p{Mn}/u) +
		ranges("punctuation_ranges", /\p{P}/u) +
		ranges("invisible_ranges", /[\p{Cc}\p{Cf}\p{Co}]/u) +
		ranges("white_space_ranges", /\p{White_Space}/u),
);
