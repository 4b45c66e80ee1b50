import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseJson } from "../lib/convert/safetensors.js";
import { decodeText } from "../lib/data/text-file.js";
import { checkConfig } from "../lib/evaluation/config.js";
import { readJournal } from "../lib/evaluation/journal.js";
import { readCertificate } from "../lib/guard/certificate.js";
import { readManifest } from "../lib/training/rollout-files.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const utf16 = (text: string) => Buffer.from(text, "utf16le");

test("any text survives in UTF-8, and in UTF-16 with a byte order mark", () => {
	const anyText = fc.string({ unit: "binary" }).map((text) => text.replaceAll("\0", ""));
	fc.assert(
		fc.property(anyText, (text) => {
			const marked = `\ufeff${text}`;
			for (const bytes of [Buffer.from(marked), utf16(marked), utf16(marked).swap16()]) expect(decodeText(bytes)).toBe(text);
		}),
	);
});

test("bytes that are no UTF-8 are refused, and all of their lines named", () => {
	fc.assert(
		fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 10 }), fc.constantFrom("\n", "\r\n", "\r"), (broken, end) => {
			const bytes = Buffer.from(broken.map((is) => (is ? "caf\xe9" : "cafe")).join(end), "latin1");
			const lines = broken.flatMap((is, i) => (is ? [i + 1] : []));
			if (lines.length === 0) expect(decodeText(bytes)).toBe(bytes.toString());
			else expect(() => decodeText(bytes)).toThrow(new RegExp(`no UTF-8 in lines? ${lines.join(", ")};`));
		}),
	);
	expect(() => decodeText(Buffer.from("\xff\n".repeat(30), "latin1"))).toThrow("lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more");
});

describe("whoever reads a file of text refuses what is none", () => {
	const readers: [string, (path: string) => unknown, string][] = [
		["config.yaml", checkConfig, "INVALID_OPTION"],
		["config.json", checkConfig, "INVALID_OPTION"],
		["certificate.json", async (path) => readCertificate(path), "INVALID_CERTIFICATE"],
		["tokenizer.json", async (path) => parseJson(path), "INVALID_MODEL"],
		["journal.jsonl", readJournal, "INVALID_JOURNAL"],
		["manifest.json", (path) => readManifest(join(path, "..")), "INVALID_ROLLOUTS"],
	];

	test.each(readers)("the reader of %s refuses bytes that are no text", async (name, read, code) => {
		const path = join(folder, name);
		const others: [string | Uint8Array, RegExp][] = [
			[Buffer.from('{"name":"é"}\n', "latin1"), /no UTF-8 in line 1/],
			[Buffer.from([0x1f, 0x8b, 0x08, 0x0a]), /gzip|no UTF-8/],
		];
		for (const [content, message] of others) {
			writeFileSync(path, content);
			await expect(read(path)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
		}
	});

	test.skipIf(process.platform === "win32").each(readers)("the reader of %s refuses a pipe", async (name, read, code) => {
		const place = join(folder, `pipe-${name}`);
		mkdirSync(place);
		execFileSync("mkfifo", [join(place, name)]);
		const attempt = read(join(place, name));
		await expect(attempt).rejects.toMatchObject({ code, message: expect.stringContaining("a device, pipe or socket") });
	});
});

describe("a configuration", () => {
	const lines = ["name: small", "guard: { model: a.gguf, cost: harm }", "data: { file: é.txt }", "methods: [{ name: é }]", ""];
	const read = (content: string | Uint8Array) => {
		const path = join(folder, "read.yaml");
		writeFileSync(path, content);
		return checkConfig(path);
	};

	test("a configuration may be UTF-16 with a byte order mark, and have any line ends", async () => {
		const expected = await read(lines.join("\n"));
		expect(expected.methods[0]?.name).toBe("é");
		for (const end of ["\n", "\r\n", "\r"]) {
			const content = `\ufeff${lines.join(end)}`;
			for (const bytes of [content, utf16(content), utf16(content).swap16()]) expect(await read(bytes)).toEqual(expected);
		}
	});

	test("a configuration with control characters is refused", async () => {
		await expect(read(lines.join("\n").replace("harm", "ha\x07rm"))).rejects.toMatchObject({
			code: "INVALID_OPTION",
			message: expect.stringContaining("control characters in line 2; remove them"),
		});
	});
});
