// Small files of others that keep a parser busy for ever, or make it ask for all memory there is.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { readRecords } from "../lib/data/records.js";
import { checkConfig } from "../lib/evaluation/config.js";
import { cli } from "./child.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

function written(name: string, content: string | Uint8Array): string {
	const path = join(folder, name);
	writeFileSync(path, content);
	return path;
}

describe("a Parquet file", () => {
	const columnData = [
		{ name: "text", data: ["a kind text", "another", "third one"] },
		{ name: "label", data: [0, 1, 1] },
	];
	const sound = Buffer.from(parquetWriteBuffer({ columnData }));

	/** The same file with another footer. */
	function withFooter(edit: (footer: Buffer) => Buffer): Buffer {
		const length = sound.readUInt32LE(sound.length - 8);
		const footer = edit(sound.subarray(sound.length - 8 - length, sound.length - 8));
		const end = Buffer.concat([Buffer.alloc(4), Buffer.from("PAR1")]);
		end.writeUInt32LE(footer.length);
		return Buffer.concat([sound.subarray(0, sound.length - 8 - length), footer, end]);
	}

	/** A number as the footer has it. */
	function varint(value: bigint): Buffer {
		const bytes: number[] = [];
		for (let rest = value * 2n; ; rest >>= 7n) {
			bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
			if (rest <= 0x7fn) return Buffer.from(bytes);
		}
	}

	function claiming(rows: bigint): Buffer {
		const [three, others] = [Buffer.from([0x16, 0x06]), Buffer.concat([Buffer.from([0x16]), varint(rows)])];
		return withFooter((footer) => Buffer.from(footer.toString("hex").replaceAll(three.toString("hex"), others.toString("hex")), "hex"));
	}

	test("a sound Parquet file is read", async () => {
		expect(await readRecords(written("sound.parquet", sound))).toEqual([
			{ text: "a kind text", label: 0 },
			{ text: "another", label: 1 },
			{ text: "third one", label: 1 },
		]);
	});

	test.each([2n ** 22n, 2n ** 40n, 2n ** 62n])("a Parquet file that claims %d rows in a few bytes is refused for it", async (rows) => {
		const read = readRecords(written("rows.parquet", claiming(rows)));
		await expect(read).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringMatching(/\d+ rows/) });
	});

	test.each([
		[
			"whose runs have no end",
			"UEFSMRUGFXAVciEVChUTFQoVABUEFQAAAAMbNjwLAAAAYSBraW5kIHRleHQHAQ+Ebm//aGVyCQAAAHRoaXJkIG9uZQsAAABhIGtpbmQgdGV4dBUEFRAVFEwVBBUAAAAIHAAAAAABAAAAFQYVBhUKXBUKFQAVChUQFQAVAAAAAwgBAxYVBBk8SARyb290FQQAFQwlAhgEdGV4dCUAABUCJQAYBWxhYmVsABYKGRwZLCYIHBUMGRUAGRgEdGV4dBUCFgoWmgEWnAEmCDw2AigJdGhpcmQgb25lGAthIGtpbmQgdGV4dAAZHBUGFQAVAgAAACakARwVAhklABAZGAVsYWJlbBUCFgoWWhZiJtIBJqQBHDYAKAQBAAAAGAQAAAAAABksFQQVABUCABUGFRAVAgAAABb0ARYKNv4BACgJaHlwYXJxdWV0GSwcAAAcAAAAzQAAAFBBUjE=",
		],
		[
			"whose reader fails where nobody waits for it",
			"UEFSMRUGFQIVBlwVBhUAFQYVABUAFQAAAAEABRUEGSxIBHJvb3QVAgAVACUAGAFiABYGGRwZHCYIHBUAGRUAGRgBYhUCFgYWLBYwJgg8NgAoAQEYAQAAGRwVBhUAFQIAAAAWLBYGNjAAKAlo/3Bhcv91ZXQZHP8AAABeAAAAUEFSMQ==",
		],
	])("a Parquet file %s is refused", async (_, base64) => {
		const path = written("run.parquet", Buffer.from(base64, "base64"));
		await expect(readRecords(path)).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining(path) });
	});

	test("a Parquet file with any bytes exchanged is read or refused", async () => {
		const random = randomNumbers(7);
		for (let i = 0; i < 12; i++) {
			const bytes = Buffer.from(sound);
			for (let k = 0; k < 2; k++) bytes[Math.floor(random() * bytes.length)] = random() < 0.4 ? 255 : Math.floor(random() * 256);
			const end = await readRecords(written("any.parquet", bytes)).catch((error) => error);
			expect(Array.isArray(end) || end.code === "INVALID_DATA").toBe(true);
		}
	});
});

describe("a configuration in YAML", () => {
	const bombs: [string, string, RegExp][] = [
		["lists nested 2000 deep", `name: ${"[".repeat(2000)}${"]".repeat(2000)}`, /100 deep/],
		["mappings nested 2000 deep", `name: ${"{a: ".repeat(2000)}1${"}".repeat(2000)}`, /100 deep/],
		["lists that never close", `name: ${"[".repeat(50_000)}`, /100 deep/],
		["items nested 2000 deep on one line", `name:\n  ${"- ".repeat(2000)}x`, /./],
		["names of names of names", "? ".repeat(1000), /./],
		["lists as names", "[1, 2]: x", /name of a setting/],
		["a list that holds itself", "name: &all [*all]", /hold|deep|itself|resolve/],
		["a mapping that holds itself", "name: &all {inner: *all}", /hold|deep|itself|resolve/],
		[
			"aliases of aliases of aliases",
			[
				"a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
				...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}*a${i}]`),
			].join("\n"),
			/alias/i,
		],
		["more than it may hold", `name: [${"1,".repeat(40_000)}1]`, /characters of YAML/],
	];

	test.each(bombs)("a configuration in YAML with %s is refused", async (_, text, message) => {
		const path = written("bomb.yaml", text);
		await expect(checkConfig(path)).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringMatching(message) });
	});

	test("a configuration in YAML with the longest allowed list is read to its end", async () => {
		const path = written("long.yaml", `name: [${"1,".repeat(30_000)}1]`);
		await expect(checkConfig(path)).rejects.toThrow(/name: expected a name/);
	});

	test("the command says once why it refuses a configuration in YAML", async () => {
		const { status, stderr } = await cli(
			"calibrate",
			"--config",
			written("bomb.yaml", bombs[0]?.[1] ?? ""),
			"--out",
			join(folder, "c.json"),
		);
		expect(status).toBe(2);
		expect(stderr.match(/100 deep/g)).toHaveLength(1);
	});
});
