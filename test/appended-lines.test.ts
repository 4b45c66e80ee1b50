import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { AppendedLines, finishedLines } from "../lib/data/appended-lines.js";
import { InvalidDataError } from "../lib/errors.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

test("concurrent appends are whole lines in order", async () => {
	const path = join(folder, "many.jsonl");
	const [file] = await AppendedLines.open(path, InvalidDataError, () => {});
	const values = Array.from({ length: 200 }, (_, i) => ({ i, text: "x".repeat((i * 7919) % 100_000) }));
	await Promise.all(values.map((value) => file.append(value)));
	await file.close();
	expect(
		readFileSync(path, "utf8")
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line)),
	).toEqual(values);
});

test("a file of another kind, or one that its reader rejects, stays unchanged", async () => {
	const reject = () => {
		throw new InvalidDataError("not mine");
	};
	const accept = (lines: string[]) => expect(lines).toEqual([]);
	await fc.assert(
		fc.asyncProperty(fc.string({ unit: "grapheme", minLength: 1 }), async (content) => {
			const path = join(folder, "other.txt");
			writeFileSync(path, content);
			for (const read of content.includes("\n") || content.startsWith("{") ? [reject] : [accept, reject]) {
				await expect(AppendedLines.open(path, InvalidDataError, read)).rejects.toMatchObject({ code: "INVALID_DATA" });
				expect(readFileSync(path, "utf8")).toBe(content);
			}
		}),
	);
});

test("lines that are not UTF-8 are named, not decoded to other text", async () => {
	const path = join(folder, "latin.jsonl");
	for (const end of ["\n", ""]) {
		const content = Buffer.from(`{"text":"a"}\n{"text":"ä"}${end}`, "latin1");
		writeFileSync(path, content);
		const attempt = AppendedLines.open(path, InvalidDataError, () => {});
		await expect(attempt).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining("no UTF-8 in line 2") });
		expect(readFileSync(path).equals(content)).toBe(true);
	}
	const half = Buffer.from('{"text":"a"}\n{"text":"ä').subarray(0, -1);
	writeFileSync(path, half);
	const [file] = await AppendedLines.open(path, InvalidDataError, (lines) => expect(lines).toEqual(['{"text":"a"}']));
	await file.close();
});

test.skipIf(process.platform === "win32")("a failed write leaves whole lines, and shorter lines still fit", () => {
	const path = join(folder, "full.jsonl");
	const code = `
		import { AppendedLines } from ${JSON.stringify(new URL("../dist/data/appended-lines.js", import.meta.url).href)};
		const [file] = await AppendedLines.open(${JSON.stringify(path)}, Error, () => {});
		await file.append("first");
		console.log(await file.append("x".repeat(1e6)).catch(({ code }) => code));
		await file.append("last");
		await file.close();`;
	const command = 'ulimit -f 64; exec "$0" --input-type=module -e "$1"';
	expect(execFileSync("bash", ["-c", command, process.execPath, code], { encoding: "utf8" })).toBe("WRITE_FAILED\n");
	expect(finishedLines(readFileSync(path))).toEqual({ lines: ['"first"', '"last"'], bytes: readFileSync(path).length });
});
