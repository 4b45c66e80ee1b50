/** Prints rows in aligned columns; the first row is the header. */
export function printTable(rows: string[][]): void {
	const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
	rows.forEach((row, i) => {
		console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  "));
		if (i === 0) console.log(widths.map((width) => "-".repeat(width)).join("  "));
	});
}
