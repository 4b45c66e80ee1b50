import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { embeddedDefault, type GenerateOptions, InferenceGuard, type Reply } from "../lib/index.js";
import { inChild } from "./child.js";
import { problems, promptToken } from "./tabular.js";
import { smallModel, smallRecurrentModel, smallSlidingModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

const threads = 1;

/** What a generation decided, without what depends on what ran beside it. */
const decided = ({ text, tokens, outcome, safety, usage }: Reply) => ({ text, tokens, outcome, safety, generated: usage.generatedTokens });

const requests = fc
	.record({
		candidates: fc.integer({ min: 1, max: 9 }),
		strategy: fc.constantFrom("guard" as const, "bestOfNAugmented" as const),
		start: fc.double({ min: 0, max: 1, noNaN: true }),
		beams: fc.double({ min: 0, max: 1, noNaN: true }),
		retries: fc.integer({ min: 0, max: 2 }),
		maxTokens: fc.integer({ min: 1, max: 12 }),
		maxGeneratedTokens: fc.constantFrom(30, 500),
		seed: fc.nat(),
	})
	.map(({ start, beams, strategy, ...given }): GenerateOptions => {
		const upTo = (share: number) => 1 + Math.floor(share * (given.candidates - 1));
		const ofGuard = { strategy, startCandidates: upTo(start), beams: upTo(beams), blockLength: 3 };
		return { prompt: [promptToken], ...given, ...(strategy === "guard" ? ofGuard : { strategy }) };
	});

test("concurrent generations decide as each does alone, with any number of sequences", async () => {
	await fc.assert(
		fc.asyncProperty(
			problems({ maxVocabulary: 4, maxLength: 6 }),
			fc.array(requests, { minLength: 2, maxLength: 8 }),
			fc.integer({ min: 3, max: 24 }),
			async ({ model, tokenCosts, budget, discount }, settings, maxSequences) => {
				await using guard = await InferenceGuard.load({ model: { ...model, maxSequences }, cost: { tokenCosts }, budget, discount });
				await using ample = await InferenceGuard.load({ model, cost: { tokenCosts }, budget, discount });
				const alone: Reply[] = [];
				for (const request of settings) alone.push(await ample.generate(request));
				const together = await Promise.all(settings.map((request) => guard.generate(request)));
				expect(together.map(decided)).toEqual(alone.map(decided));
			},
		),
		{ numRuns: 80 },
	);
});

test("narrow generations leave the sequences of their widest block to others", async () => {
	const model = {
		pieces: ["a", "b"],
		logits: [
			[0, 0],
			[0, 0],
		],
	};
	const many = 24;
	let waiting = 0;
	let open = () => {};
	const all = new Promise<void>((resolve) => {
		open = resolve;
	});
	await using guard = await InferenceGuard.load({
		model,
		budget: 1,
		cost: async (candidates) => {
			waiting++;
			if (waiting === many) open();
			await all;
			return candidates.map(() => 0);
		},
	});
	const options = { prompt: [promptToken], candidates: 128, startCandidates: 1, beams: 2, maxTokens: 4, blockLength: 2 };
	await Promise.all(Array.from({ length: many }, (_, seed) => guard.generate({ ...options, seed })));
	expect(waiting).toBeGreaterThanOrEqual(many);
});

describe("on a real model", () => {
	const prompts = [
		"The old man opened the door and",
		"Once upon a time there was a king who",
		"The night was dark, and",
		"She looked at the letter and",
	];
	const options = (i: number): GenerateOptions => ({
		prompt: prompts[i % prompts.length] ?? "",
		seed: i,
		maxTokens: 48,
		candidates: 4,
		beams: 2,
	});

	test("a generation continues while others grow its cache, and all keep their budgets", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const prompt = [1, 300, 301, 302, 303, 304];
		const small = guard.stream({ ...options(0), prompt, candidates: 2, beams: 1, maxTokens: 200 });
		await small[Symbol.asyncIterator]().next(); // it has begun
		const others = await Promise.all(
			[1, 2, 3, 4, 5].map((i) => guard.generate({ ...options(i), candidates: 8 * i, startCandidates: 8 * i, maxTokens: 96 })),
		);
		const reply = await small.reply;
		for (const { safety, outcome } of [reply, ...others]) {
			expect(["safe", "steered", "refused"]).toContain(outcome);
			for (const { cost, budget } of safety.constraints) expect(cost).toBeLessThanOrEqual(budget);
		}
		await using alone = await InferenceGuard.load({ ...embeddedDefault, threads });
		const { usage } = await alone.generate({ ...options(0), prompt, candidates: 2, beams: 1, maxTokens: 200 });
		expect(reply.usage.kvCells.capacity).toBeGreaterThan(usage.kvCells.capacity);
		const decoded = [...reply.tokens, ...(reply.endToken === null ? [] : [reply.endToken])];
		const logLikelihoods = await alone.logLikelihoods(prompt, decoded);
		const mean = logLikelihoods.reduce((sum, value) => sum + value, 0) / decoded.length;
		expect(Math.abs(reply.logLikelihood - mean)).toBeLessThan(0.03); // half precision in the cache
	});

	test("a generation that fits into the rounded-up cache leaves it as it is", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const { usage } = await guard.generate({ ...options(0), candidates: 2, maxTokens: 8 });
		const fitting = { ...options(0), candidates: 2, beams: 1, maxTokens: Math.floor(usage.kvCells.capacity / 4) };
		expect(fitting.maxTokens).toBeGreaterThan(8);
		expect((await guard.generate(fitting)).usage.kvCells.capacity).toBe(usage.kvCells.capacity);
	});

	test("aborting one generation leaves the others alone", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const controller = new AbortController();
		const aborted = guard.generate({ ...options(0), maxTokens: 400, candidates: 16, startCandidates: 16, signal: controller.signal });
		const others = [1, 2].map((i) => guard.generate(options(i)));
		setTimeout(() => controller.abort(), 20);
		await expect(aborted).rejects.toMatchObject({ code: "ABORTED" });
		for (const reply of await Promise.all(others)) expect(reply.tokens.length).toBeGreaterThan(0);
	});

	test("a short generation does not wait for the end of another one's long prompt", async () => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder, { context: 8192 }), constraints: [], threads });
		const ended: string[] = [];
		const generation = (name: string, promptTokens: number, maxTokens: number) =>
			guard
				.generate({ prompt: Array.from({ length: promptTokens }, () => 300), strategy: "sample", maxTokens, seed: 1 })
				.then(() => ended.push(name));
		await Promise.all([generation("long", 8000, 1), generation("short", 1, 8)]);
		expect(ended).toEqual(["short", "long"]);
	});

	test("a generation whose cost function waits does not hold up the others", async () => {
		let open = () => {};
		const opened = new Promise<void>((resolve) => {
			open = resolve;
		});
		let asked = 0;
		await using guard = await InferenceGuard.load({
			model: embeddedDefault.model,
			threads,
			budget: 1,
			cost: async (candidates) => {
				if (asked++ === 0) await opened;
				return candidates.map(() => 0);
			},
		});
		const waiting = guard.generate(options(0));
		while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 1));
		const other = await guard.generate(options(1));
		expect(other.tokens.length).toBeGreaterThan(0);
		open();
		expect((await waiting).tokens.length).toBeGreaterThan(0);
	});

	test("a generation without memory fails alone, and smaller ones continue", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const small = { prompt: "The old man opened the door", maxTokens: 16, candidates: 1, beams: 1, cachePrompt: true };
		const before = await guard.generate({ ...small, seed: 1 });
		const memory = vi.spyOn(process, "availableMemory").mockReturnValue(1);
		const beside = guard.generate({ ...small, prompt: "Once upon a time", maxTokens: 8 });
		const large = guard.generate({ ...small, maxTokens: 200, candidates: 64, startCandidates: 64, beams: 16 });
		await expect(large).rejects.toMatchObject({ code: "KV_CAPACITY" });
		memory.mockRestore();
		await beside;
		expect(decided(await guard.generate({ ...small, seed: 1 }))).toEqual(decided(before));
	});

	// AddressSanitizer itself ends a process that reaches its limit
	test.skipIf(process.platform !== "linux" || process.env.ASAN_OPTIONS)(
		"a cache that could not grow is restored with its contents",
		async () => {
			const model = JSON.stringify(smallModel(folder, { context: 100_000 }));
			const { status, stdout, stderr } = await inChild(`
			import { readFileSync } from "node:fs";
			import { execFileSync } from "node:child_process";
			let open;
			const opened = new Promise((resolve) => { open = resolve; });
			let asked = 0;
			const cost = async (candidates) => {
				if (asked++ === 0) await opened;
				return candidates.map(() => 0);
			};
			const guard = await InferenceGuard.load({ model: ${model}, threads: 1, budget: 1, cost });
			const prompt = Array.from({ length: 40 }, (_, i) => 300 + i);
			const small = { prompt, maxTokens: 24, candidates: 2, startCandidates: 2, beams: 1, blockLength: 8, seed: 1 };
			const waiting = guard.generate(small);
			while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 1));
			process.availableMemory = () => 0; // unknown
			const size = Number(readFileSync("/proc/self/status", "utf8").match(/VmSize:\\s+(\\d+)/)[1]) * 1024;
			execFileSync("prlimit", ["--pid=" + process.pid, "--as=" + (size + 100 * 2 ** 20)]);
			const large = guard.generate({ ...small, maxTokens: 20_000, beams: 32, candidates: 64, blockLength: 20_000 }).catch((error) => error);
			setTimeout(open, 300); // meanwhile the cache has been tried to grow
			const { text } = await waiting;
			const { code, message } = await large;
			const again = await guard.generate(small);
			console.log(JSON.stringify({ code, message, same: again.text === text }));
			await guard.dispose();
		`);
			expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
			expect(JSON.parse(stdout)).toEqual({
				code: "KV_CAPACITY",
				message: expect.stringContaining("could not create a context"),
				same: true,
			});
		},
	);

	test("aborting ends the reading of a long prompt while another generation runs", async () => {
		await using guard = await InferenceGuard.load({ model: smallModel(folder, { context: 8192 }), constraints: [], threads });
		const read = (length: number, signal?: AbortSignal) =>
			guard.generate({
				prompt: Array.from({ length }, (_, i) => 300 + (i % 100)),
				strategy: "sample",
				maxTokens: 1,
				...(signal && { signal }),
			});
		const controller = new AbortController();
		const ended: string[] = [];
		const long = read(8000, controller.signal).catch(({ code }) => ended.push(code));
		const short = read(3000).then(({ outcome }) => ended.push(outcome));
		setTimeout(() => controller.abort(), 20);
		await Promise.all([long, short]);
		expect(ended).toEqual(["ABORTED", "unguarded"]);
	});

	test("disposing a guard ends all its generations", async () => {
		const guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const running = [0, 1, 2].map((i) => guard.generate({ ...options(i), maxTokens: 400, candidates: 16, startCandidates: 16 }));
		for (const one of running) one.catch(() => {});
		await guard.dispose();
		for (const one of running) await expect(one).rejects.toMatchObject({ code: "DISPOSED" });
	});
});

