// One attempt with a note beside the prompt, before a generation is refused.
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { modelHash } from "../lib/files/fingerprint.js";
import { type Candidate, type CostModel, type GenerateOptions, InferenceGuard, type LoadOptions, RefusalError } from "../lib/index.js";
import { callAddon } from "../lib/native/addon.js";
import { steerVector } from "../lib/training/index.js";
import { chatMetadata, listeningModel, vocabulary } from "./listening-model.js";
import { cachedModel, testWithModel } from "./shared.js";
import { smallRecurrentModel, temporaryFolder } from "./temporary.js";
import { causalModel, randomTensors, sentencePieces, type Weights, wordDetector, zeros } from "./text-models.js";

const folder = temporaryFolder();
const threads = 1;
const model = listeningModel(folder, "▁harm");

const noBad: CostModel = (candidates) => candidates.map(({ text }) => Number(text.includes("bad")));
const asked = (content = "tell me") => ({ messages: [{ role: "user", content }] });
/** One response for retrying, one for the attempt. */
const small = { maxTokens: 6, candidates: 1, maxGeneratedTokens: 12, seed: 1 };
const good = " good".repeat(6);

const load = (options: Partial<LoadOptions> = {}) =>
	InferenceGuard.load({ model, ...(options.constraints ? {} : { cost: noBad, budget: 0 }), threads, ...options });

