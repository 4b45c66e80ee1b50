// Stop strings: a response ends before the first one that is complete, and costs what that text costs.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CostModel, embeddedDefault, type GenerateOptions, InferenceGuard, type Reply } from "../lib/index.js";
import { constrainedOptimum, cutAtStop, type Problem, problems, promptToken, textOf } from "./tabular.js";

const stopStrings = fc
	.string({ unit: fc.constantFrom("a", "b", "c", "é"), minLength: 1, maxLength: 3 })
	.chain((one) => fc.constantFrom([one], [one, "ba"], ["ca", one]));

/** Tokens with texts that overlap one another and the stop strings. */
const pieces = fc.array(fc.constantFrom("a", "b", "ab", "ba", "aab", "bc", "c", "é", ""), { minLength: 8, maxLength: 8 });

const cases = (size: Parameters<typeof problems>[0]) =>
	fc.record({ problem: problems(size), pieces, stop: stopStrings }).map(({ problem, pieces, stop }) => {
		const model = { ...problem.model, pieces: pieces.slice(0, problem.model.pieces.length) };
		return { problem: { ...problem, model, discount: 1 }, stop };
	});

const weights = { a: 0.5, b: 1, é: 2 };

/** What a text costs: the weights of its letters. */
const costOfText = (text: string) => [...text].reduce((sum, letter) => sum + (weights[letter as keyof typeof weights] ?? 0), 0);

const lexicon: CostModel = { lexicon: Object.entries(weights).map(([letter, weight]) => ({ term: `*${letter}*`, weight })) };
const ofWholeText: CostModel = (all) => all.map(({ text }) => costOfText(text));

function expectedText(problem: Problem, stop: readonly string[], tokens: readonly number[]): string {
	const text = textOf(problem, tokens);
	return cutAtStop(text, stop) ?? text;
}

describe("with exhaustive width", () => {
	test.each([
		["a lexicon", lexicon],
		["a cost of the whole text", ofWholeText],
	])("the search with stop strings returns the optimum of the texts cut there, under %s", async (_, cost) => {
		await fc.assert(
			fc.asyncProperty(cases({}), async ({ problem, stop }) => {
				const { model, budget, maxTokens } = problem;
				const optimum = constrainedOptimum(problem, (tokens) => costOfText(expectedText(problem, stop, tokens)), stop);
				await using guard = await InferenceGuard.load({ model, cost, budget });
				const width = model.pieces.length ** maxTokens;
				const search = { candidates: width, beams: width, retries: 0, expansion: "token" as const };
				const reply = await guard.generate({ prompt: [promptToken], maxTokens, stop, ...search });
				expect(reply.outcome === "refused").toBe(optimum === undefined);
				if (optimum === undefined) return;
				expect(reply.reward as number).toBeCloseTo(optimum, 4);
				expect(reply.text).toBe(expectedText(problem, stop, reply.tokens));
				expect(reply.safety.cost).toBeCloseTo(costOfText(reply.text), 9);
			}),
			{ numRuns: 150 },
		);
	});
});

const settings = fc.record({
	candidates: fc.integer({ min: 1, max: 8 }),
	blockLength: fc.integer({ min: 1, max: 4 }),
	temperature: fc.constantFrom(0, 0.5, 1, 2),
	maxGeneratedTokens: fc.integer({ min: 1, max: 200 }),
	strategy: fc.constantFrom("guard" as const, "guard" as const, "filter" as const, "sample" as const, "beam" as const),
	seed: fc.nat(),
});

/** Checks a reply against the tokens that were sampled. */
function expectCut({ model }: Problem, stop: readonly string[], reply: Reply): void {
	const sampled = reply.tokens.map((token) => model.pieces[token]).join("");
	const cut = cutAtStop(sampled, stop);
	expect(reply.text).toBe(cut ?? sampled);
	expect(reply.outcome === "refused" || reply.safety.cost === costOfText(reply.text)).toBe(true);
	const hasEnded = cut !== undefined || reply.endToken !== null;
	if (reply.finishReason !== "safety") expect(reply.finishReason).toBe(hasEnded ? "stop" : "length");
	else expect(cut).toBeUndefined(); // a text that is complete is an answer
	expect(reply.safety.z).toHaveLength(reply.tokens.length + (reply.endToken === null ? 1 : 2));
}