test("aborting any of many generations at any moment lets the others finish", async () => {
	await fc.assert(
		fc.asyncProperty(
			problems(),
			fc.array(fc.option(fc.nat({ max: 8 }), { nil: undefined }), { minLength: 4, maxLength: 40 }),
			async ({ model, tokenCosts, budget }, aborts) => {
				await using guard = await InferenceGuard.load({ model, cost: { tokenCosts }, budget });
				const ends = aborts.map(async (turns, i) => {
					const controller = new AbortController();
					const end = guard.generate({ prompt: [promptToken], seed: i, maxTokens: 20, blockLength: 3, signal: controller.signal }).then(
						() => "done",
						({ code }) => code,
					);
					for (let turn = 0; turn < (turns ?? 0); turn++) await new Promise((resolve) => setImmediate(resolve));
					if (turns !== undefined) controller.abort();
					return await end;
				});
				for (const [i, end] of (await Promise.all(ends)).entries()) {
					expect(aborts[i] === undefined ? ["done"] : ["done", "ABORTED"]).toContain(end);
				}
			},
		),
		{ numRuns: 60 },
	);
});

test.each([
	["of attention", smallModel],
	["that is recurrent", smallRecurrentModel],
])("a generation aborted at any moment leaves nothing behind in a model %s", async (_, make) => {
	await using guard = await InferenceGuard.load({ model: make(folder), constraints: [], threads: 2 });
	const options: GenerateOptions = { prompt: Array.from({ length: 150 }, (_, i) => 300 + i), strategy: "beam", maxTokens: 24, seed: 1 };
	const expected = decided(await guard.generate(options));
	let aborted = 0;
	for (let turns = 0; turns < 40; turns++) {
		const controller = new AbortController();
		const generation = guard.generate({ ...options, signal: controller.signal }).then(decided, ({ code }) => code);
		for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
		controller.abort();
		const end = await generation; // a fast machine may have ended it
		if (end === "ABORTED") aborted++;
		else expect(end).toEqual(expected);
		expect(decided(await guard.generate(options))).toEqual(expected);
	}
	expect(aborted).toBeGreaterThan(0);
});

