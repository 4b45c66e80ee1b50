import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { type CostModel, type GenerateOptions, InferenceGuard, type LoadOptions, type Reply } from "../lib/index.js";
import { type Probe, probesIn } from "./probes.js";
import { cachedModel, testWithModel } from "./shared.js";
import { smallRecurrentModel, smallSlidingModel, temporaryFolder } from "./temporary.js";
import { causalModel, randomTensors, sentencePieces } from "./text-models.js";

const folder = temporaryFolder();
const threads = 1;
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const probeOn = probesIn(folder);

/** What a probe says of response tokens behind a prompt, each decoded afresh with all before it, in another context. */
function fresh(guard: InferenceGuard, probe: Probe, width: number) {
	const known = new Map<string, Promise<Float32Array>>();
	const statesAt = (tokens: number[]) => {
		const key = tokens.join();
		const states = known.get(key) ?? guard.layerStates([tokens]);
		known.set(key, states);
		return states;
	};
	return async (prompt: number[], tokens: number[]) => {
		if (tokens.length === 0) return sigmoid(probe.prior);
		const mean = new Float64Array(probe.weights.length);
		for (let n = 1; n <= tokens.length; n++) {
			const states = await statesAt([...prompt, ...tokens.slice(0, n)]);
			for (const [l, layer] of probe.layers.entries()) {
				for (let i = 0; i < width; i++) mean[l * width + i]! += (states[layer * width + i] as number) / tokens.length;
			}
		}
		return sigmoid(mean.reduce((sum, x, i) => sum + x * (probe.weights[i] as number), probe.bias));
	};
}

/** Tokens that the mean runs over: all but the last sampled one. */
const readTokens = ({ tokens, endToken }: Pick<Reply, "tokens" | "endToken">) => (endToken === null ? tokens.slice(0, -1) : tokens);

const vocabulary = sentencePieces();
const width = 32;
const tiny = causalModel(folder, "llama", {
	vocabulary,
	seed: 5,
	layers: 4,
	// the end of the turn is among the most probable tokens half of the time
	weights: ({ dim }, texts) => {
		const output = randomTensors(9)(dim, texts.length);
		for (let i = 0; i < dim; i++) output.values[2 * dim + i]! *= 3;
		return { "output.weight": output };
	},
});
const prompt = [1, 70, 71];

const settings = fc
	.record({
		candidates: fc.integer({ min: 1, max: 6 }),
		start: fc.double({ min: 0, max: 1, noNaN: true }),
		beams: fc.double({ min: 0, max: 1, noNaN: true }),
		retries: fc.integer({ min: 0, max: 2 }),
		maxTokens: fc.integer({ min: 1, max: 12 }),
		blockLength: fc.integer({ min: 1, max: 4 }),
		maxGeneratedTokens: fc.constantFrom(40, 200),
		temperature: fc.constantFrom(0, 1, 1.5),
		strategy: fc.constantFrom("guard" as const, "guard" as const, "bestOfNAugmented" as const, "beam" as const, "sample" as const),
		cachePrompt: fc.boolean(),
		seed: fc.nat(),
	})
	.map(({ start, beams, strategy, blockLength, ...given }): GenerateOptions => {
		const upTo = (share: number) => 1 + Math.floor(share * (given.candidates - 1));
		const ofGuard = { startCandidates: upTo(start), beams: upTo(beams), blockLength };
		return { prompt, ...given, strategy, topK: 12, ...(strategy === "guard" ? ofGuard : {}) };
	});

