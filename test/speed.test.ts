// Ratios within one run, with margins so wide that only a fault of another order crosses them; `npm run bench` measures.
import { afterAll, expect, test } from "vitest";
import { embeddedDefault, type GenerateOptions, InferenceGuard } from "../lib/index.js";

const guard = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
afterAll(() => guard.dispose());
const maxTokens = 48;

const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** Median over three turns of what `measure` says. */
async function medianOf(measure: (seed: number) => Promise<number>): Promise<number> {
	await measure(0);
	const values: number[] = [];
	for (let seed = 1; seed <= 3; seed++) values.push(await measure(seed));
	return median(values);
}

test("a token of the search takes about as long as a token of the bare engine", async () => {
	const width = { candidates: 16, startCandidates: 16 };
	const ratio = await medianOf(async (seed) => {
		const bare = (await guard.bareDecode(32, width.candidates, maxTokens)) / (width.candidates * maxTokens);
		const prompt = Array.from({ length: 32 }, (_, i) => 400 + i);
		const { timings, usage } = await guard.generate({ prompt, maxTokens, ...width, seed });
		return timings.total / 1000 / usage.generatedTokens / bare;
	});
	expect(ratio).toBeLessThan(4);
});

test("concurrent generations share the steps of the model", async () => {
	const options = (i: number): GenerateOptions => ({ prompt: [400 + i], strategy: "sample", maxTokens, seed: i });
	const timed = async (run: () => Promise<unknown>) => {
		const start = performance.now();
		await run();
		return performance.now() - start;
	};
	const ratio = await medianOf(async () => {
		const inTurn = await timed(async () => {
			for (let i = 0; i < 8; i++) await guard.generate(options(i));
		});
		return (await timed(() => Promise.all(Array.from({ length: 8 }, (_, i) => guard.generate(options(i)))))) / inTurn;
	});
	expect(ratio).toBeLessThan(0.9);
});
