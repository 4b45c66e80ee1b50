import { describe, expect, test } from "vitest";
import { type Candidate, InferenceGuard, type LoadOptions, type ScoreFunction } from "../lib/index.js";

const model = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }; // biome-ignore format: a table
const countB: ScoreFunction = (candidates) => candidates.map(({ text }) => text.split("b").length - 1);
const prompt = [0];

async function withGuard<T>(load: Partial<LoadOptions>, use: (guard: InferenceGuard) => Promise<T>): Promise<T> {
	await using guard = await InferenceGuard.load({ model, ...load } as LoadOptions);
	return await use(guard);
}

describe("a cost function", () => {
	test("a cost function is called once per block and keeps the response within budget", async () => {
		const calls: Candidate[][] = [];
		const cost: ScoreFunction = (candidates) => {
			calls.push([...candidates]);
			return countB(candidates);
		};
		await withGuard({ cost }, async (guard) => {
			const reply = await guard.generate({ prompt, candidates: 32, startCandidates: 32, blockLength: 2, maxTokens: 4, seed: 1 });
			expect(reply).toMatchObject({ text: "aaaa", outcome: "steered", safety: { cost: 0, rounds: 2 } });
			expect(calls.map((call) => call.length)).toEqual([32, 32, 1]); // two blocks, and the answer once more
			expect(calls[0]?.every(({ finished, tokens, text }) => !finished && tokens.length === 2 && text.length === 2)).toBe(true);
			expect(calls[1]?.every(({ finished }) => finished)).toBe(true);
		});
	});

	test("a cost function charges the whole text at the last token", async () => {
		await withGuard({ cost: countB, budget: 4 }, async (guard) => {
			const reply = await guard.generate({ prompt, strategy: "sample", maxTokens: 4, seed: 3 });
			const cost = reply.text.split("b").length - 1;
			expect(reply.safety.z).toEqual([4, 4, 4, 4, 4 - cost]);
		});
	});

	test("a cost function may be asynchronous, and return any array of numbers", async () => {
		for (const wrap of [Float32Array.from, Float64Array.from, Array.from] as ((values: ArrayLike<number>) => ArrayLike<number>)[]) {
			const cost: ScoreFunction = async (candidates) =>
				wrap.call(wrap === Array.from ? Array : wrap === Float32Array.from ? Float32Array : Float64Array, await countB(candidates));
			const reply = await withGuard({ cost }, (guard) => guard.generate({ prompt, maxTokens: 4, seed: 1, candidates: 32 }));
			expect(reply.text).toBe("aaaa");
		}
	});

	test("a cost function limits streaming to texts that it accepts as they stand", async () => {
		const forbidden = (text: string) => text === "a" || text === "aa"; // accepted again once it is longer
		const cost: ScoreFunction = (candidates) =>
			candidates.map(({ text, finished }) => (!finished && forbidden(text) ? 0.5 : text.includes("b") ? 1 : 0));
		await withGuard({ cost, budget: 0.4 }, async (guard) => {
			const stream = guard.stream({ prompt, candidates: 1, beams: 1, blockLength: 3, maxTokens: 6, seed: 1, maxGeneratedTokens: 2000 });
			const pieces: string[] = [];
			for await (const { text } of stream) pieces.push(text);
			expect(pieces).toEqual(["aaa", "aaa"]);
		});
	});
});

test("a streamed text is judged as a finished text, not by its estimate", async () => {
	const cost: ScoreFunction = (candidates) => candidates.map(({ text, finished }) => (finished && text.includes("b") ? 1 : 0));
	await withGuard({ cost }, async (guard) => {
		for (let seed = 0; seed < 10; seed++) {
			const stream = guard.stream({ prompt, candidates: 4, beams: 1, blockLength: 2, maxTokens: 6, seed, maxGeneratedTokens: 60 });
			for await (const { text } of stream) expect(text).not.toContain("b");
			expect((await stream.reply).text).not.toContain("b");
		}
	});
});

test("an answer that fails the last check of the cost function is not returned", async () => {
	let asked = 0;
	const cost: ScoreFunction = (candidates) => candidates.map(() => (candidates.length === 1 && ++asked === 1 ? 1 : 0));
	await withGuard({ cost }, async (guard) => {
		const reply = await guard.generate({ prompt, candidates: 4, startCandidates: 4, beams: 1, maxTokens: 2, blockLength: 2, seed: 1 });
		expect(asked).toBe(2); // the first answer and its replacement
		expect(reply.outcome).toBe("steered");
	});
});

