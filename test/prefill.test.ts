// A response that is begun: it is judged with its beginning, whose cost is paid before the first token.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CostModel, embeddedDefault, InferenceGuard, type LoadOptions } from "../lib/index.js";
import { chatMetadata, listeningModel } from "./listening-model.js";
import { constrainedOptimum, costOf, type Problem, problems, promptToken, textOf } from "./tabular.js";
import { smallModel, temporaryFolder } from "./temporary.js";
import { causalModel, sentencePieces } from "./text-models.js";

const folder = temporaryFolder();

/** A problem with the beginning of a response, whose last token is the prompt's: what follows has the problem's probabilities. */
const cases = (size: Parameters<typeof problems>[0]) =>
	problems(size).chain((problem) =>
		fc.record({
			problem: fc.constant<Problem>({ ...problem, model: { ...problem.model, ends: [] } }),
			prefill: fc.array(fc.nat({ max: problem.model.pieces.length - 1 }), { maxLength: 3 }).map((tokens) => [...tokens, promptToken]),
		}),
	);

/** How often "ab" and "b" are in a text. */
const hits = (text: string) => text.split("ab").length - 1 + (text.split("b").length - 1);
const lexicon: CostModel = { lexicon: ["*ab*", "*b*"] };
const ofWholeText: CostModel = (all) => all.map(({ text }) => hits(text));
const undiscounted = ({ tokenCosts }: Problem, tokens: readonly number[]) => costOf({ tokenCosts, discount: 1 }, tokens);

interface Kind {
	cost: (problem: Problem) => CostModel;
	/** What a response costs with its beginning. */
	total: (problem: Problem, prefill: readonly number[], tokens: readonly number[]) => number;
	/** What the beginning costs before the first token. */
	paid: (problem: Problem, prefill: readonly number[]) => number;
}

const kinds: [name: string, kind: Kind][] = [
	[
		"costs of tokens",
		{
			cost: ({ tokenCosts }) => ({ tokenCosts }),
			total: (problem, prefill, tokens) => undiscounted(problem, prefill) + costOf(problem, tokens),
			paid: undiscounted,
		},
	],
	[
		"a lexicon",
		{
			cost: () => lexicon,
			total: (problem, prefill, tokens) => hits(textOf(problem, [...prefill, ...tokens])),
			paid: (problem, prefill) => hits(textOf(problem, prefill)),
		},
	],
	[
		"a cost of the whole text",
		{
			cost: () => ofWholeText,
			total: (problem, prefill, tokens) => hits(textOf(problem, [...prefill, ...tokens])),
			paid: () => 0,
		},
	],
];

describe.each(kinds)("a response that is begun, under %s", (name, { cost, total, paid }) => {
	const loadOptions = (problem: Problem): LoadOptions => {
		const { model, budget, discount } = problem;
		return { model, cost: cost(problem), budget, discount: name === "costs of tokens" ? discount : 1 };
	};
	const plainly = (problem: Problem) => (name === "costs of tokens" ? problem : { ...problem, discount: 1 });

	test("with exhaustive width it is the best within what the beginning leaves of the budget", async () => {
		await fc.assert(
			fc.asyncProperty(cases({}), async ({ problem: given, prefill }) => {
				const problem = plainly(given);
				const { model, maxTokens, budget, discount } = problem;
				const optimum = constrainedOptimum(problem, (tokens) => total(problem, prefill, tokens));
				await using guard = await InferenceGuard.load(loadOptions(problem));
				const width = model.pieces.length ** maxTokens;
				const search = { candidates: width, beams: width, retries: 0, expansion: "token" as const };
				const reply = await guard.generate({ prompt: [1], prefill, maxTokens, ...search });
				expect(reply.outcome === "refused").toBe(optimum === undefined);
				expect(reply.safety.budget).toBe(budget);
				expect(reply.safety.z[0]).toBeCloseTo(budget - paid(problem, prefill), 9);
				if (optimum === undefined) return;
				expect(discount ** reply.tokens.length * (reply.reward as number)).toBeCloseTo(optimum, 4);
				expect(reply.text).toBe(textOf(problem, reply.tokens));
				expect(reply.safety.cost).toBeCloseTo(total(problem, prefill, reply.tokens), 9);
			}),
			{ numRuns: 100 },
		);
	});

	test("its stream is the rest of the response, and within budget behind the beginning as it stands", async () => {
		const search = fc.record({
			candidates: fc.integer({ min: 1, max: 8 }),
			blockLength: fc.integer({ min: 1, max: 4 }),
			maxGeneratedTokens: fc.integer({ min: 1, max: 200 }),
			seed: fc.nat(),
		});
		await fc.assert(
			fc.asyncProperty(cases({ maxVocabulary: 5, maxLength: 8 }), search, async ({ problem: given, prefill }, chosen) => {
				const problem = plainly(given);
				const { model, maxTokens, budget } = problem;
				await using guard = await InferenceGuard.load(loadOptions(problem));
				const stream = guard.stream({ prompt: [1], prefill, maxTokens, ...chosen, trace: true });
				let streamed = "";
				for await (const { text } of stream) {
					streamed += text;
					const tokens = [...streamed].map((letter) => model.pieces.indexOf(letter));
					expect(total(problem, prefill, tokens)).toBeLessThanOrEqual(budget + 1e-9);
				}
				const { text, outcome, trace = [], usage } = await stream.reply;
				expect(streamed).toBe(text);
				for (const node of trace) expect(node.text).toHaveLength(node.tokens);
				expect(trace.some(({ pruned }) => pruned === "recheck")).toBe(false);
				if (paid(problem, prefill) > budget) expect([outcome, usage.generatedTokens]).toEqual(["refused", 0]);
			}),
			{ numRuns: 100 },
		);
	});
});