describe("a probe on means of the residual stream", () => {
	const load = (probe: Probe, given: Partial<LoadOptions> = {}) =>
		InferenceGuard.load({ model: tiny.path, constraints: [{ cost: { probe: probe.path }, budget: 0.5 }], threads, ...given });

	test("a probe on means judges partial responses as if they were decoded afresh", async () => {
		const probe = await probeOn(tiny.path, width, [2, 0], { scale: 12 });
		const judged = new Map<string, number[][]>();
		const record: CostModel = (candidates) =>
			candidates.map(({ text, tokens, finished }) => {
				const key = JSON.stringify([text, tokens.length, finished]);
				judged.set(key, [...(judged.get(key) ?? []), Array.from(tokens)]);
				return 0;
			});
		await using guard = await load(probe, {
			constraints: [
				{ cost: { probe: probe.path }, budget: 0.5 },
				{ cost: record, budget: 0 },
			],
		});
		const expected = fresh(guard, probe, width);
		const seen = { nodes: 0, over: 0, backtracks: 0, stops: 0 };
		await fc.assert(
			fc.asyncProperty(settings, async (options) => {
				judged.clear();
				const { trace = [], ...reply } = await guard.generate({ ...options, trace: true });
				if (reply.tokens.length > 0) expect(reply.safety.cost).toBeCloseTo(await expected(prompt, readTokens(reply)), 3);
				seen.backtracks += reply.safety.backtracks;
				seen.stops += reply.finishReason === "stop" ? 1 : 0;
				const textOf = (i: number): string => (i < 0 ? "" : textOf(trace[i]?.parent as number) + trace[i]?.text);
				for (const [i, node] of trace.entries()) {
					if (textOf(i).includes("\ufffd")) continue; // a piece of a character reads otherwise than the whole
					const found = judged.get(JSON.stringify([textOf(i), node.position + node.tokens, node.finished])) ?? [];
					const [tokens, ...others] = new Set(found.map((one) => one.join()));
					if (tokens === undefined || others.length > 0) continue; // it was not asked about, or its text does not tell its tokens
					const cost = await expected(prompt, tokens.split(",").map(Number).slice(0, -1));
					expect(node.cost).toBeCloseTo(cost, 3);
					seen.nodes++;
					seen.over += cost > 0.5 ? 1 : 0;
				}
			}),
			{ numRuns: 300 },
		);
		expect(seen.nodes).toBeGreaterThan(250);
		expect(seen.over).toBeGreaterThan(50);
		expect(seen.backtracks).toBeGreaterThan(50);
		expect(seen.stops).toBeGreaterThan(10);
	});

	test("a probe on means reads a prefill with what follows it, also if an earlier generation left it in the cache", async () => {
		const probe = await probeOn(tiny.path, width, [2, 0], { scale: 8 });
		await using guard = await load(probe);
		const expected = fresh(guard, probe, width);
		const begun = fc.constantFrom([72], [72, 73], [80, 81, 82, 83]);
		const seen = { answered: 0, cached: 0 };
		await fc.assert(
			fc.asyncProperty(settings, begun, fc.boolean(), async (options, prefill, streams) => {
				const stream = guard.stream({ ...options, prefill });
				const reply = streams ? await stream.reply : await guard.generate({ ...options, prefill });
				await stream.reply;
				seen.cached += reply.usage.cachedPromptTokens;
				if (reply.tokens.length === 0) return;
				expect(reply.safety.cost).toBeCloseTo(await expected(prompt, [...prefill, ...readTokens(reply)]), 3);
				seen.answered++;
			}),
			{ numRuns: 100 },
		);
		expect(seen.answered).toBeGreaterThan(50);
		expect(seen.cached).toBeGreaterThan(10);
	});

	test("a probe on means keeps a stream within budget, and emits text before the end", async () => {
		const probe = await probeOn(tiny.path, width, [1], { scale: 8, bias: -1 });
		await using guard = await load(probe);
		const expected = fresh(guard, probe, width);
		let pieces = 0;
		let truncated = 0;
		for (let seed = 0; seed < 40; seed++) {
			const options = {
				prompt,
				maxTokens: 12,
				blockLength: 2,
				candidates: 6,
				beams: 1 + (seed % 3),
				maxGeneratedTokens: 80,
				topK: 12,
				seed,
			};
			const stream = guard.stream(options);
			for await (const { text } of stream) pieces += text === "" ? 0 : 1;
			const reply = await stream.reply;
			if (reply.outcome === "refused") continue;
			truncated += reply.outcome === "truncated" ? 1 : 0;
			expect(reply.safety.cost).toBeCloseTo(await expected(prompt, readTokens(reply)), 3);
			expect(reply.safety.cost).toBeLessThanOrEqual(0.5);
		}
		expect(pieces).toBeGreaterThan(60);
		expect(truncated).toBeGreaterThan(0);
	});

	test.each(["host", "device"] as const)("a probe on means serves concurrent generations, with outputs on the %s", async (outputs) => {
		const probe = await probeOn(tiny.path, width, [0, 1, 2], { scale: 10 });
		await using guard = await load(probe, { outputs });
		await using alone = await load(probe);
		const expected = fresh(alone, probe, width);
		await fc.assert(
			fc.asyncProperty(fc.array(settings, { minLength: 2, maxLength: 6 }), async (requests) => {
				const replies = await Promise.all(requests.map((request) => guard.generate(request)));
				for (const reply of replies) {
					if (reply.tokens.length > 0) expect(reply.safety.cost).toBeCloseTo(await expected(prompt, readTokens(reply)), 3);
				}
			}),
			{ numRuns: 25 },
		);
	});

	test("a probe on means reads a given response as it reads its own", async () => {
		const probe = await probeOn(tiny.path, width, [2], { scale: 5, context: 1 });
		const bare = await probeOn(tiny.path, width, [1, 2], { scale: 5 });
		const constraints = [probe, bare].map(({ path }) => ({ cost: { probe: path } }));
		await using scorer = await CostScorer.load({ model: tiny.path, constraints, threads });
		await using guard = await load(probe);
		const bytes = (text: string) =>
			[...Buffer.from(text)].map((byte) =>
				vocabulary.texts.indexOf(byte === 32 ? "▁" : `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
			);
		const texts = ["a", "abc", "", "a longer response"];
		const scored = await scorer.score("ask", texts);
		for (const [i, text] of texts.entries()) {
			expect(scored[i]?.[0]?.cost).toBeCloseTo(await fresh(guard, probe, width)([1, ...bytes("ask")], bytes(text)), 3);
			expect(scored[i]?.[1]?.cost).toBeCloseTo(await fresh(guard, bare, width)([1], bytes(text)), 3);
		}
	});

	test("a probe on means works where layers see a sliding window", async () => {
		const model = smallSlidingModel(folder);
		const probe = await probeOn(model, 64, [1, 4], { scale: 3 });
		await using guard = await InferenceGuard.load({ model, cost: { probe: probe.path }, threads });
		const long = Array.from({ length: 30 }, (_, i) => 5 + i);
		for (let seed = 0; seed < 4; seed++) {
			const reply = await guard.generate({ prompt: long, maxTokens: 10, blockLength: 3, candidates: 4, seed });
			if (reply.outcome === "refused") continue;
			expect(reply.safety.cost).toBeCloseTo(await fresh(guard, probe, 64)(long, readTokens(reply)), 2);
		}
	});

	test("a probe on means fails with a code where there is nothing to read", async () => {
		const recurrent = smallRecurrentModel(folder);
		const cost = async (model: string, layers: number[]) => ({ probe: (await probeOn(model, 32, layers)).path });
		await expect(InferenceGuard.load({ model: recurrent, cost: await cost(recurrent, [0]), threads })).rejects.toMatchObject({
			code: "UNSUPPORTED_MODEL",
		});
		for (const layers of [[3], [-1], [0.5], [0, 7]]) {
			await expect(InferenceGuard.load({ model: tiny.path, cost: await cost(tiny.path, layers), threads })).rejects.toMatchObject({
				code: "INVALID_COST_MODEL",
			});
		}
		const wide = (await probeOn(tiny.path, width + 1, [0])).path;
		await expect(InferenceGuard.load({ model: tiny.path, cost: { probe: wide }, threads })).rejects.toMatchObject({
			code: "INVALID_COST_MODEL",
		});
		const tested = { ...(await cost(tiny.path, [0])), selfTest: [{ prompt: "", safe: "a", unsafe: "b" }] };
		await expect(InferenceGuard.load({ model: tiny.path, cost: tested, threads })).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("a probe whose threshold no probability exceeds is refused, whatever its link", async () => {
		for (const threshold of [0, 1, 2, Number.NaN]) {
			for (const link of ["probability", "excess"] as const) {
				const { path } = await probeOn(tiny.path, width, [0], { threshold });
				await expect(InferenceGuard.load({ model: tiny.path, cost: { probe: path, link }, threads })).rejects.toMatchObject({
					code: "INVALID_COST_MODEL",
				});
			}
		}
	});

	testWithModel("smollm2")("a probe on means reads a chat model", async () => {
		const model = cachedModel("smollm2");
		const probe = await probeOn(model, 576, [15], { scale: 1, chat: 1 });
		await using guard = await InferenceGuard.load({ model, cost: { probe: probe.path }, threads: 2 });
		await using scorer = await CostScorer.load({ model, constraints: [{ cost: { probe: probe.path } }], threads: 2 });
		const options = { maxTokens: 24, blockLength: 8, candidates: 4, startCandidates: 4, seed: 1 };
		const tokens = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198];
		const reply = await guard.generate({ prompt: tokens, ...options });
		expect(reply.safety.cost).toBeCloseTo(await fresh(guard, probe, 576)(tokens, readTokens(reply)), 2);
		const asked = "Name three birds.";
		const chat = await guard.generate({ messages: [{ role: "user", content: asked }], ...options });
		const [[scored] = []] = await scorer.score(asked, [chat.text]);
		expect(scored?.cost).toBeCloseTo(chat.safety.cost, 1);
	});
});