describe("what was read before", () => {
	const turns = { maxTokens: 24, candidates: 4, seed: 3, cachePrompt: true };

	test("a cached prompt is reused, also for a prompt that continues its response", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const prompt = [1, 300, 301, 302, 303, 304];
		const first = await guard.generate({ prompt, ...turns });
		expect(first.usage.cachedPromptTokens).toBe(0);
		const longer = [...prompt, ...first.tokens, 305, 306];
		const second = await guard.generate({ prompt: longer, ...turns });
		expect(second.usage.cachedPromptTokens).toBeGreaterThanOrEqual(prompt.length + first.tokens.length - 1);
		const again = await guard.generate({ prompt: longer, ...turns });
		expect(again.usage.cachedPromptTokens).toBe(longer.length - 1);
		expect(again.text).toBe(second.text);
	});

	test("a cached prompt is read again only from where the next prompt differs", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const shared = [1, ...Array.from({ length: 49 }, (_, i) => 300 + i)];
		await guard.generate({ prompt: [...shared, 400, 401, 402], ...turns });
		const prompt = [...shared, 500, 501, 502];
		const second = await guard.generate({ prompt, ...turns });
		expect(second.usage.cachedPromptTokens).toBe(shared.length);
		expect(decided(second)).toEqual(decided(await guard.generate({ prompt, ...turns, cachePrompt: false })));
	});

	test("a seeded generation, or cachePrompt: false, neither keeps nor reuses a prompt", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const options = { prompt: [1, 300, 301, 302, 303, 304], maxTokens: 4, candidates: 1 };
		const cached = async (more: object) => (await guard.generate({ ...options, ...more })).usage.cachedPromptTokens;
		expect(await cached({ cachePrompt: false })).toBe(0);
		expect(await cached({ seed: 1 })).toBe(0);
		expect(await cached({})).toBe(0);
		expect(await cached({})).toBe(options.prompt.length - 1);
		expect(await cached({ cachePrompt: false })).toBe(0);
		expect(await cached({ seed: 1 })).toBe(0);
	});

	test("a cached prompt leads to the same response where the model's windows slide", async () => {
		const model = smallSlidingModel(folder);
		const tokens = (from: number, length: number) => Array.from({ length }, (_, i) => 300 + ((from + i * 7) % 200));
		const options = { maxTokens: 24, candidates: 8, startCandidates: 8, beams: 2, blockLength: 8, seed: 3, retries: 1, cachePrompt: true };
		await using guard = await InferenceGuard.load({ model, constraints: [], threads });
		await using fresh = await InferenceGuard.load({ model, constraints: [], threads });
		const first = [...tokens(0, 60), ...tokens(9, 40)];
		await guard.generate({ ...options, strategy: "bestOfN", prompt: first });
		await guard.generate({ ...options, strategy: "bestOfN", prompt: tokens(5, 300), candidates: 16, startCandidates: 16 });
		for (const prompt of [[...tokens(0, 60), ...tokens(100, 20)], tokens(0, 30)]) {
			const again = await guard.generate({ ...options, strategy: "beam", prompt });
			expect(decided(again)).toEqual(decided(await fresh.generate({ ...options, strategy: "beam", prompt, cachePrompt: false })));
		}
	});

	test("a cached prompt needs no extra room for a prompt that begins with it", async () => {
		const prompt = Array.from({ length: 200 }, (_, i) => 300 + i);
		const options = { prompt, maxTokens: 16, candidates: 1, beams: 1, cachePrompt: true };
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads, kvCells: 300 });
		await guard.generate(options);
		const { usage } = await guard.generate(options);
		expect(usage.cachedPromptTokens).toBe(prompt.length - 1);
	});

	test("a cached prompt leads to the same response as reading it afresh", async () => {
		await fc.assert(
			fc.asyncProperty(problems({ maxVocabulary: 4, maxLength: 6 }), fc.nat(), async ({ model, tokenCosts, budget }, seed) => {
				const load = { model, cost: { tokenCosts }, budget };
				const options = { ...turns, seed, blockLength: 4, maxGeneratedTokens: 300 };
				await using guard = await InferenceGuard.load(load);
				const first = await guard.generate({ prompt: [promptToken], ...options });
				const prompt = [promptToken, ...first.tokens, promptToken];
				const second = await guard.generate({ prompt, ...options });
				await using fresh = await InferenceGuard.load(load);
				expect(decided(second)).toEqual(decided(await fresh.generate({ prompt, ...options })));
			}),
			{ numRuns: 40 },
		);
	});
});

