import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { InferenceGuard, type LexiconMatch, type LexiconTerm } from "../lib/index.js";
import committed from "../scripts/lookalikes.json" with { type: "json" };
import { lookalikes as confusable } from "../scripts/lookalikes.mjs";
import { sayingModel } from "./saying.js";

/** What texts cost, as finished responses to a prompt. */
async function costsOf(terms: LexiconTerm[], texts: string[], match?: LexiconMatch, prompt?: string): Promise<number[]> {
	await using scorer = await CostScorer.load({ constraints: [{ cost: { lexicon: terms, match } }] });
	const scores = await scorer.score(prompt ?? "", texts, { isRaw: prompt !== undefined });
	return scores.map(([scored]) => scored!.cost);
}

/** Every text has the term once. */
async function expectHits(term: string, texts: string[], match?: LexiconMatch): Promise<void> {
	const costs = await costsOf([term], texts, match);
	expect(texts.filter((_, i) => costs[i] !== 1)).toEqual([]);
}

async function expectNoHits(term: string, texts: string[], match?: LexiconMatch): Promise<void> {
	const costs = await costsOf([term], texts, match);
	expect(texts.filter((_, i) => costs[i] !== 0)).toEqual([]);
}

/** What a response of these tokens behind a raw prompt's text costs. */
async function costOfTokens(
	pieces: string[],
	terms: LexiconTerm[],
	{ match, prompt = "" }: { match?: LexiconMatch; prompt?: string } = {},
) {
	await using guard = await InferenceGuard.load({ model: sayingModel(pieces, prompt), cost: { lexicon: terms, match }, budget: 0 });
	const reply = await guard.generate({ prompt: [0], strategy: "sample", maxTokens: pieces.length });
	expect(reply.text).toBe(pieces.join(""));
	return reply.safety.cost;
}

function charactersThatAre(pattern: RegExp): string[] {
	const found: string[] = [];
	for (let code = 0; code <= 0x10ffff; code++) {
		if (code >= 0xd800 && code <= 0xdfff) continue;
		const character = String.fromCodePoint(code);
		if (pattern.test(character)) found.push(character);
	}
	return found;
}