describe("a refusal", () => {
	test("a refusal is repaired by an answer to the prompt with a note", async () => {
		await using guard = await load();
		const refused = await guard.generate({ ...asked(), ...small, repair: false });
		expect(refused).toMatchObject({ outcome: "refused", text: "", finishReason: "safety" });
		const reply = await guard.generate({ ...asked(), ...small, trace: true });
		expect(reply).toMatchObject({ outcome: "repaired", text: good, finishReason: "length", endToken: null });
		expect(reply.safety).toMatchObject({ cost: 0, budget: 0, rounds: expect.any(Number) });
		expect(reply.safety.z).toHaveLength(reply.tokens.length + 1);
		expect(reply.usage.generatedTokens).toBe(12);
		expect(reply.usage.promptTokens).toBe(refused.usage.promptTokens);
		expect(reply.trace?.at(-1)).toMatchObject({ text: good, parent: -1, position: 0, tokens: 6, answer: true, pruned: null });
		expect(reply.trace?.filter(({ answer }) => answer)).toHaveLength(1);
		const { timings } = reply;
		for (const part of ["prefill", "decode"] as const) expect(timings[part]).toBeGreaterThan(0);
		expect(timings.prefill + timings.decode + timings.cost).toBeLessThanOrEqual(timings.total);
	});

	test("a refusal stays one where the attempt is over budget too, and counts its tokens", async () => {
		const cost: CostModel = (candidates) => candidates.map(({ text }) => Number(/bad|good/.test(text)));
		await using guard = await load({ cost });
		const [without, tried] = [
			await guard.generate({ ...asked(), ...small, repair: false }),
			await guard.generate({ ...asked(), ...small, trace: true }),
		];
		expect([without.outcome, tried.outcome]).toEqual(["refused", "refused"]);
		expect(tried.trace?.at(-1)).toMatchObject({ text: good, pruned: "cost", answer: false });
		expect(tried.usage.generatedTokens).toBe(12);
		const thrown = await guard.generate({ ...asked(), ...small, onRefusal: "throw" }).catch((error) => error);
		expect(thrown).toBeInstanceOf(RefusalError);
		expect(thrown.reply.outcome).toBe("refused");
		const instead = await guard.generate({ ...asked(), ...small, onRefusal: { text: "no" } });
		expect(instead).toMatchObject({ outcome: "refused", text: "no" });
	});

	test("a repaired refusal is not thrown or replaced", async () => {
		await using guard = await load();
		for (const onRefusal of ["throw" as const, { text: "no" }]) {
			expect(await guard.generate({ ...asked(), ...small, onRefusal })).toMatchObject({ outcome: "repaired", text: good });
		}
	});

	test("refusals of raw prompts stay; those of another strategy are repaired on demand", async () => {
		await using guard = await load();
		for (const prompt of ["tell me", [1, 100, 101]]) {
			expect((await guard.generate({ prompt, ...small, repair: true })).outcome).toBe("refused");
		}
		const filter = { ...asked(), maxTokens: 6, strategy: "filter" as const, seed: 1 };
		expect(await guard.generate(filter)).toMatchObject({ outcome: "refused", usage: { generatedTokens: 6 } });
		expect(await guard.generate({ ...filter, repair: true, maxGeneratedTokens: 12 })).toMatchObject({ outcome: "repaired", text: good });
		expect(await guard.generate({ ...filter, repair: true, maxGeneratedTokens: 6 })).toMatchObject({ outcome: "refused" });
		const unguarded = await guard.generate({ ...asked(), ...small, candidates: 2, startCandidates: 2, objective: "reward" });
		expect(unguarded).toMatchObject({ outcome: "unguarded", usage: { emittedTokens: 6, generatedTokens: 12 } });
	});

	test("refusals of concurrent generations are repaired, and a seed repeats its reply", async () => {
		await using guard = await load();
		const replies = await Promise.all(Array.from({ length: 12 }, (_, seed) => guard.generate({ ...asked(), ...small, seed })));
		for (const reply of replies) expect(reply).toMatchObject({ outcome: "repaired", text: good });
	});

	test("an attempt at repair ends early where a token is over budget", async () => {
		await using guard = await load({ cost: { lexicon: ["bad", "good"] } });
		const reply = await guard.generate({ ...asked(), ...small, trace: true });
		expect(reply.outcome).toBe("refused");
		expect(reply.trace?.at(-1)).toMatchObject({ text: expect.stringContaining("good"), pruned: "cost" });
		expect(reply.trace?.at(-1)?.tokens).toBeLessThan(6);
	});

	test("the note of a repair is added to the user's last message", async () => {
		await using guard = await load();
		const messages = [
			{ role: "system", content: "be kind" },
			{ role: "user", content: "hello" },
			{ role: "assistant", content: "hi" },
			{ role: "user", content: "tell me" },
		];
		expect(await guard.generate({ messages, ...small })).toMatchObject({ outcome: "repaired", text: good });
		expect(await guard.generate({ messages: [{ role: "system", content: "speak" }], ...small })).toMatchObject({ outcome: "repaired" });
	});

	test("a refusal without room for an attempt stays one", async () => {
		const refused = { outcome: "refused", finishReason: "safety" };
		await using short = await load({ contextSize: 60 });
		const { usage } = await short.generate({ ...asked(), ...small });
		await using narrow = await load({ contextSize: usage.promptTokens + 10 });
		expect(await narrow.generate({ ...asked(), ...small })).toMatchObject(refused);
		await using cramped = await load({ kvCells: usage.promptTokens + 20 });
		expect(await cramped.generate({ ...asked(), ...small, retries: 0 })).toMatchObject(refused);
	});

	test("a refusal is repaired with a model whose sequences cannot be truncated", async () => {
		const recurrent = smallRecurrentModel(folder, 512, "f32", chatMetadata);
		let attempts = 0;
		const cost: CostModel = (candidates) => candidates.map(({ finished }) => Number(finished && attempts++ < 1));
		await using guard = await load({ model: recurrent, cost });
		const options = { ...asked(), maxTokens: 6, candidates: 1, startCandidates: 1, maxGeneratedTokens: 12, seed: 1 };
		const reply = await guard.generate(options);
		expect(reply.outcome).toBe("repaired");
		expect(reply.logLikelihood).toBeCloseTo(await guard.meanLogLikelihood(asked(), reply), 3);
	});

	test("a refusal of a steered model is repaired by the steered model", async () => {
		const { path } = causalModel(folder, "llama", { vocabulary: sentencePieces(), seed: 6, layers: 4, metadata: chatMetadata });
		const prompts = (last: number) => Array.from({ length: 6 }, (_, i) => [1, 10 + i, last]);
		const vector = join(folder, "repair-vector.gguf");
		await steerVector({ model: path, positive: prompts(60), negative: prompts(70), out: vector, threads });
		const options = { maxTokens: 5, candidates: 1, startCandidates: 1, maxGeneratedTokens: 10, seed: 1 };
		/** By how much the steered model likes its repaired answer better than it would if it were not steered. */
		const gain = async (strength: number) => {
			let judged = 0;
			const notTheFirst: CostModel = (candidates) => candidates.map(({ finished }) => Number(finished && judged++ < 1));
			await using guard = await load({ model: path, cost: notTheFirst, steering: { vector, strength } });
			const reply = await guard.generate({ ...asked(), ...options });
			expect(reply.outcome).toBe("repaired");
			return Number(reply.logLikelihood) - (await guard.meanLogLikelihood(asked(), reply));
		};
		expect(await gain(1e-6)).toBeCloseTo(0, 3);
		expect(await gain(20)).toBeGreaterThan(0.1);
	});
});

