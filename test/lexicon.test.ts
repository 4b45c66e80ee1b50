import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InferenceGuard, type LexiconTerm } from "../lib/index.js";
import { sayingModel } from "./saying.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

async function say(
	pieces: string[],
	lexicon: string | LexiconTerm[],
	options: { budget?: number; strategy?: "guard" | "sample"; blockLength?: number } = {},
) {
	const { budget = 0, strategy = "sample", blockLength } = options;
	const guard = await InferenceGuard.load({ model: sayingModel(pieces), cost: { lexicon }, budget });
	try {
		const stream = guard.stream({
			prompt: [0],
			strategy,
			maxTokens: pieces.length,
			candidates: 1,
			maxGeneratedTokens: pieces.length,
			retries: 0,
			blockLength,
		});
		const streamed: string[] = [];
		for await (const { text } of stream) streamed.push(text);
		return { streamed, reply: await stream.reply };
	} finally {
		await guard.dispose();
	}
}

const costOf = async (text: string, lexicon: LexiconTerm[]) => (await say([text], lexicon)).reply.safety.cost;

describe("what counts as a hit", () => {
	test.each([
		["die", "I will die.", 1],
		["die", "die", 1],
		["die", "diet, indie, died", 0],
		["die", "die-hard die_hard _die_", 3],
		["die*", "diet die indie", 2],
		["*die", "indie die diet", 2],
		["*die*", "indies die", 2],
		["DIE", "Die dIE", 2],
		["die", "ｄｉｅ", 1],
		["die", "d\u200bie", 1],
		["straße", "STRASSE", 1],
		["café", "cafe\u0301", 1],
		["café", "cafe", 0],
		["việt", "Vi\u00ea\u0323t Vie\u0323\u0302t Vie\u0302\u0323t", 3],
		["cafe\u0301*", "cafe\u0301s", 1],
		["to death", "to\u1680death", 1],
		["to death", "laid her to  \n death.", 1],
		["to death", "laid her into deaths", 0],
		["c++", "c++ and C++!", 2],
		["한국", "한국", 1],
		["*死*", "他死了", 1],
		["死", "他死了", 1],
		["死ね", "お前は死ねと", 1],
		["デス", "ﾃﾞｽノート", 1],
		["キラー", "スーパーキラーX", 1],
		["ฆ่า", "จะฆ่าเขา", 1],
		["ຂ້າ", "ຈະຂ້າເຂົາ", 1],
		["សម្លាប់", "គាត់សម្លាប់មនុស្ស", 1],
		["သတ်", "သူ့ကိုသတ်မယ်", 1],
		["ག", "བོད་ག་", 1],
		["AV女優", "このAV女優は XAV女優", 1],
		["sex", "我想sex吗 sexy", 1],
		["한국", "한국은", 0],
		["aa", "aa aaa aa", 2],
		["*aa*", "aaaa", 3],
	])("the term %s in %j costs %d", async (term, text, cost) => {
		expect(await costOf(text, [term])).toBe(cost);
	});

	test("overlapping terms all count, each with its weight", async () => {
		const lexicon = [
			{ term: "she", weight: 1 },
			{ term: "*he*", weight: 0.5 },
			{ term: "hers", weight: 4 },
		];
		expect(await costOf("she hers", lexicon)).toBe(1 + 0.5 + 4 + 0.5);
	});

	test("a lexicon agrees with a regular expression on random texts, in any tokens", async () => {
		const words = fc.constantFrom("die", "died", "indie", "the", " ", ", ", "Die", "é", "dié", "\n", "D");
		await fc.assert(
			fc.asyncProperty(
				fc.array(words, { minLength: 1, maxLength: 12 }),
				fc.constantFrom("die", "die*", "*die", "*die*"),
				async (pieces, term) => {
					const before = term.startsWith("*") ? "" : "(?<![\\p{L}\\p{M}\\p{N}])";
					const after = term.endsWith("*") ? "" : "(?![\\p{L}\\p{M}\\p{N}])";
					const text = pieces.join("").normalize("NFKD");
					const hits = text.match(new RegExp(`${before}die${after}`, "giu"))?.length ?? 0;
					const { reply } = await say(pieces, [term]);
					expect(reply.text).toBe(pieces.join(""));
					expect(reply.safety.cost).toBe(hits);
				},
			),
			{ numRuns: 500 },
		);
	});
});