describe("a term is not hidden by", () => {
	test("a term is found despite the dots of an i, in the case rules of any language", async () => {
		const words = ["kill", "Iskil", "SIKI", "jail"];
		for (const word of words) {
			const locales = ["tr", "az", "lt", "en"];
			const cased = locales.flatMap((locale) => [word.toLocaleUpperCase(locale), word.toLocaleLowerCase(locale)]);
			const again = cased.flatMap((one) => locales.flatMap((locale) => [one.toLocaleUpperCase(locale), one.toLocaleLowerCase(locale)]));
			for (const term of new Set([...cased, ...again])) await expectHits(term, again);
		}
		await expectHits("kill", ["kıll", "KİLL", "ki\u0307ll", "K\u0130LL", "kI\u0307ll"]);
		await expectHits("jail", ["\u0237ail", "j\u0307ail"]);
	});

	test("a term is found in capitals, which Greek writes without accents", async () => {
		for (const word of ["σκοτώνω", "άυπνος", "μαΐου", "φόνος", "πῦρ", "ΐα", "θάνατος", "τέλος"]) {
			const forms = [
				word,
				word.toLocaleUpperCase("el"),
				word.toUpperCase(),
				word.toLocaleUpperCase("el").toLowerCase(),
				word.normalize("NFD"),
			];
			for (const term of forms) await expectHits(term, forms);
		}
	});

	test("a term is found despite marks that ordinary spelling leaves out", async () => {
		await expectHits("мёртвый", ["мертвый", "МЁРТВЫЙ", "мертвы\u0439", "мё\u0301ртвый"]);
		await expectHits("убить", ["уби\u0301ть", "УБИТЬ"]);
		await expectNoHits("мой", ["мои"]);
	});

	test("a term is found with another dash", async () => {
		const dashes = [...charactersThatAre(/\p{Dash}/u), "\u02d7", "\u2043", "\u2796"];
		await expectHits("die-hard", dashes.map((dash) => `a die${dash}hard fan`));
		for (const dash of ["\u2010", "\u2011", "\u2013", "\u2212", "\uff0d"]) await expectHits(`die${dash}hard`, ["die-hard", "die\u2014hard"]);
	}); // biome-ignore format: a list

	test("a term is found with another apostrophe or quotation mark", async () => {
		const marks = [..."'`´‘’‚‛′‵＇ʹʻʼʽˈˊˋ՚׳ꞌ"];
		await expectHits("rock'n'roll", marks.map((mark) => `rock${mark}n${mark}roll`));
		await expectHits("die", marks.map((mark) => `it ${mark}dies die${mark}s`));
		await expectHits("rock’n’roll", ["rock'n'roll"]);
		await expectHits('the "end" of', [..."“”„‟″״«»"].map((mark) => `the ${mark}end${mark} of`));
	}); // biome-ignore format: lists

	test("a term is found despite any invisible character", async () => {
		const invisible = charactersThatAre(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}](?<![\t-\r\x85])/u);
		const others = ["\u2800", "\ufffc", "\ufffd", "\u{1d159}", "\u3164", "\uffa0", "\u115f", "\u1160"];
		const inside = [...invisible, ...others].map((character) => `ki${character}ll`);
		expect(inside.length).toBeGreaterThan(4000);
		await expectHits("kill", inside);
		await expectHits("to death", invisible.filter((_, i) => i % 50 === 0).map((character) => `t${character}o dea${character}th`));
	}); // biome-ignore format: lists

	test("a term is found despite a character that shows as nothing or as a space", async () => {
		for (const gap of ["\u2800", "\u3164", "\uffa0", "\0", "\x07", "\x1f", "\x7f", "\x9d", "\ufffd"]) {
			await expectHits("to death", [`laid${gap}her${gap}to${gap}death`]);
			await expectHits("die", [`then${gap}die${gap}now`, `d${gap}ie`]);
		}
	});

	test("a term is found despite overlays, enclosing marks and the like", async () => {
		const overlays = charactersThatAre(/[\u0334-\u0338\u20d2\u20d3\u20d8-\u20da\u20e5\u20e6\u20ea\u20eb]|\p{Me}/u);
		const lines = ["\u0305", "\u0332", "\u0333", "\u033f", "\u035f", "\u0360", "\u1ab0", "\u1dc4", "\u20d0", "\ufe26"];
		await expectHits("kill", [...overlays, ...lines].map((mark) => [..."kill"].map((letter) => letter + mark).join("")));
		await expectHits("kill", ["k\u0336\u0332\u20dd\u0489i\u0334\u0305\u0333\u20e0\u0338\u0337\u0336\u0335ll"]);
	}); // biome-ignore format: a list

	test("a term is found despite vowel marks of Arabic, Hebrew and Syriac", async () => {
		const marks = charactersThatAre(/(?=\p{Mn})[\p{scx=Arabic}\p{scx=Hebrew}\p{scx=Syriac}]/u);
		expect(marks.length).toBeGreaterThan(150);
		await expectHits("قتل", marks.map((mark) => `ق${mark}تل${mark}`));
		await expectHits("הרג", marks.map((mark) => `ה${mark}ר${mark}ג`));
		await expectHits("قتل", ["قـــتـــل", "قَتَلَ", "ﻗﺘﻞ", "ق\ufe76تل", "ق\u200cتل"]);
		await expectHits("قَتَلَ", ["قتل"]);
		await expectHits("לִרְצֹחַ", ["לרצח"]);
	}); // biome-ignore format: lists

	test("a term is found in letters that Arabic and Persian encode differently", async () => {
		const forms = ["كيلي", "کیلی", "كىلى", "ڪيلي", "کيلی"];
		for (const term of forms) await expectHits(term, forms);
		for (const [term, text] of ["أسد اسد", "إرهاب ارهاب", "آدم ادم", "جثة جثه", "همه ہمہ"].map((pair) => pair.split(" "))) {
			await expectHits(term!, [text!]);
			await expectHits(text!, [term!]);
		}
	});

	test("a term is found in digits of other scripts", async () => {
		const digits = charactersThatAre(/\p{Nd}/u);
		const ones = digits.filter((_, i) => i % 10 === 1);
		await expectHits("9/11", ["٩/١١", "۹/۱۱", "９∕１１"]);
		await expectHits("area 11", ones.map((one) => `area ${one}${one}`));
	}); // biome-ignore format: a list

	test("a term is found in styled letters", async () => {
		await expectHits("kill", ["𝐤𝐢𝐥𝐥", "𝓴𝓲𝓵𝓵", "ⓚⓘⓛⓛ", "🅚🅘🅛🅛", "🄺🄸🄻🄻", "🅺🅸🅻🅻", "🇰🇮🇱🇱", "ᴋɪʟʟ", "ᵏⁱˡˡ", "ｋｉｌｌ"]);
		await expectHits("デス", ["ﾃﾞｽ", "テ\u3099ス", "テ゛ス"]);
	});

	test("a term is found across the border of tokens, wherever it is", async () => {
		const parts = fc.constantFrom(
			..."kill",
			..."KİLLıi",
			"\u0307",
			"\u0336",
			"\u200b",
			"\x01",
			"\u3164",
			" ",
			"-",
			"‐",
			"é",
			"\u0301",
			"σ",
			"ώ",
			"Ω",
			"ق",
			"\u064e",
		);
		const terms: LexiconTerm[] = ["kill", { term: "*il*", weight: 2 }, { term: "ki*", weight: 4 }, { term: "k-i", weight: 8 }, { term: "σω", weight: 16 }, { term: "é", weight: 32 }]; // biome-ignore format: a list
		await using strict = await CostScorer.load({ constraints: [{ cost: { lexicon: terms } }] });
		await using loose = await CostScorer.load({ constraints: [{ cost: { lexicon: terms, match: "loose" } }] });
		await fc.assert(
			fc.asyncProperty(fc.array(parts, { minLength: 1, maxLength: 10 }), fc.boolean(), async (pieces, isLoose) => {
				const whole = await (isLoose ? loose : strict).score("", [pieces.join("")]);
				expect(await costOfTokens(pieces, terms, { match: isLoose ? "loose" : "strict" })).toBe(whole[0]![0]!.cost);
			}),
			{ numRuns: 300 },
		);
	});
});