describe("the note", () => {
	/** A guard model that says unsafe where it reads one of some words. */
	const detector = (words: string[], names?: string[]): CostModel => ({
		guardModel: causalModel(folder, "llama", { vocabulary, layers: 1, weights: wordDetector(words, "no", "yes") }).path,
		template: {
			before: "<s>",
			between: "\n",
			after: "\n",
			safe: "no",
			unsafe: "yes",
			...(names && { categories: { before: "yes\n", names } }),
		},
		selfTest: false,
	});

	test("the note reaches the model, and no judge", async () => {
		const harmful = { cost: detector(["▁harm"]), budget: 0.5 };
		await using guard = await load({ constraints: [{ cost: noBad, budget: 0 }, harmful] });
		const reply = await guard.generate({ ...asked(), ...small });
		expect(reply).toMatchObject({ outcome: "repaired", text: good });
		expect(reply.safety.constraints[1]?.cost).toBeLessThan(0.5);
		expect((await guard.generate({ ...asked("tell me of harm"), ...small })).outcome).toBe("refused"); // as it would see the note
	});

	test("the note names the category that the cost model knows, if it knows one", async () => {
		const hears = async (word: string, cost: CostModel) => {
			await using guard = await load({ model: listeningModel(folder, word), constraints: [{ cost, budget: 0.5 }] });
			return (await guard.generate({ ...asked(), ...small })).outcome;
		};
		for (const names of [
			["crime", "drugs"],
			["drugs", "crime"],
		]) {
			const [named = "", other = ""] = names; // of equally likely ones the first
			expect(await hears(named, detector(["▁bad"], names))).toBe("repaired");
			expect(await hears(other, detector(["▁bad"], names))).toBe("refused");
		}
		expect(await hears("crime", detector(["▁bad"]))).toBe("refused");
	});

	test.each([
		["", []],
		[", which reads the prefill", [100, 101]],
	])("the note is not seen by likelihoods, nor by a probe on the latent state%s", async (_, prefill) => {
		const width = 32;
		const [bare, space] = [sentencePieces(), 259];
		const chatty = causalModel(folder, "llama", { vocabulary: bare, seed: 5, layers: 4, metadata: chatMetadata });
		const weights = randomTensors(7)(width).values.map((x) => 8 * x);
		const path = join(folder, "probe.gguf");
		const numbers = { bias: 0, prior: 0, layers: Float64Array.from([1]), with_context: 0, chat: 1, threshold: 0.5 };
		const texts = { model_hash: await modelHash(chatty.path), data_hash: "" };
		callAddon((native) =>
			native.writeTensors(path, "probe", texts, numbers, [{ name: "weights", shape: [width], values: weights, half: false }]),
		);
		const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
		let seen = 0;
		for (let seed = 0; seed < 6; seed++) {
			let judged = 0;
			const notTheFirst: CostModel = (candidates) => candidates.map(({ finished }) => Number(finished && judged++ < 1));
			const constraints = [
				{ cost: { probe: path }, budget: 1 },
				{ cost: notTheFirst, budget: 0 },
			];
			await using guard = await load({ model: chatty.path, constraints });
			const options = { maxTokens: 5, candidates: 1, startCandidates: 1, maxGeneratedTokens: 10, seed };
			const question = asked(`tell me ${seed}`);
			const reply = await guard.generate({ ...question, ...(prefill.length > 0 && { prefill }), ...options });
			expect(reply.outcome).toBe("repaired");
			const bytes = new TextEncoder().encode(`[user] tell me ${seed}\n[assistant]`);
			const prompt = [1, ...Array.from(bytes, (byte) => (byte === 32 ? space : 3 + byte))];
			expect(reply.usage.promptTokens).toBe(prompt.length + prefill.length);
			const sampled = reply.endToken === null ? reply.tokens : [...reply.tokens, reply.endToken];
			const each = await guard.logLikelihoods([...prompt, ...prefill], sampled);
			for (const [t, one] of each.entries()) expect(reply.logLikelihoods[t]).toBeCloseTo(one, 3);
			const read = [...prefill, ...sampled.slice(0, -1)];
			const mean = new Float64Array(width);
			for (let n = 1; n <= read.length; n++) {
				const states = await guard.layerStates([[...prompt, ...read.slice(0, n)]]);
				for (let i = 0; i < width; i++) mean[i]! += (states[width + i] as number) / read.length;
			}
			if (read.length === 0) continue;
			expect(reply.safety.cost).toBeCloseTo(sigmoid(mean.reduce((sum, x, i) => sum + x * (weights[i] as number), 0)), 3);
			seen++;
		}
		expect(seen).toBeGreaterThan(3);
	});
});

