// Stop strings: a response ends before the first one that is complete, and costs what that text costs.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CostModel, embeddedDefault, type GenerateOptions, InferenceGuard, type Reply } from "../lib/index.js";
import { checkGenerateOptions } from "../lib/options/generate.js";
import { plainSettings, resolveSearch, settingsHash } from "../lib/options/resolve.js";
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
				expectCut(problem, stop, reply);
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

/** Checks that a reply has the tokens that spell its text, and no others. */
function expectCut({ model }: Problem, stop: readonly string[], reply: Reply): void {
	const spelled = (tokens: readonly number[]) => tokens.map((token) => model.pieces[token]).join("");
	const { text, tokens, endToken, finishReason, logLikelihoods, safety } = reply;
	const wasCut = finishReason === "stop" && endToken === null;
	const nTokens = tokens.length + (endToken === null ? 0 : 1);
	expect(logLikelihoods).toHaveLength(nTokens);
	expect(reply.outcome === "refused" || safety.cost === costOfText(text)).toBe(true);
	expect(stop.some((one) => text.includes(one))).toBe(false);
	if (wasCut) {
		expect(spelled(tokens).startsWith(text)).toBe(true);
		expect(tokens.length === 0 || spelled(tokens.slice(0, -1)).length < text.length).toBe(true);
		expect(safety.z.length).toBeGreaterThan(nTokens);
	} else {
		expect(spelled(tokens)).toBe(text);
		expect(safety.z).toHaveLength(nTokens + 1);
		if (finishReason !== "safety") expect(finishReason).toBe(endToken === null ? "length" : "stop");
	}
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
			nCut += reply.finishReason === "stop" && reply.endToken === null ? 1 : 0;
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
		expect(reply).toMatchObject({ text: "so it ends.", finishReason: "stop", tokens: [1, 2], endToken: null });
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

	test("costs of tokens count those that spell the stop string, which the reply and a cost function leave out", async () => {
		const reply = await generate(["", "a", "b", ""], { stop: "b", strategy: "sample" }, { tokenCosts: [0, 1, 2, 4] });
		expect([reply.text, reply.tokens, reply.safety.cost]).toEqual(["a", [1], 3]);
		const seen: number[][] = [];
		const cost: CostModel = (all) => all.map(({ tokens }) => seen.push([...tokens]) && 0);
		for (const [stop, text, tokens] of [
			["bcd", "ax", [1, 2]],
			["cd", "axb", [1, 2]],
			["xbcd", "a", [1]],
			["axb", "", []],
		] as const) {
			const cut = await generate(["", "a", "xb", "c", "d and more", ""], { stop }, cost);
			expect([cut.text, cut.tokens, seen.at(-1)]).toEqual([text, tokens, tokens]);
		}
	});

	test("with a discount, what was held back costs no less than it costs without a stop string", async () => {
		const discounted = fc.record({
			given: cases({ maxVocabulary: 6, maxLength: 10 }),
			discount: fc.constantFrom(0.5, 0.9),
			seed: fc.nat(),
		});
		let nLate = 0;
		await fc.assert(
			fc.asyncProperty(discounted, async ({ given: { problem, stop }, discount, seed }) => {
				await using guard = await InferenceGuard.load({ model: problem.model, cost: lexicon, budget: 100, discount });
				const options = { prompt: [promptToken], maxTokens: problem.maxTokens, strategy: "sample" as const, seed };
				const plain = await guard.generate(options);
				const held = await guard.generate({ ...options, stop });
				if (held.text !== plain.text) return;
				expect(held.safety.cost).toBeGreaterThanOrEqual(plain.safety.cost - 1e-9);
				nLate += held.safety.z.some((z, t) => z !== plain.safety.z[t]) ? 1 : 0;
			}),
			{ numRuns: 200 },
		);
		expect(nLate).toBeGreaterThan(10);
	});

	test("the order and the repetition of stop strings mean nothing", () => {
		const hashOf = (stop: string[]) => settingsHash(plainSettings(resolveSearch(checkGenerateOptions({ prompt: "", stop }), undefined)));
		expect(hashOf(["b", "a", "b"])).toBe(hashOf(["a", "b"]));
		expect(hashOf(["a"])).not.toBe(hashOf(["a", "b"]));
	});

	test("the exact critic, which does not know it, refuses it", async () => {
		const model = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]], oracle: true }; // biome-ignore format: a table
		await using guard = await InferenceGuard.load({ model, cost: { tokenCosts: [0, 1] } });
		const options = { prompt: [0], maxTokens: 3, stop: "b" };
		await expect(guard.generate(options)).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringMatching(/^stop: /) });
		expect((await guard.generate({ ...options, estimator: "models" })).outcome).not.toBe("refused");
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