describe("what is another word stays one", () => {
	test.each([
		["cafe", ["café", "cafe\u0301"]],
		["résumé", ["resume"]],
		["die", ["diet", "indie", "di e", "d-ie"]],
		["ой", ["ои"]],
		["ガ", ["カ"]],
		["한", ["하"]],
		["kill", ["k1ll", "kіll", "k i l l", "k.i.l.l", "k<b>ill</b>", "k&#105;ll", "ki**ll**", "kíll", "ki[b]ll[/b]"]],
	])("%s is not found in the other words %j", async (term, texts) => {
		await expectNoHits(term, texts);
	});
});

describe("terms that are spelled the same", () => {
	test("terms that are spelled the same count once, or contradict one another", async () => {
		const same = ["kill", "KİLL", "kıll", "k\u0336ill", "ki\u200bll"];
		expect(await costsOf(same, ["kill"])).toEqual([1]);
		await expect(costsOf(["كيل", { term: "کیل", weight: 2 }], ["x"])).rejects.toThrow(/"كيل" \(1\) and "کیل" \(2\)/);
	});

	test("terms without a visible character are refused", async () => {
		await expect(costsOf(["kill", "\u064e\u200b", "\u20dd"], ["x"])).rejects.toMatchObject({ code: "INVALID_LEXICON" });
	});
});