describe("a prefill", () => {
	test("a story goes on behind a prefill as behind the same text in the prompt, and judges read both", async () => {
		const { constraints: _, critic: __, ...model } = embeddedDefault;
		const seen: string[] = [];
		const cost: CostModel = (all) => {
			seen.push(...all.map(({ text }) => text));
			return all.map(() => 0);
		};
		await using guard = await InferenceGuard.load({ ...model, cost });
		const options = { maxTokens: 20, temperature: 0, candidates: 1, cachePrompt: false };
		const plain = await guard.generate({ prompt: "Once upon a time there was a", ...options });
		const { text, usage } = await guard.generate({ prompt: "Once upon", prefill: " a time there was a", ...options });
		expect(text).toBe(plain.text);
		expect(usage.promptTokens).toBe(plain.usage.promptTokens);
		expect(seen.at(-1)).toBe(` a time there was a${text}`);
	});

	test("a chat begins the response with it, and with the assistant's last message only if that is said to be one", async () => {
		const seen: string[] = [];
		const cost: CostModel = (all) => {
			seen.push(...all.map(({ text }) => text));
			return all.map(() => 0);
		};
		await using guard = await InferenceGuard.load({ model: smallModel(folder, { metadata: chatMetadata }), cost, threads: 1 });
		const [user, assistant] = [
			{ role: "user", content: "w7" },
			{ role: "assistant", content: "w8 w9" },
		];
		const options = { maxTokens: 4, temperature: 0, seed: 1 };
		const begun = await guard.generate({ messages: [user], prefill: "w8 w9", ...options });
		expect(seen.at(-1)).toBe(`w8 w9${begun.text}`);
		const final = await guard.generate({ messages: [user, assistant], continueFinal: true, ...options });
		expect(final).toMatchObject({ text: begun.text, tokens: begun.tokens, logLikelihood: begun.logLikelihood });
		const turn = await guard.generate({ messages: [user, assistant], ...options });
		expect(seen.at(-1)).toBe(turn.text);
		expect(turn.usage.promptTokens).toBeGreaterThan(begun.usage.promptTokens);
	});

	test("a refused response that is begun is repaired behind its beginning", async () => {
		const cost: CostModel = (all) => all.map(({ text }) => Number(text.includes("bad")));
		await using guard = await InferenceGuard.load({ model: listeningModel(folder, "▁harm"), cost, budget: 0, threads: 1 });
		const small = { maxTokens: 6, candidates: 1, maxGeneratedTokens: 12, seed: 1 };
		const asked = { messages: [{ role: "user", content: "tell me" }] };
		const { outcome, text } = await guard.generate({ ...asked, prefill: "good", ...small });
		expect([outcome, text]).toEqual(["repaired", " good".repeat(6)]);
	});

	test("a prefill over budget is refused before anything is read, by the repair as well", async () => {
		const model = listeningModel(folder, "▁harm");
		await using guard = await InferenceGuard.load({ model, cost: { lexicon: ["bad"] }, budget: 0, threads: 1 });
		const asked = { messages: [{ role: "user", content: "tell me" }] };
		const { outcome, timings, trace, usage } = await guard.generate({
			...asked,
			prefill: "bad bad",
			maxTokens: 6,
			candidates: 1,
			trace: true,
		});
		expect([outcome, usage.generatedTokens, timings.prefill, trace]).toEqual(["refused", 0, 0, []]);
	});

	test.each([0, null])("over budget at the end only, it may begin a response if costs may be negative: costFloor %s", async (costFloor) => {
		const model = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }; // biome-ignore format: a table
		const cost = { cost: { tokenCosts: [-1, 2] }, budget: 1, criterion: "terminal" as const, costFloor };
		await using guard = await InferenceGuard.load({ model, constraints: [cost] } as LoadOptions);
		const { outcome, usage } = await guard.generate({ prompt: [0], prefill: [1], maxTokens: 2, seed: 1 });
		if (costFloor === 0) expect([outcome, usage.generatedTokens]).toEqual(["refused", 0]);
		else expect(outcome).not.toBe("refused");
	});

	test("a character may begin in the prompt or in the prefill and end behind it", async () => {
		const vocabulary = sentencePieces();
		const model = causalModel(folder, "llama", { vocabulary, seed: 5 }).path;
		const byteOf = (byte: number) => vocabulary.texts.indexOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
		const bytesOf = (token: number) => {
			const byte = /^<0x(..)>$/.exec(vocabulary.texts[token] as string)?.[1];
			return byte === undefined ? [...Buffer.from((vocabulary.texts[token] as string).replaceAll("▁", " "))] : [Number.parseInt(byte, 16)];
		};
		const seen: string[] = [];
		const cost: CostModel = (all) => all.map(({ text }) => seen.push(text) && 0);
		await using guard = await InferenceGuard.load({ model, cost, threads: 1 });
		const [first, second] = [0xc3, 0xa9].map(byteOf) as [number, number];
		for (let seed = 0; seed < 10; seed++) {
			const options = { maxTokens: 3, candidates: 1, seed };
			await guard.generate({ prompt: [1, first], prefill: [second], ...options });
			expect(seen.at(-1)?.startsWith("é")).toBe(true);
			const { tokens, text } = await guard.generate({ prompt: [1], prefill: [second, first], ...options });
			const together = new TextDecoder().decode(Uint8Array.from([second, first, ...tokens].flatMap(bytesOf)), { stream: true });
			expect(seen.at(-1)).toBe(together);
			expect(`\ufffd${text}`).toBe(together);
		}
	});

	test("the exact critic foresees what the prefill leaves of the budget", async () => {
		await fc.assert(
			fc.asyncProperty(cases({}), fc.nat(), async ({ problem, prefill }, seed) => {
				const { model, tokenCosts, budget, maxTokens } = problem;
				const spent = undiscounted(problem, prefill);
				if (spent > budget) return;
				const foreseen = async (budget: number, prompt: number[], begun?: number[]) => {
					await using guard = await InferenceGuard.load({ model: { ...model, oracle: true }, cost: { tokenCosts }, budget });
					const { safety, tokens } = await guard.generate({
						prompt,
						...(begun && { prefill: begun }),
						maxTokens,
						blockLength: 1,
						candidates: 3,
						seed,
					});
					return { pSafe: safety.pSafe, tokens };
				};
				expect(await foreseen(budget, [1], prefill)).toEqual(await foreseen(budget - spent, [promptToken]));
			}),
			{ numRuns: 60 },
		);
	});

	test.each<[string, object, string]>([
		["text after token ids", { prompt: [0], prefill: "a" }, "prefill: expected token ids after a prompt of token ids, got text"],
		["both forms", { messages: [{ role: "assistant", content: "a" }], prefill: "a", continueFinal: true }, "prefill: expected none beside"],
		["a prompt", { prompt: [0], continueFinal: true }, "continueFinal: expected messages that end with one of the assistant"],
		["a user's message", { messages: [{ role: "user", content: "a" }], continueFinal: true }, "continueFinal: expected messages that end"],
		["no token", { prompt: [0], prefill: [] }, "expected the prefill to have at least one token, got none"],
		["an unknown token", { prompt: [0], prefill: [2] }, "expected token ids from 0 to 1, got 2"],
	])("%s is refused", async (_, options, message) => {
		const model = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }; // biome-ignore format: a table
		await using guard = await InferenceGuard.load({ model, cost: lexicon });
		await expect(guard.generate(options as never)).rejects.toThrow(message);
	});
});