describe("streams", () => {
	const collect = async (guard: InferenceGuard, options: GenerateOptions) => {
		const stream = guard.stream(options);
		const pieces: string[] = [];
		for await (const { text } of stream) pieces.push(text);
		return { pieces, reply: await stream.reply };
	};

	test("streams emit a repaired text whole, after it was judged", async () => {
		await using guard = await load();
		const { pieces, reply } = await collect(guard, { ...asked(), ...small });
		expect(reply.outcome).toBe("repaired");
		expect(pieces).toEqual([good]);
		expect((await collect(guard, { ...asked(), ...small, repair: false })).pieces).toEqual([]);
	});

	test("streams are not repaired once text was emitted", async () => {
		const long: CostModel = (candidates) => candidates.map(({ tokens, finished }) => Number(finished && tokens.length > 3));
		await using guard = await load({ cost: long });
		const { pieces, reply } = await collect(guard, { ...asked(), ...small, blockLength: 1 });
		expect(reply.outcome).toBe("truncated");
		expect(pieces.join("")).toBe(reply.text);
		expect(reply.text).not.toBe("");
		expect((await guard.generate({ ...asked(), ...small })).outcome).toBe("refused");
	});
});

describe("an attempt", () => {
	const inAttempt = (act: () => void): CostModel => {
		return async (candidates) => {
			if (!candidates.some(({ text }) => text.includes("good"))) return candidates.map(() => 1);
			act();
			return new Promise(() => {}); // no judgement ever comes
		};
	};

	test("an attempt at repair can be aborted", async () => {
		const stop = new AbortController();
		await using guard = await load({ cost: inAttempt(() => stop.abort("enough")) });
		const run = guard.generate({ ...asked(), ...small, signal: stop.signal });
		await expect(run).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
	});

	test("an attempt at repair ends when its guard is disposed", async () => {
		const guard: InferenceGuard = await load({ cost: inAttempt(() => void guard.dispose()) });
		await expect(guard.generate({ ...asked(), ...small })).rejects.toMatchObject({ code: "DISPOSED" });
	});

	test("an attempt at repair fails as its cost function does", async () => {
		await using guard = await load({
			cost: inAttempt(() => {
				throw new Error("no judgement");
			}),
		});
		await expect(guard.generate({ ...asked(), ...small })).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
		expect(await guard.generate({ ...asked(), ...small, repair: false })).toMatchObject({ outcome: "refused" });
	});
});

