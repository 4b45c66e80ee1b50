import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InferenceGuard, type LexiconTerm } from "../lib/index.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

/** A tabular model that says exactly the given pieces, one token each. */
function saying(pieces: string[]) {
	const table = ["", ...pieces];
	const logits = table.map((_, last) => table.map((_, next) => (next === Math.min(last + 1, pieces.length) ? 0 : -1e4)));
	return { pieces: table, logits };
}

async function say(
	pieces: string[],
	lexicon: string | LexiconTerm[],
	options: { budget?: number; strategy?: "guard" | "sample"; blockLength?: number } = {},
) {
	const { budget = 0, strategy = "sample", blockLength } = options;
	const guard = await InferenceGuard.load({ model: saying(pieces), cost: { lexicon }, budget });
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
		["aa", "aa aaa aa", 2],
		["*aa*", "aaaa", 3],
	])("%s in %j costs %d", async (term, text, cost) => {
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

	test("agrees with a regular expression on random texts, however they are cut into tokens", async () => {
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
	test("the die may not stream before it shows that it is not a diet", async () => {
		const { streamed, reply } = await say(["the ", "di", "e", "t"], ["die"], { strategy: "guard", blockLength: 1 });
		expect(streamed).toEqual(["the ", "di", "et"]);
		expect(reply).toMatchObject({ text: "the diet", outcome: "safe", safety: { cost: 0 } });
	});

	test("a hit that is decided never streams", async () => {
		const { streamed, reply } = await say(["the ", "di", "e", " is cast"], ["die"], { strategy: "guard", blockLength: 1 });
		expect(streamed).toEqual(["the ", "di"]);
		expect(reply).toMatchObject({ text: "the di", outcome: "truncated", finishReason: "safety", safety: { cost: 0 } });
	});

	test("the cost is charged to the token with which the hit is decided", async () => {
		const { reply } = await say(["the ", "di", "e", " is", " cast"], ["die"], { budget: 3 });
		expect(reply.safety.z).toEqual([3, 3, 3, 3, 2, 2]);
		expect((await say(["the ", "die"], ["die"], { budget: 3 })).reply.safety.z).toEqual([3, 3, 2]);
	});
});

describe("lexicon files", () => {
	const file = (name: string, content: string) => {
		const path = join(folder, name);
		writeFileSync(path, content);
		return path;
	};

	test.each([
		["one term per line, with comments", "# fright\n\ndie\r\nkill*\n"],
		["a JSON array", '["die", {"term": "kill*", "weight": 1}]'],
		["a JSON object of weights", '{"die": 1, "kill*": 1}'],
		["a byte order mark", "\ufeffdie\nkill*"],
	])("%s", async (name, content) => {
		const { reply } = await say(["die killer"], file(`${name}.txt`, content));
		expect(reply.safety.cost).toBe(2);
	});
});
