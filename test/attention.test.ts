import fc from "fast-check";
import { expect, test } from "vitest";
import { embeddedDefault, InferenceGuard, type Reply } from "../lib/index.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

const shapes = fc
	.record({
		kvHeads: fc.integer({ min: 1, max: 3 }),
		headsPerKey: fc.constantFrom(1, 2, 5, 20),
		headSize: fc.constantFrom(2, 6, 20, 64, 80),
	})
	.map(({ kvHeads, headsPerKey, headSize }) => {
		const heads = kvHeads * headsPerKey;
		return { heads, kvHeads, dim: heads * headSize, layers: 2, ffn: 64, sharpness: 6 };
	})
	.filter(({ dim }) => dim <= 800); // wider ones take their time for matrices

test("sequences decoded together get the same likelihoods as each gets alone", async () => {
	let [same, all, worst] = [0, 0, 0];
	await fc.assert(
		fc.asyncProperty(
			shapes,
			fc.array(fc.record({ from: fc.integer({ min: 280, max: 284 }), length: fc.integer({ min: 1, max: 150 }), seed: fc.nat() }), {
				minLength: 2,
				maxLength: 70,
			}),
			async (shape, sequences) => {
				await using guard = await InferenceGuard.load({ model: smallModel(folder, shape), constraints: [], threads: 2 });
				const request = ({ from, length, seed }: (typeof sequences)[number]) => ({
					prompt: Array.from({ length }, (_, i) => from + i),
					strategy: "sample" as const,
					maxTokens: 8,
					cachePrompt: true, // sequences whose prompts begin alike share cells
					seed,
				});
				const alone: Reply[] = [];
				for (const sequence of sequences) alone.push(await guard.generate(request(sequence)));
				const together = await Promise.all(sequences.map((sequence) => guard.generate(request(sequence))));
				for (const [i, { tokens, logLikelihood }] of alone.entries()) {
					all++;
					if (together[i]?.tokens.join() !== tokens.join()) continue;
					same++;
					worst = Math.max(worst, Math.abs((together[i]?.logLikelihood as number) - logLikelihood));
				}
			},
		),
		{ numRuns: 10 },
	);
	expect(same / all).toBeGreaterThan(0.8); // the others drew at the edge between two tokens
	expect(worst).toBeLessThan(0.03);
});

test("the same seed gives the same bits, wherever in the cache the sequences lie", async () => {
	await using guard = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
	const text = "Once upon a time there was a king who had a daughter and an old horse, and the winter was long and cold";
	await fc.assert(
		fc.asyncProperty(fc.constantFrom(4, 20, 70), fc.integer({ min: 5, max: text.length }), fc.nat(), async (candidates, length, seed) => {
			const options = {
				prompt: "The old man",
				candidates,
				startCandidates: candidates,
				beams: 2,
				maxTokens: 20,
				blockLength: 10,
				trace: true,
				seed,
			};
			const before = await guard.generate(options);
			await guard.generate({ prompt: text.slice(0, length), maxTokens: 10 }); // which is kept, and stands before what comes next
			expect((await guard.generate(options)).trace).toEqual(before.trace);
		}),
		{ numRuns: 6 },
	);
});
