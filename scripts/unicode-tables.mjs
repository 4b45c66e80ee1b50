// Writes the tables of native/core/support/unicode.cpp from this Node's Unicode data: `node unicode-tables.mjs OUT`.
import { writeFileSync } from "node:fs";

const ignorable = /\p{Default_Ignorable_Code_Point}/u;
const unspacedScripts = [
	...["Han", "Katakana", "Bopomofo", "Yi", "Thai", "Lao", "Khmer", "Myanmar"],
	...["Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Ahom", "Javanese", "Balinese"],
];
const unspaced = new RegExp(`[\\p{scx=Hiragana}${unspacedScripts.map((script) => `\\p{Script=${script}}`).join("")}]`, "u");
const isHangul = (code) => code >= 0xac00 && code <= 0xd7a3; // decomposed by formula
const hex = (code) => `0x${code.toString(16)}`;
const codesOf = (text) => [...text].map((c) => c.codePointAt(0));
const wrapped = (items) => items.join(",").replace(/(.{100,140}?,)(?=[{0])/g, "$1\n");
const table = (type, name, entries) => `static const ${type} ${name}[] = {\n${wrapped(entries)}};\n`;

const characters = [];
for (let code = 1; code <= 0x10ffff; code++) if (code < 0xd800 || code > 0xdfff) characters.push(String.fromCodePoint(code));

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

/** What characters become, where that is something else. */
function mapping(name, targetsName, become) {
	const targets = [];
	const entries = [];
	for (const character of characters) {
		const code = character.codePointAt(0);
		const to = isHangul(code) ? character : become(character);
		if (to === character) continue;
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
		mapping("decompositions", "decomposition_targets", (c) => c.normalize("NFD")) +
		mapping("lower_cases", "lower_case_targets", (c) => c.toLowerCase()) +
		combiningRanks() +
		compositions() +
		ranges("word_ranges", /[\p{L}\p{M}\p{N}]/u) +
		ranges("unspaced_ranges", unspaced) +
		ranges("mark_ranges", /\p{M}/u) +
		ranges("nonspacing_ranges", /\p{Mn}/u) +
		ranges("punctuation_ranges", /\p{P}/u) +
		ranges("invisible_ranges", /[\p{Cc}\p{Cf}\p{Co}]/u) +
		ranges("white_space_ranges", /\p{White_Space}/u),
);