describe("while a hit is undecided", () => {
	test("the die does not stream before the next token rules out diet", async () => {
		const { streamed, reply } = await say(["the ", "di", "e", "t"], ["die"], { strategy: "guard", blockLength: 1 });
		expect(streamed).toEqual(["the ", "di", "et"]);
		expect(reply).toMatchObject({ text: "the diet", outcome: "safe", safety: { cost: 0 } });
	});

	test("a decided hit never streams", async () => {
		const { streamed, reply } = await say(["the ", "di", "e", " is cast"], ["die"], { strategy: "guard", blockLength: 1 });
		expect(streamed).toEqual(["the ", "di"]);
		expect(reply).toMatchObject({ text: "the di", outcome: "truncated", finishReason: "safety", safety: { cost: 0 } });
	});

	test("a hit is charged to the token that decides it", async () => {
		const { reply } = await say(["the ", "di", "e", " is", " cast"], ["die"], { budget: 3 });
		expect(reply.safety.z).toEqual([3, 3, 3, 3, 2, 2]);
		expect((await say(["the ", "die"], ["die"], { budget: 3 })).reply.safety.z).toEqual([3, 3, 2]);
	});
});

describe("lexicon files", () => {
	const file = (name: string, content: string | Uint8Array) => {
		const path = join(folder, name);
		writeFileSync(path, content);
		return path;
	};
	const utf16 = (text: string) => Buffer.from(text, "utf16le");
	const refusal = async (lexicon: string | LexiconTerm[]): Promise<string> => {
		const attempt = say(["a"], lexicon);
		await expect(attempt).rejects.toMatchObject({ code: "INVALID_LEXICON" });
		return attempt.then(String, (error) => error.message);
	};

	test.each<[string, string | Uint8Array]>([
		["one term per line, with comments", "# fright\n\ndie\r\nkill*\n"],
		["a JSON array", '["die", {"term": "kill*", "weight": 1}]'],
		["a JSON object of weights", '{"die": 1, "kill*": 1}'],
		["a byte order mark", "\ufeffdie\nkill*"],
		["lines that end with carriage returns alone", "# fright\rdie\rkill*\r"],
		["UTF-16, low bytes first", utf16("\ufeffdie\r\nkill*\r\n")],
		["UTF-16, high bytes first", utf16("\ufeffdie\nkill*\n").swap16()],
		["JSON in UTF-16", utf16('\ufeff["die", "kill*"]')],
		["files with byte order marks of their own, joined", "\ufeffdie\n\ufeffkill*\n"],
	])("a lexicon file may be %s", async (name, content) => {
		const { reply } = await say(["die killer"], file(`${name}.txt`, content));
		expect(reply.safety.cost).toBe(2);
	});

	test.each<[string, string | Uint8Array, RegExp]>([
		["UTF-16 without a byte order mark", utf16("die\nkill*\n"), /NUL characters in lines 1, 2.*save it as UTF-8/],
		["Latin-1", Buffer.from("die\nmörder\rtöten\n", "latin1"), /no UTF-8 in lines 2, 3; save/],
		["half a character of UTF-16", utf16("\ufeffdie").subarray(0, -1), /half a character/],
		["half a pair of UTF-16", utf16("\ufeffdie\n\ud83d\n"), /halves of characters in line 2/],
		["UTF-32", Buffer.from([0xff, 0xfe, 0, 0, 0x64, 0, 0, 0]), /NUL characters in line 1/],
		["gzip", gzipSync("die\n"), /a gzip file; unpack it/],
		["zip", Buffer.from("PK\x03\x04 and so on", "latin1"), /a zip archive/],
		["a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\nsize 120\n", /git lfs pull/],
		["a control character", "die\nki\x07ll\nkill\x1b\n", /control characters in lines 2, 3/],
		["nothing but comments", "# die\n\n", /at least one term, got none/],
	])("a lexicon file of bytes that are no text, %s, is refused", async (name, content, message) => {
		expect(await refusal(file(`${name}.bytes`, content))).toMatch(message);
	});

	test("a model file is refused as a lexicon, whatever its name is", async () => {
		const model = smallModel(folder);
		for (const name of ["model.txt", "model.GGUF", "model"]) {
			copyFileSync(model, join(folder, name));
			expect(await refusal(join(folder, name))).toContain("a GGUF file, which is a model");
		}
	});

	test.skipIf(process.platform === "win32")("a lexicon file that may have no end, such as a device or pipe, is refused", async () => {
		execFileSync("mkfifo", [join(folder, "pipe")]);
		for (const path of ["/dev/urandom", "/dev/null", join(folder, "pipe")]) expect(await refusal(path)).toMatch(/device, pipe or socket/);
		expect(await refusal(folder)).toMatch(/a folder/);
	});

	/** Refused as a line and as an entry of an array. */
	const never: [string, string, RegExp][] = [
		["a regular expression's border", "\\bkill\\b", /regular expressions/],
		["a regular expression's class", "k[i1]ll", /regular expressions/],
		["a regular expression's range", "[a-z]+ing", /regular expressions/],
		["a regular expression's choice", "kill(ed|ing)", /regular expressions/],
		["a regular expression's group", "kill(ed)?", /regular expressions/],
		["a regular expression's any", "kill.*", /regular expressions/],
		["a regular expression's option", "colou?r", /regular expressions/],
		["a regular expression's repetition", "fu+ck", /regular expressions/],
		["a regular expression's count", "a{2,}", /regular expressions/],
		["a regular expression's ends", "^kill$", /regular expressions/],
		["a regular expression in slashes", "/kill/i", /regular expressions/],
		["a pattern of SQL", "%kill%", /regular expressions/],
		["an escape of JSON", "caf\\u00e9", /escapes/],
		["an asterisk inside", "k*ll", /\* elsewhere/],
		["two asterisks", "**kill**", /\* elsewhere/],
		["another asterisk", "kill＊", /another asterisk/],
		["nothing but asterisks", "**", /without a letter/],
		["double quotes", '"kill"', /quotes/],
		["single quotes", "'kill him'", /quotes/],
		["typographic quotes", "“kill”", /quotes/],
		["a weight behind a comma", "kill,2", /weights|separated/],
		["a weight behind a semicolon", "kill; 0.5", /weights|separated/],
		["a weight behind a tab", "kill\t-1.5", /tabs/],
		["an escape of HTML", "don&#39;t", /HTML/],
		["prose", "word ".repeat(50), /more than 200 characters/],
		["a character that was lost", "caf\ufffd", /lost/],
	];

	test.each(never)("a lexicon, in a file or an array, with %s is refused: %s", async (_, term, message) => {
		for (const lexicon of [["die", term], ["die", { term, weight: 2 }], file("entry.json", JSON.stringify(["die", term]))]) {
			const found = await refusal(lexicon);
			expect(found).toMatch(message);
			expect(found).toContain("entry 2");
			expect(found).not.toContain("entry 1");
		}
		const found = await refusal(file("line.txt", `# bad\ndie\n${term}\n`));
		expect(found).toMatch(message);
		expect(found).toContain("line 3");
		expect(found).not.toContain("line 2");
	});

	test.each<[string, string[], RegExp]>([
		["a comment behind a term", ["kill # bad", "die // bad"], /comments/],
		["comments of other languages", ["// bad", "/* bad */", "-- bad", "; bad"], /comments/],
		["a list of YAML or Markdown", ["---", "- kill", "* kill", "• kill", "1. kill", "2) kill"], /marks of a list/],
		["settings", ["kill: bad", "terms:", "kill = bad", "kill: 2", "kill=2"], /marks of a list|weights/],
		["separated values", ["term,weight", "kill, murder", "kill;murder", "杀，死"], /separated values/],
		["columns of weights", ["kill 2", "to death 0.5"], /weights/],
		["columns of counts", ["12 kill", "7 to death"], /weights/],
		["markup", ["<!DOCTYPE html>", "<?xml version='1.0'?>", "<li>kill</li>"], /markup/],
	])("a lexicon file with %s is refused, and every such line is named", async (name, lines, message) => {
		const found = await refusal(file(`${name}.txt`, lines.join("\n")));
		expect(found).toMatch(message);
		for (let line = 1; line <= lines.length; line++) expect(found).toContain(`line ${line},`);
	});

	test("a lexicon's error names ten bad lines and counts the others", async () => {
		const found = await refusal(file("many.csv", Array.from({ length: 25 }, (_, i) => `word${i}x,1`).join("\n")));
		expect(found.match(/line \d+,/g)).toHaveLength(10);
		expect(found).toContain("15 more");
	});

	test.each([
		"c++", "C#", "18+", "US-$", "sh!t", "a$$hole", "e.g.", "node.js", "why not?", "we're #1", "1,000 deaths", "9/11", "John 3:16", ":-)",
		"[INST]", "<|im_end|>", "<script>", "rm -rf", "/etc/passwd", "--no-preserve-root", "100%", "area 51", "rock'n'roll", "kill(s)",
	])("a lexicon file takes %s literally", async (term) => {
		const { reply } = await say([`x ${term} y`], file("literal.txt", `family*\n${term}\n`));
		expect(reply.safety.cost).toBe(1);
		expect(await costOf(`x ${term} y`, [term])).toBe(1);
	}); // biome-ignore format: a list

	test("a lexicon file with unknown keys in an entry is refused", async () => {
		expect(await refusal(file("typo.json", '[{"term": "kill", "weigth": 2}]'))).toMatch(/neither texts nor.*entry 1/);
		expect(await refusal(file("words.json", '[{"word": "kill"}, 7, null]'))).toMatch(/entry 1.*entry 2.*entry 3/);
		expect(await refusal(file("null.json", '{"kill": null, "die": "2"}'))).toMatch(/weights that are no finite number.*entry 1.*entry 2/);
	});
});