test("a cost function that accepts prefixes and rejects all answers truncates a stream", async () => {
	let singles = 0;
	const cost: ScoreFunction = (candidates) => candidates.map(() => (candidates.length === 1 && ++singles > 1 ? 1 : 0));
	await withGuard({ cost }, async (guard) => {
		const stream = guard.stream({
			prompt,
			candidates: 4,
			startCandidates: 4,
			beams: 1,
			maxTokens: 4,
			blockLength: 2,
			seed: 1,
			maxGeneratedTokens: 200,
		});
		let streamed = "";
		for await (const { text } of stream) streamed += text;
		const reply = await stream.reply;
		expect(reply).toMatchObject({ outcome: "truncated", text: streamed, finishReason: "safety" });
		expect(streamed).toHaveLength(2);
	});
});

test("costs are compared in double precision", async () => {
	const exactly =
		(value: number): ScoreFunction =>
		(candidates) =>
			candidates.map(() => value);
	const options = { prompt, candidates: 2, maxTokens: 2, maxGeneratedTokens: 20 };
	await withGuard({ cost: exactly(0.1), budget: 0.1 }, async (guard) => {
		expect(await guard.generate(options)).toMatchObject({ outcome: "safe", safety: { cost: 0.1 } });
	});
	await withGuard({ cost: exactly(0.70000001), budget: 0.7 }, async (guard) => {
		expect((await guard.generate(options)).outcome).toBe("refused");
	});
});

test("the Lagrangian and the cost objective price partial texts, over budget or not", async () => {
	const cheap = { prompt, strategy: "beam" as const, candidates: 16, blockLength: 2, maxTokens: 4, seed: 1, lambda: 5 };
	const reward: ScoreFunction = (candidates) => candidates.map(({ text }) => 0.1 * (text.split("b").length - 1));
	await withGuard({ cost: countB, budget: 0.5, reward }, async (guard) => {
		expect((await guard.generate({ ...cheap, objective: "lagrangian" })).text).toBe("aaaa");
		expect((await guard.generate({ ...cheap, objective: "cost" })).text).toBe("aaaa");
	});
});

test("a cost function that waits for its own guard gets an error, not a deadlock", async () => {
	const guard = await InferenceGuard.load({ model, cost: async () => [(await guard.generate({ prompt })).text.length] });
	await expect(guard.generate({ prompt, candidates: 1 })).rejects.toMatchObject({
		code: "CALLBACK_FAILED",
		cause: { code: "INVALID_OPTION" },
	});
	await guard.dispose();
});

test("a task that a cost function leaves running may generate after the search", async () => {
	let later: Promise<string> | undefined;
	const cost: ScoreFunction = (candidates) => {
		later ??= new Promise((resolve) => setTimeout(() => resolve(guard.generate({ prompt, maxTokens: 2 }).then(({ text }) => text)), 50));
		return candidates.map(() => 0);
	};
	const guard = await InferenceGuard.load({ model, cost });
	await guard.generate({ prompt, maxTokens: 2, candidates: 1 });
	expect(await later).toHaveLength(2);
	await guard.dispose();
});

test("a function may change the array of candidates that it gets", async () => {
	const wrecks: ScoreFunction[] = [
		(candidates) => {
			const costs = candidates.map(({ text }) => text.split("b").length - 1);
			(candidates as Candidate[]).length = 0;
			return costs;
		},
		(candidates) => {
			const costs = candidates.map(({ text }) => text.split("b").length - 1);
			for (const candidate of candidates) {
				candidate.tokens.fill(1);
				Object.assign(candidate, { text: "bbbb", finished: false });
			}
			(candidates as Candidate[]).push(...candidates);
			return costs;
		},
	];
	const options = { prompt, candidates: 32, startCandidates: 32, blockLength: 2, maxTokens: 4, seed: 1 };
	for (const cost of wrecks) {
		await withGuard({ cost, reward: cost }, async (guard) => {
			expect(await guard.generate(options)).toMatchObject({ text: "aaaa", tokens: [0, 0, 0, 0], safety: { cost: 0 } });
		});
		await withGuard({ cost: { tokenCosts: [0, 1] }, reward: cost }, async (guard) => {
			expect((await guard.generate(options)).text).toBe("aaaa");
		});
	}
});

test("a reward function chooses among the responses within budget", async () => {
	const reward: ScoreFunction = (candidates) => candidates.map(({ text }) => (text.startsWith("b") ? 10 : 0) + text.split("a").length - 1);
	const reply = await withGuard({ cost: { tokenCosts: [0, 1] }, budget: 1, reward }, (guard) =>
		guard.generate({ prompt, maxTokens: 4, candidates: 64, startCandidates: 64, seed: 1 }),
	);
	expect(reply).toMatchObject({ text: "baaa", reward: 13 });
});