describe("a loose lexicon", () => {
	const loosely = (term: string, texts: string[]) => expectHits(term, texts, "loose");

	test("a loose lexicon finds everything that a strict one finds, and as often", async () => {
		const terms: LexiconTerm[] = ["kill", "to death", "c++", "νεκρός", "死", "9/11", "*cid*"];
		const texts = [
			"KİLL him",
			"to  death",
			"c++ C++",
			"ΝΕΚΡΟΣ",
			"他死了",
			"٩/١١",
			"suicidal",
			"kill! <kill> &kill; [kill] *kill* kill, kill",
		];
		const [strict, loose] = [await costsOf(terms, texts), await costsOf(terms, texts, "loose")];
		for (const [i, cost] of strict.entries()) expect(loose[i], texts[i]).toBe(cost);
	});

	test.each([
		["digits and signs for letters", "kill", ["k1ll", "K!LL", "k!11", "ki||", "ki1l", "k£ll"]],
		["digits and signs for letters, at either end", "asshole", ["@sshole", "a$$h0le", "4ssh0l3", "A55hole"]],
		["letters of other scripts", "kill", ["kіll", "ΚΙLL", "кill", "ki\u04cfl", "ƙill", "Kɩll"]],
		["letters of other scripts", "peace", ["реасе", "РЕАСЕ", "pеace", "ⲣeace"]],
		["strokes and accents", "kill", ["kíll", "k̃ĩl̃l̃", "kïłł", "ķīļļ"]],
		["spaces between letters", "kill", ["k i l l", "I k i l l you", "k  i\nl   l", "k\u00a0i\u00a0l\u00a0l"]],
		["signs between letters", "kill", ["k.i.l.l", "k-i-l-l", "k_i_l_l", "k*i*l*l", "k/i/l/l.", "k·i·l·l", "(k)(i)(l)(l)"]],
		["digits apart", "kill", ["k 1 l l", "k.1.1.1"]],
		["letters in what looks like markup", "kill", ["[k i l l]", "<k i l l", "[a k.i.l.l] b", "</ k i l l"]],
		["spaces between characters of scripts without", "法轮功", ["法 轮 功", "法.轮.功"]],
		["a phrase apart", "to death", ["t o d e a t h", "t o  d e a t h"]],
		["tags", "kill", ["k<b>ill</b>", "k<i class='x'>i</i>ll", "ki<!-- x -->ll", "ki[b]ll[/b]", "<b>k</b>ill"]],
		["signs of Markdown", "kill", ["ki**ll**", "**k**ill", "k_il_l", "~~ki~~ll", "`ki`ll"]],
		[
			"character references",
			"kill",
			["k&#105;ll", "k&#x69;ll", "&#107;&#105;&#108;&#108;", "k&#105ll", "kil&#108", "ki&#x6c;&#x6C", "ki&shy;ll", "ki&zwnj;ll"],
		],
		["character references for a space", "to death", ["to&nbsp;death", "to&#32;death"]],
		["several of these", "kill", ["k<b>1</b>&#108;ł", "К&#49;l<i>l</i>", "k 1 | l"]],
	])("a loose lexicon sees through %s", async (_, term, texts) => {
		await loosely(term, texts);
	});

	test.each([
		["numbers", "ass", ["455", "a 455", "$55", "4 5 5"]],
		["what is in a longer word", "kill", ["sk1lls", "k1lls", "ski<b>lls</b>", "k i x l l"]],
		["letters of whole words", "kill", ["k is ll", "kit ill", "ok I l l"]],
		["initials of few letters", "hi", ["h i", "h. i."]],
	])("a loose lexicon does not take %s for %s", async (_, term, texts) => {
		await expectNoHits(term, texts, "loose");
	});

	test("a loose lexicon sees a disguised term beside a character that shows as nothing or as a space", async () => {
		for (const gap of ["\u2800", "\u3164", "\uffa0", "\0", "\x07", "\x7f", "\x9d", "\ufffd"]) {
			await loosely("kill", [`k1ll${gap}you`, `and${gap}k1ll`, `k${gap}i${gap}l${gap}l`, `<b>ki</b>ll${gap}you`, `k1${gap}ll`]);
			await expectNoHits("kill", [`sk1ll${gap}you`], "loose");
		}
		await loosely("kill", ["k1ll&#x3164;you", "<b>ki</b>ll&#12644;you"]);
	});

	test("a loose lexicon counts hits of several kinds in one text", async () => {
		expect(await costsOf(["kill"], ["kill k1ll k i l l kіll k<b>i</b>ll"], "loose")).toEqual([5]);
	});

	test("a loose lexicon is another cost model than a strict one", async () => {
		const hashes = await Promise.all(
			([undefined, "strict", "loose"] as const).map(async (match) => {
				await using scorer = await CostScorer.load({ constraints: [{ cost: { lexicon: ["kill"], match } }] });
				return (await scorer.hashes())[0];
			}),
		);
		expect(hashes[0]).toBe(hashes[1]);
		expect(hashes[2]).not.toBe(hashes[0]);
	});

	test("a loose lexicon keeps a search from disguised terms", async () => {
		await using guard = await InferenceGuard.load({
			model: sayingModel(["I ", "k", "1", "ll", " you"]),
			cost: { lexicon: ["kill"], match: "loose" },
		});
		const reply = await guard.generate({ prompt: [0], candidates: 1, maxTokens: 5, maxGeneratedTokens: 5 });
		expect(reply).toMatchObject({ outcome: "refused", text: "" });
	});

	test("match has no values but strict and loose", async () => {
		const cost = { lexicon: ["kill"], match: "fuzzy" as "loose" };
		await expect(CostScorer.load({ constraints: [{ cost }] })).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("the table of confusables is that of UTS #39", () => {
		expect(committed).toEqual(confusable());
	});
});

describe("a lexicon reads on from a raw prompt", () => {
	test.each([
		["knife", "a kni", ["fe", "fe."], 1],
		["knife", "a kni", ["fed", "f", " fe"], 0],
		["to death", "stabbed to ", ["death"], 1],
		["to death", "stabbed to d", ["eath"], 1],
		["die", "I stu", ["die hard", "die"], 0],
		["studie", "I stu", ["die hard"], 1],
		["café", "a cafe", ["\u0301"], 1],
		["kill", "ki\u0336", ["\u200bll"], 1],
		["kill", "I kill", [" you", "ing", "", ".", "\u200b "], 0],
		["kill", "I kill ", ["kill"], 1],
		["kill*", "I kill", ["ing"], 0],
		["他死", "他", ["死了"], 1],
		["死", "他死", ["了"], 0],
	])("a lexicon reads on from a raw prompt: %s after %j: %j cost %d", async (term, prompt, texts, cost) => {
		expect(await costsOf([term], texts, undefined, prompt)).toEqual(texts.map(() => cost));
		for (const text of texts.filter((one) => one !== "")) expect(await costOfTokens([...text], [term], { prompt })).toBe(cost);
	});

	test("a loose lexicon reads on from a raw prompt too", async () => {
		expect(await costsOf(["kill"], ["1ll", " i l l", "ing"], "loose", "they k")).toEqual([1, 1, 0]);
		expect(await costsOf(["kill"], [">ill", "i</b>ll"], "loose", "they k<b")).toEqual([1, 0]);
	});

	test("a search avoids a term that begins in the raw prompt", async () => {
		const pieces = ["a kni", "fe", "ght"];
		const row = (next: Record<number, number>) => pieces.map((_, i) => next[i] ?? -1e4);
		const model = {
			pieces: [...pieces, ""],
			logits: [row({ 1: 3, 2: 0 }), row({}), row({})].map((r) => [...r, 0]).concat([[0, 0, 0, 0]]),
			ends: [3],
		};
		await using guard = await InferenceGuard.load({ model, cost: { lexicon: ["knife"] }, budget: 0 });
		for (let seed = 0; seed < 20; seed++) {
			const { text, safety } = await guard.generate({ prompt: [0], maxTokens: 2, seed });
			expect(text).not.toBe("fe");
			expect(safety.cost).toBe(0);
		}
	});
});
