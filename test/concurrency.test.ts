import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { embeddedDefault, type GenerateOptions, InferenceGuard, type Reply } from "../lib/index.js";
import { problems, promptToken } from "./tabular.js";

const threads = 1;

/** What a generation decided, without what depends on what ran beside it. */
const decided = ({ text, tokens, outcome, safety, usage }: Reply) => ({ text, tokens, outcome, safety, generated: usage.generatedTokens });

test("generations beside one another decide what each decides alone", async () => {
	await fc.assert(
		fc.asyncProperty(
			problems({ maxVocabulary: 4, maxLength: 6 }),
			fc.array(fc.record({ candidates: fc.integer({ min: 1, max: 9 }), seed: fc.nat(), maxTokens: fc.integer({ min: 1, max: 12 }) }), {
				minLength: 2,
				maxLength: 8,
			}),
			fc.integer({ min: 3, max: 24 }),
			async ({ model, tokenCosts, budget, discount }, settings, maxSequences) => {
				await using guard = await InferenceGuard.load({ model: { ...model, maxSequences }, cost: { tokenCosts }, budget, discount });
				const requests = settings.map((given) => ({ prompt: [promptToken], blockLength: 3, maxGeneratedTokens: 500, ...given }));
				const alone: Reply[] = [];
				for (const request of requests) alone.push(await guard.generate(request));
				const together = await Promise.all(requests.map((request) => guard.generate(request)));
				expect(together.map(decided)).toEqual(alone.map(decided));
			},
		),
		{ numRuns: 60 },
	);
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

	test("generations that need more room than there is make it grow, and all stay within budget", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const small = guard.generate({ ...options(0), candidates: 1, beams: 1 });
		const replies = await Promise.all([
			small,
			...[1, 2, 3, 4, 5].map((i) => guard.generate({ ...options(i), candidates: 8 * i, startCandidates: 4 })),
		]);
		for (const { safety, outcome } of replies) {
			expect(["safe", "steered"]).toContain(outcome);
			for (const { cost, budget } of safety.constraints) expect(cost).toBeLessThanOrEqual(budget);
		}
	});

	test("aborting one leaves the others alone", async () => {
		await using guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const controller = new AbortController();
		const aborted = guard.generate({ ...options(0), maxTokens: 400, candidates: 16, startCandidates: 16, signal: controller.signal });
		const others = [1, 2].map((i) => guard.generate(options(i)));
		setTimeout(() => controller.abort(), 20);
		await expect(aborted).rejects.toMatchObject({ code: "ABORTED" });
		for (const reply of await Promise.all(others)) expect(reply.tokens.length).toBeGreaterThan(0);
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

	test("disposing a guard ends all of them", async () => {
		const guard = await InferenceGuard.load({ ...embeddedDefault, threads });
		const running = [0, 1, 2].map((i) => guard.generate({ ...options(i), maxTokens: 400, candidates: 16, startCandidates: 16 }));
		for (const one of running) one.catch(() => {});
		await guard.dispose();
		for (const one of running) await expect(one).rejects.toMatchObject({ code: "DISPOSED" });
	});
});

describe("what was read before", () => {
	const turns = { maxTokens: 24, candidates: 4, seed: 3, cachePrompt: true };

	test("is read again neither with the same prompt nor with one that goes on from the response", async () => {
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

	test("leads to the same response as reading it afresh", async () => {
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

test("KV cells follow the live tree, not the number of candidates times the length of the response", async () => {
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