test.each([
	["a lexicon", lexicon],
	["a cost of the whole text", ofWholeText],
])("a stream with stop strings has no more than the response, for any settings, under %s", async (_, cost) => {
	let nCut = 0;
	await fc.assert(
		fc.asyncProperty(cases({ maxVocabulary: 6, maxLength: 10 }), settings, async ({ problem, stop }, chosen) => {
			const { model, budget, maxTokens } = problem;
			await using guard = await InferenceGuard.load({ model, cost, budget });
			const stream = guard.stream({ prompt: [promptToken], maxTokens, stop, ...chosen, trace: true });
			let streamed = "";
			for await (const { text } of stream) {
				streamed += text;
				expect(stop.some((one) => streamed.includes(one))).toBe(false);
				if (chosen.strategy === "guard") expect(costOfText(streamed)).toBeLessThanOrEqual(budget);
			}
			const reply = await stream.reply;
			expect(streamed).toBe(reply.text);
			expectCut(problem, stop, reply);
			expect(reply.trace?.some(({ pruned }) => pruned === "recheck")).toBe(false);
			nCut += reply.text.length < textOf(problem, reply.tokens).length ? 1 : 0;
		}),
		{ numRuns: 150 },
	);
	expect(nCut).toBeGreaterThan(20);
});

describe("a stop string", () => {
	const sayingInTurn = (pieces: string[]) => {
		const logits = pieces.map((_, last) => pieces.map((_, next) => (next === last + 1 ? 20 : -20)));
		return { pieces, logits, ends: [pieces.length - 1] };
	};
	const generate = async (
		pieces: string[],
		options: Omit<GenerateOptions, "prompt" | "messages">,
		cost: CostModel = { lexicon: ["die"] },
	) => {
		await using guard = await InferenceGuard.load({ model: sayingInTurn(pieces), cost });
		return await guard.generate({ prompt: [0], maxTokens: pieces.length, temperature: 0, ...options });
	};

	test("a stop string that begins in one token and ends in another cuts inside both", async () => {
		const reply = await generate(["", "so it", " ends. En", "d of story", " and more", ""], { stop: " End of", blockLength: 2 });
		expect(reply).toMatchObject({ text: "so it ends.", finishReason: "stop", tokens: [1, 2, 3], endToken: null });
	});

	test("what only begins a stop string stays in the response, at its end too", async () => {
		const stop = ["###", "\n\nUser:"];
		const pieces = ["", "a #", "# b\n", "\nUse", "r c", " ##", ""];
		expect((await generate(pieces, { stop })).text).toBe("a ## b\n\nUser c ##");
		expect((await generate(pieces, { stop, maxTokens: 3 })).text).toBe("a ## b\n\nUse");
	});

	test("the first stop string to be complete counts, and the longest of those that end together", async () => {
		expect((await generate(["", "xabcd", ""], { stop: ["abcd", "c"] })).text).toBe("xab");
		expect((await generate(["", "xabcd", ""], { stop: ["c", "abc"] })).text).toBe("x");
	});

	test("a term that the stop string cuts off costs nothing, and one that it completes costs its weight", async () => {
		expect(await generate(["", "they ", "die", ""], { stop: "die" })).toMatchObject({ text: "they ", outcome: "safe" });
		const search = { strategy: "sample" as const, stop: "t" };
		const reply = await generate(["", "on a ", "diet", ""], search);
		expect([reply.text, reply.safety.cost]).toEqual(["on a die", 1]);
	});

	test("costs of tokens count those that spell the stop string", async () => {
		const reply = await generate(["", "a", "b", ""], { stop: "b", strategy: "sample" }, { tokenCosts: [0, 1, 2, 4] });
		expect([reply.text, reply.safety.cost]).toEqual(["a", 3]);
	});

	test.each([[[]], [""], [["a", ""]], ["a".repeat(257)], [Array(17).fill("a")], ["a\ud800"], [7]])("stop: %j is refused", async (stop) => {
		const message = /^stop(\.1)?: expected a text of 1 to 256 characters without lone surrogates, or a list of 1 to 16 of them, got/;
		await expect(generate(["", "a", ""], { stop: stop as string })).rejects.toThrow(message);
	});

	test("a story ends before it, wherever its tokens end, and the same seed tells the same story", async () => {
		await using guard = await InferenceGuard.load(embeddedDefault);
		const options = { prompt: "Once upon a time", maxTokens: 60, seed: 3, strategy: "sample" as const };
		const { text } = await guard.generate(options);
		for (const at of [20, 47, 90]) {
			const stop = text.slice(at, at + 5);
			const reply = await guard.generate({ ...options, stop });
			expect(reply.text).toBe(text.slice(0, text.indexOf(stop)));
			expect(reply.finishReason).toBe("stop");
		}
	});
});
