import { inOneLine } from "../base/printable.js";
import { say } from "./terminal.js";

/** Prints rows in aligned columns; the first row is the header. */
export function printTable(given: string[][]): void {
	const rows = given.map((row) => row.map(inOneLine));
	const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
	rows.forEach((row, i) => {
		say(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  "));
		if (i === 0) say(widths.map((width) => "-".repeat(width)).join("  "));
	});
}