test("KV cells are allotted by the live tree, not by candidates times length", async () => {
	await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
	const [candidates, beams, blockLength, maxTokens] = [16, 2, 8, 96];
	const { usage } = await guard.generate({
		prompt: "The old man",
		candidates,
		startCandidates: candidates,
		beams,
		blockLength,
		maxTokens,
		seed: 1,
	});
	const liveTree = usage.promptTokens + beams * maxTokens + candidates * blockLength;
	expect(usage.kvCells.peak).toBeLessThanOrEqual(liveTree);
	expect(usage.kvCells.capacity).toBeGreaterThanOrEqual(usage.kvCells.peak);
	expect(usage.kvCells.capacity).toBeLessThan(usage.promptTokens + candidates * maxTokens);
});

test.each([
	["whose window slides", smallSlidingModel],
	["that is recurrent", smallRecurrentModel],
])("a model %s reads a prompt once, however often its response restarts", async (_, make) => {
	await using guard = await InferenceGuard.load({
		model: make(folder, 4096),
		threads: 1,
		cost: async (texts) => texts.map(() => 1),
		budget: 0.5,
	});
	const prompt = Array.from({ length: 3000 }, (_, i) => 300 + (i % 100));
	const search = { candidates: 2, beams: 1, blockLength: 2, retries: 30, diversityPenalty: 1 };
	const options: GenerateOptions = { ...search, prompt, maxTokens: 2, maxGeneratedTokens: 1000, seed: 1 };
	const { outcome, safety, timings } = await guard.generate(options);
	expect(outcome).toBe("refused");
	expect(safety.rounds).toBeGreaterThan(20);
	expect(timings.decode).toBeLessThan(20 * timings.prefill); // a hundred times and more where each round reads it again
});

test("a recurrent model with split steps gives the same rows to one thread and several", async () => {
	const model = smallRecurrentModel(folder);
	const options = { prompt: [300, 301], strategy: "beam", candidates: 6, beams: 3, blockLength: 2, maxTokens: 12, seed: 1 } as const;
	await using one = await InferenceGuard.load({ model, constraints: [], threads: 1 });
	await using two = await InferenceGuard.load({ model, constraints: [], threads: 2 });
	const expected = await one.generate(options);
	for (let i = 0; i < 4; i++) expect(decided(await two.generate(options))).toEqual(decided(expected));
});