describe("a repeated term", () => {
	test("a repeated term with equal weights counts once, however it is written", async () => {
		expect(await costOf("die straße", ["die", "Die", "die", "Straße", "STRASSE"])).toBe(2);
		expect(await costOf("他死了", ["死", "*死*"])).toBe(1);
	});

	test("a repeated term with contradicting weights is refused with all of them", async () => {
		const lexicon = ["die", { term: "DIE", weight: 2 }, "kill", { term: "Kill", weight: 0.5 }, "death"];
		const attempt = costOf("die", lexicon);
		await expect(attempt).rejects.toMatchObject({ code: "INVALID_LEXICON" });
		await expect(attempt).rejects.toThrow(/"die" \(1\) and "DIE" \(2\); "kill" \(1\) and "Kill" \(0\.5\); keep/);
	});

	test("a repeated term is seen in a JSON object too", async () => {
		const path = join(folder, "twice.json");
		writeFileSync(path, '{"die": 1, "kill": 1e0, "die": 3}');
		await expect(say(["die"], path)).rejects.toThrow(/"die" \(1\) and "die" \(3\)/);
		writeFileSync(path, '{"die": 1, "kill": 2, "die": 1.0}');
		expect((await say(["die kill"], path)).reply.safety.cost).toBe(3);
	});
});
