import { stripVTControlCharacters } from "node:util";
import { printable } from "../base/printable.js";
import { color } from "./color.js";
import { print } from "./terminal.js";

const widestColumn = 56;
const narrowestColumn = 32;
const margin = "  ";
const gap = "   ";

export interface Column<Word extends { text: string }> {
	title: string;
	paragraphs: Word[][];
}

function wrap<Word extends { text: string }>(words: Word[], width: number): Word[][] {
	const lines: Word[][] = [[]];
	let used = 0;
	for (const word of words) {
		if (used > 0 && used + 1 + word.text.length > width) {
			lines.push([]);
			used = 0;
		}
		used += (used > 0 ? 1 : 0) + word.text.length;
		lines.at(-1)?.push(word);
	}
	return lines;
}

/**
 * Prints two texts side by side, or one below the other on a narrow terminal.
 * @param shown Formats a line.
 */
export function sideBySide<Word extends { text: string }>(left: Column<Word>, right: Column<Word>, shown: (line: Word[]) => string): void {
	const cleaned = (word: Word) => ({ ...word, text: printable(word.text) });
	const lines = ({ paragraphs }: Column<Word>, width: number) => paragraphs.flatMap((words) => wrap(words.map(cleaned), width)).map(shown);
	const columns = process.stdout.columns ?? 2 * widestColumn + margin.length + gap.length;
	const half = Math.min(widestColumn, Math.floor((columns - margin.length - gap.length) / 2));
	if (half < narrowestColumn) {
		for (const column of [left, right]) {
			print(`${margin}${color("bold", column.title)}\n\n`);
			for (const line of lines(column, columns - margin.length)) print(`${margin}${line}\n`);
			print("\n");
		}
		return;
	}
	const [a, b] = [left, right].map((column) => [color("bold", column.title), "", ...lines(column, half)]) as [string[], string[]];
	const width = Math.max(...a.map((line) => stripVTControlCharacters(line).length));
	for (let i = 0; i < Math.max(a.length, b.length); i++) {
		const cell = a[i] ?? "";
		const padding = " ".repeat(width - stripVTControlCharacters(cell).length);
		print(`${`${margin}${cell}${padding}${gap}${b[i] ?? ""}`.trimEnd()}\n`);
	}
	print("\n");
}
