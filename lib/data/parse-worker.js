// @ts-check
// The thread that parse-apart.ts starts. JavaScript, since a thread needs a file that Node can run directly.
import { isUtf8 } from "node:buffer";
import { parentPort, workerData } from "node:worker_threads";

/** @typedef {{ kind: "parquet", path: string } | { kind: "yaml", text: string }} Task */

/** A column may compress to almost nothing, but a small file that claims more rows than this is damaged. @param {number} bytes */
const mostRows = (bytes) => 1_000_000 + 1000 * bytes;

/** @param {string} path */
async function parquetRows(path) {
	const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
	const file = await asyncBufferFromFile(path);
	const metadata = await parquetMetadataAsync(file);
	const rows = metadata.row_groups.reduce((sum, group) => sum + group.num_rows, 0n);
	if (rows !== metadata.num_rows || metadata.row_groups.some((group) => group.num_rows < 0n)) {
		throw new Error(`${metadata.num_rows} rows, but ${rows} in its groups`);
	}
	if (rows > mostRows(file.byteLength)) throw new Error(`${rows} rows in ${file.byteLength} bytes`);
	return parquetReadObjects({
		file,
		metadata,
		parsers: { stringFromBytes: (bytes) => (bytes && isUtf8(bytes) ? Buffer.from(bytes).toString("utf8") : bytes) },
	});
}

const deepestBrackets = 100;
const mostAliases = 100;

/** @param {string} text */
async function yamlValue(text) {
	const { CST, isCollection, Lexer, parseDocument, visit } = await import("yaml");
	let depth = 0;
	for (const token of new Lexer().lex(text)) {
		const type = CST.tokenType(token);
		if (type === "flow-map-start" || type === "flow-seq-start") depth++;
		if (type === "flow-map-end" || type === "flow-seq-end") depth--;
		if (depth > deepestBrackets) throw new Error(`brackets within one another more than ${deepestBrackets} deep; flatten them`);
	}
	const document = parseDocument(text, { logLevel: "silent" });
	const [error] = document.errors;
	if (error) throw error;
	visit(document, {
		Pair(_, { key }) {
			if (isCollection(key)) throw new Error("a list or a mapping as the name of a setting; names are texts");
		},
	});
	return document.toJS({ maxAliasCount: mostAliases });
}

/** @type {Task} */
const task = workerData;
try {
	parentPort?.postMessage({ value: await (task.kind === "parquet" ? parquetRows(task.path) : yamlValue(task.text)) });
} catch (error) {
	parentPort?.postMessage({ problem: error instanceof Error ? error.message : String(error) });
}