describe("a function that misbehaves ends the generation with a coded error, and the guard lives on", () => {
	const cause = new Error("out of order");
	const broken: [string, unknown, RegExp][] = [
		["throws", () => { throw cause; }, /out of order/],
		["throws null", () => { throw null; }, /null/],
		["throws undefined", () => { throw undefined; }, /undefined/],
		["rejects", () => Promise.reject(cause), /out of order/],
		["returns nothing", () => undefined, /undefined/],
		["returns null", () => null, /null/],
		["returns a number", () => 3, /number/],
		["returns too few", () => [], /got 0/],
		["returns too many", () => new Float32Array(99), /got 99/],
		["returns NaN", (all: unknown[]) => all.map(() => Number.NaN), /NaN/],
		["returns infinity", (all: unknown[]) => all.map(() => Number.POSITIVE_INFINITY), /Infinity/],
		["returns strings", (all: unknown[]) => all.map(() => "x"), /'x' for candidate 0/],
		["returns numbers as text", (all: unknown[]) => all.map(() => "0.5"), /'0.5' for candidate 0/],
		["returns empty texts", (all: unknown[]) => all.map(() => ""), /'' for candidate 0/],
		["returns nulls", (all: unknown[]) => all.map(() => null), /null for candidate 0/],
		["returns a hole", (all: unknown[]) => new Array(all.length), /undefined for candidate 0/],
		["returns false", (all: unknown[]) => all.map(() => false), /false for candidate 0/],
		["returns true", (all: unknown[]) => all.map(() => true), /true for candidate 0/],
		["returns arrays", (all: unknown[]) => all.map(() => []), /\[\] for candidate 0/],
		["returns arrays of one number", (all: unknown[]) => all.map(() => [0.5]), /\[ 0.5 \] for candidate 0/],
		["returns numbers in objects", (all: unknown[]) => all.map(() => new Number(0.5)), /Number: 0.5/],
		["returns dates", (all: unknown[]) => all.map(() => new Date(0)), /1970/],
		["returns large integers", (all: unknown[]) => BigInt64Array.from(all, () => 1n), /1n for candidate 0/],
		["returns symbols", (all: unknown[]) => all.map(() => Symbol("s")), /Symbol\(s\) for candidate 0/],
		["returns promises", (all: unknown[]) => all.map(async () => 0), /Promise .*for candidate 0/],
		["returns a text", (all: unknown[]) => "0".repeat(all.length), /'0+'/],
		["returns a set", (all: unknown[]) => new Set(all.map((_, i) => i)), /Set/],
		["returns values that cannot be shown", (all: unknown[]) => all.map(() => ({ toString: null, [Symbol.toPrimitive]: () => { throw cause; } })), /for candidate 0/],
		["throws what cannot be shown", () => { throw Object.create(null); }, /function failed/],
		["empties the candidates, and returns nothing for them", (all: unknown[]) => { all.length = 0; return all; }, /got 0/],
	]; // biome-ignore format: a table

	test.each(broken.flatMap(([name, score, message]) => (["cost", "reward"] as const).map((kind) => [kind, name, score, message] as const)))(
		"a misbehaving %s function that %s ends the generation with a code",
		async (kind, _, score, message) => {
			let misbehaves = true;
			const sometimes: ScoreFunction = (all) => (misbehaves ? (score as ScoreFunction)(all) : all.map(() => 0));
			const load = kind === "cost" ? { cost: sometimes } : { cost: { tokenCosts: [0, 0] }, reward: sometimes };
			await withGuard(load, async (guard) => {
				const attempt = guard.generate({ prompt, maxTokens: 4 });
				await expect(attempt).rejects.toMatchObject({ code: "CALLBACK_FAILED" });
				await expect(attempt).rejects.toThrow(message);
				misbehaves = false;
				expect((await guard.generate({ prompt, maxTokens: 4 })).text).toHaveLength(4);
			});
		},
	);

	test("the error of a misbehaving function carries its cause", async () => {
		const cost: ScoreFunction = () => {
			throw cause;
		};
		await withGuard({ cost }, async (guard) => {
			await expect(guard.generate({ prompt })).rejects.toMatchObject({ cause });
		});
	});

	test("a function that never settles can be aborted, and dispose does not wait for it", async () => {
		const cost: ScoreFunction = () => new Promise(() => {});
		await withGuard({ cost }, async (guard) => {
			await expect(guard.generate({ prompt, signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
				code: "ABORTED",
				name: "AbortError",
			});
			const pending = guard.generate({ prompt });
			pending.catch(() => {});
			await guard.dispose();
			await expect(pending).rejects.toMatchObject({ code: "DISPOSED" });
		});
	});
});
