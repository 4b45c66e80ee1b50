// Writes the tables of native/core/support/unicode.cpp from this Node's Unicode data: `node unicode-tables.mjs OUT`.
import { writeFileSync } from "node:fs";

const wordCharacter = /[\p{L}\p{M}\p{N}]/u;
const mark = /\p{M}/u;
const ignorable = /\p{Default_Ignorable_Code_Point}/u;
const isHangul = (code) => code >= 0xac00 && code <= 0xd7a3;
const hex = (code) => `0x${code.toString(16)}`;

const foldings = [];
const wordRanges = [];
const markRanges = [];
const addTo = (ranges, code) => {
	const last = ranges.at(-1);
	if (last && last[1] === code - 1) last[1] = code;
	else ranges.push([code, code]);
};
for (let code = 0; code <= 0x10ffff; code++) {
	if (code >= 0xd800 && code <= 0xdfff) continue;
	const character = String.fromCodePoint(code);
	if (wordCharacter.test(character)) addTo(wordRanges, code);
	if (mark.test(character)) addTo(markRanges, code);
	if (isHangul(code)) continue; // decomposed by formula
	const folded = ignorable.test(character) ? "" : character.normalize("NFKD").toLowerCase().toUpperCase().toLowerCase().normalize("NFKD");
	if (folded !== character)
		foldings.push([code, [...folded].map((c) => c.codePointAt(0)).filter((c) => !ignorable.test(String.fromCodePoint(c)))]);
}

const targets = [];
const entries = foldings.map(([code, to]) => {
	const offset = targets.length;
	targets.push(...to);
	return `{${hex(code)},${offset},${to.length}}`;
});
const wrapped = (items) => items.join(",").replace(/(.{100,140}?,)(?=[{0])/g, "$1\n");
const rangeTable = (name, ranges) =>
	`static const unicode_range ${name}[] = {\n${wrapped(ranges.map(([first, last]) => `{${hex(first)},${hex(last)}}`))}};\n`;
writeFileSync(
	process.argv[2],
	`static const unicode_folding foldings[] = {\n${wrapped(entries)}};\n` +
		`static const uint32_t folding_targets[] = {\n${wrapped(targets.map(hex))}};\n` +
		rangeTable("word_ranges", wordRanges) +
		rangeTable("mark_ranges", markRanges),
);