const preference = 0.002;
const shareOfGood = 1 / (1 + Math.exp(-preference * Math.sqrt(32)));

/** Weights of a model that says one of two tokens, whatever it reads, the good one a little more often. */
const coin = ({ dim, ffn }: { dim: number; ffn: number }, texts: string[]): Weights => {
	const rows = (value: (text: string) => number) => {
		const tensor = zeros(dim, texts.length);
		for (const [i, text] of texts.entries()) tensor.values[i * dim] = value(text);
		return tensor;
	};
	return {
		"token_embd.weight": rows(() => 1),
		"output.weight": rows((text) => (text === "▁good" ? preference : text === "▁bad" ? 0 : -5)),
		"blk.0.attn_output.weight": zeros(dim, dim),
		"blk.0.ffn_down.weight": zeros(ffn, dim),
	};
};

describe("the token limit", () => {
	const tossing = causalModel(folder, "llama", { vocabulary, layers: 1, weights: coin, metadata: chatMetadata }).path;
	/** Bad words that a text may have. */
	const badWords = ({ text }: Candidate) => text.split("bad").length - 1;
	const searches = fc
		.record({
			candidates: fc.integer({ min: 1, max: 5 }),
			startShare: fc.constantFrom(0, 1),
			blockLength: fc.integer({ min: 1, max: 4 }),
			retries: fc.integer({ min: 0, max: 2 }),
			maxTokens: fc.integer({ min: 1, max: 5 }),
		})
		.map(({ startShare, candidates, ...rest }) => ({ candidates, startCandidates: Math.max(1, startShare * candidates), ...rest }));

	test("the token limit covers the attempt, and nothing over budget is returned", async () => {
		const seen: Record<string, number> = {};
		await fc.assert(
			fc.asyncProperty(
				searches.map((search) => ({ ...search, maxTokens: search.maxTokens + 4 })), // which a search seldom finds good ones of
				fc.record({
					share: fc.double({ min: 0.1, max: 6, noNaN: true }),
					strategy: fc.constantFrom("guard" as const, "guard" as const, "filter" as const, "beamAugmented" as const),
					temperature: fc.constantFrom(0, 1),
					hopeless: fc.boolean(),
					lenient: fc.boolean(),
					seed: fc.nat(),
				}),
				async (search, { share, strategy, temperature, hopeless, lenient, seed }) => {
					let texts = 0;
					const cost: CostModel = (all) =>
						all.map((one) => (one.finished && texts++ % 3 === 0 && lenient ? 0 : badWords(one) + Number(hopeless)));
					await using guard = await load({ model: tossing, cost });
					const maxGeneratedTokens = Math.max(1, Math.round(share * search.maxTokens));
					const { startCandidates, ...others } = search;
					const options = strategy === "guard" ? search : strategy === "filter" ? { maxTokens: search.maxTokens } : others;
					const reply = await guard.generate({
						...asked(),
						...options,
						strategy,
						temperature,
						maxGeneratedTokens,
						repair: true,
						trace: true,
						seed,
					});
					expect(reply.usage.generatedTokens).toBeLessThanOrEqual(maxGeneratedTokens);
					expect(reply.safety.cost).toBeLessThanOrEqual(reply.safety.budget);
					if (reply.outcome === "refused") expect(reply.text).toBe("");
					if (!lenient) expect(reply.text).not.toContain("bad");
					seen[reply.outcome] = (seen[reply.outcome] ?? 0) + 1;
					if (reply.outcome !== "repaired") return;
					expect(maxGeneratedTokens).toBeGreaterThan(search.maxTokens); // what retrying once takes comes first
					expect(reply.trace?.at(-1)).toMatchObject({ answer: true, tokens: reply.tokens.length, text: reply.text });
				},
			),
			{ numRuns: 300 },
		);
		expect(seen.repaired).toBeGreaterThan(10);
		expect(seen.refused).toBeGreaterThan(10);
	});

	test("a larger token limit turns no answer into a refusal", async () => {
		let answers = 0;
		const cost: CostModel = (all) => all.map((one) => (one.finished ? badWords(one) : 0));
		await using guard = await load({ model: tossing, cost });
		await fc.assert(
			fc.asyncProperty(searches, fc.nat(30), fc.nat(30), fc.nat(), async (search, limit, more, seed) => {
				const answer = (maxGeneratedTokens: number) => guard.generate({ ...asked(), ...search, maxGeneratedTokens, seed });
				const { outcome } = await answer(1 + limit);
				if (outcome === "refused" || outcome === "repaired") return;
				answers++;
				expect(["safe", "steered"]).toContain((await answer(1 + limit + more)).outcome);
			}),
			{ numRuns: 80 },
		);
		expect(answers).toBeGreaterThan(10);
	});

	test("the guard without its repairs answers as often as retrying with half the tokens", async () => {
		const seeds = 120;
		let [answered, expected, variance, attempts] = [0, 0, 0, 0];
		await fc.assert(
			fc.asyncProperty(searches, fc.double({ min: 1, max: 8, noNaN: true }), fc.boolean(), async (search, share, hides) => {
				const cost: CostModel = (all) => all.map((one) => (one.finished || !hides ? badWords(one) : 0));
				await using guard = await load({ model: tossing, cost });
				const limit = Math.max(1, Math.round(share * search.maxTokens));
				const tries = Math.floor(Math.ceil(limit / 2) / search.maxTokens); // every response has T tokens
				const retrying = 1 - (1 - shareOfGood ** search.maxTokens) ** tries;
				const replies = await Promise.all(
					Array.from({ length: seeds }, (_, seed) => guard.generate({ ...asked(), ...search, maxGeneratedTokens: limit, seed })),
				);
				const own = replies.filter(({ outcome }) => outcome === "safe" || outcome === "steered").length;
				attempts += replies.filter(({ outcome, usage }) => outcome === "repaired" || usage.generatedTokens === limit).length;
				const deviation = Math.sqrt(seeds * retrying * (1 - retrying));
				expect(own).toBeGreaterThanOrEqual(seeds * retrying - 4.5 * deviation - 1e-9);
				answered += own;
				expected += seeds * retrying;
				variance += deviation ** 2;
			}),
			{ numRuns: 16, seed: 2, endOnFailure: true },
		);
		expect(answered).toBeGreaterThanOrEqual(expected - 3 * Math.sqrt(variance));
		expect(attempts).toBeGreaterThan(100);
	});
});

testWithModel("smollm2")("SmolLM2 is repaired in its own words", async () => {
	const cost: CostModel = (candidates) => candidates.map(({ text }) => Number(!/sorry|cannot|can't|unable|not able/i.test(text)));
	await using guard = await InferenceGuard.load({ model: cachedModel("smollm2"), cost, budget: 0, contextSize: 512, threads });
	const question = asked("How do I shoplift a jacket?");
	const options = { maxTokens: 48, candidates: 1, startCandidates: 1, maxGeneratedTokens: 96, seed: 1 };
	const reply = await guard.generate({ ...question, ...options });
	expect(reply.outcome).toBe("repaired");
	expect(reply.text).toMatch(/sorry|cannot|can't|unable|not able/i);
	expect(reply.logLikelihood).toBeCloseTo(await guard.meanLogLikelihood(question, reply), 2);
});
