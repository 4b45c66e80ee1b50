import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inLanes } from "../lib/data/lanes.js";
import {
	embeddedDefault,
	type GenerateOptions,
	InferenceGuard,
	type LoadOptions,
	type ScoreFunction,
	type SearchOptions,
	type TabularModel,
	type TraceNode,
} from "../lib/index.js";
import { collectRollouts, trainCritic } from "../lib/training/index.js";
import { readGguf } from "./gguf-reader.js";
import { constrainedOptimum, logProbabilities, type Outcome, type Problem, problems, promptToken, responses } from "./tabular.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const prompt = [promptToken];
const lambda = 0.7;
const loadOf = ({ model, tokenCosts, budget, discount }: Problem): LoadOptions => ({ model, cost: { tokenCosts }, budget, discount });

async function answer(problem: Problem, options: Partial<GenerateOptions>) {
	await using guard = await InferenceGuard.load(loadOf(problem));
	return await guard.generate({ prompt, maxTokens: problem.maxTokens, seed: 1, ...options } as GenerateOptions);
}

/** The response that a reply is, ending token included. */
const pathOf = (reply: { tokens: number[]; finishReason: string }, { model }: Problem) =>
	reply.finishReason === "stop" && model.ends.length > 0 ? [...reply.tokens, model.ends[0] as number] : reply.tokens;

/** Problems in which no two tokens are equally likely, so that a definition has one answer. */
const untied = (limits: Parameters<typeof problems>[0]) =>
	problems(limits).map((problem) => {
		const logits = problem.model.logits.map((row, i) => row.map((logit, j) => logit + 0.1 * Math.sin(97 * i + 13 * j + 1)));
		return { ...problem, model: { ...problem.model, logits } };
	});

type Objective = "reward" | "lagrangian" | "augmented" | "cost";

/** What a text is worth under an objective; -Infinity: out of the question. */
function worth(objective: Objective, { cost, reward, tokens }: Outcome, problem: Problem, finished: boolean): number {
	const gained = finished ? problem.discount ** tokens.length * reward : reward;
	if (objective === "reward") return gained;
	if (objective === "lagrangian") return gained - lambda * cost;
	if (objective === "cost") return -cost;
	return cost <= problem.budget + 1e-12 ? gained : Number.NEGATIVE_INFINITY;
}

/** A text with one more token. */
function extended(text: Outcome & { logLikelihood: number }, next: number, { model, tokenCosts, discount }: Problem) {
	const logP = logProbabilities(model.logits)[text.tokens.at(-1) ?? promptToken]?.[next] as number;
	const tokens = [...text.tokens, next];
	const logLikelihood = text.logLikelihood + logP;
	const cost = text.cost + discount ** text.tokens.length * (tokenCosts[next] as number);
	return { tokens, cost, logLikelihood, reward: logLikelihood / tokens.length, logP };
}

const empty = { tokens: [] as number[], cost: 0, reward: 0, logLikelihood: 0, logP: 0 };
const isFinished = ({ tokens }: { tokens: number[] }, { model, maxTokens }: Problem) =>
	tokens.length >= maxTokens || model.ends.includes(tokens.at(-1) ?? -1);

/**
 * Beam search over single tokens by definition: all continuations of all beams, the K best stay. Where none may be continued, the
 * best finished text that was not among the K.
 */
function beamSearch(problem: Problem, objective: Objective, width: number): number[] | undefined {
	let beams = [{ ...empty, score: 0 }];
	const reserves: typeof beams = [];
	while (beams.some((beam) => !isFinished(beam, problem))) {
		const pool = beams.flatMap((beam) => {
			if (isFinished(beam, problem)) return [beam];
			return problem.model.pieces.map((_, next) => {
				const text = extended(beam, next, problem);
				return { ...text, score: worth(objective, text, problem, isFinished(text, problem)) };
			});
		});
		const acceptable = pool.filter(({ score }) => score > Number.NEGATIVE_INFINITY).sort((a, b) => b.score - a.score);
		beams = acceptable.slice(0, width);
		reserves.push(...acceptable.slice(width).filter((text) => isFinished(text, problem)));
		if (beams.length === 0) return reserves.sort((a, b) => b.score - a.score)[0]?.tokens;
	}
	return beams[0]?.tokens;
}

/** ARGS by definition: the token with the largest log-probability + ω · objective among the k most probable. */
function argsSearch(problem: Problem, objective: Objective, k: number, omega: number): number[] {
	let text = empty;
	while (!isFinished(text, problem)) {
		const all = problem.model.pieces.map((_, next) => extended(text, next, problem)).sort((a, b) => b.logP - a.logP);
		const scored = all
			.slice(0, k)
			.map((one) => ({ one, score: one.logP + omega * worth(objective, one, problem, isFinished(one, problem)) }));
		text = scored.reduce((best, other) => (other.score > best.score ? other : best)).one;
	}
	return text.tokens;
}

describe("each method is its definition on tabular models", () => {
	test("best-of-N that drew every response returns the best one under each objective", async () => {
		const everything = { candidates: 1024, temperature: 100 as const };
		await fc.assert(
			fc.asyncProperty(problems({ maxLength: 3 }), async (problem) => {
				const all = responses(problem);
				for (const [strategy, objective] of [
					["bestOfN", "reward"],
					["bestOfNLagrangian", "lagrangian"],
				] as const) {
					const reply = await answer(problem, { strategy, lambda, ...everything });
					expect(reply.outcome).toBe("unguarded");
					const got = { tokens: pathOf(reply, problem), cost: reply.safety.cost, reward: reply.reward as number };
					const best = Math.max(...all.map((one) => worth(objective, one, problem, true)));
					expect(worth(objective, got, problem, true)).toBeCloseTo(best, 4);
				}
				const reply = await answer(problem, { strategy: "bestOfNAugmented", ...everything });
				const optimum = constrainedOptimum(problem);
				if (optimum === undefined) expect(reply.outcome).toBe("refused");
				else {
					const length = pathOf(reply, problem).length;
					expect(problem.discount ** length * (reply.reward as number)).toBeCloseTo(optimum, 4);
					expect(reply.safety.cost).toBeLessThanOrEqual(problem.budget);
				}
			}),
			{ numRuns: 40 },
		);
	});

	test("beam search over all tokens keeps the beams of its definition", async () => {
		const width = fc.integer({ min: 1, max: 5 });
		const rows = [
			["beam", "reward"],
			["beamLagrangian", "lagrangian"],
			["beamAugmented", "augmented"],
		] as const;
		await fc.assert(
			fc.asyncProperty(untied({ maxVocabulary: 4, maxLength: 5 }), width, async (problem, beams) => {
				for (const [strategy, objective] of rows) {
					const candidates = problem.model.pieces.length * beams;
					const reply = await answer(problem, { strategy, expansion: "token", candidates, beams, lambda });
					const expected = beamSearch(problem, objective, beams);
					if (expected === undefined) expect(reply.outcome).toBe("refused");
					else {
						// two orders of the same transitions are equally good: the texts may differ, what they are worth may not
						const scoreOf = (tokens: number[]) => {
							const whole = tokens.reduce<ReturnType<typeof extended>>((text, next) => extended(text, next, problem), empty);
							return worth(objective, whole, problem, true);
						};
						expect(scoreOf(pathOf(reply, problem))).toBeCloseTo(scoreOf(expected), 6);
					}
				}
			}),
			{ numRuns: 60 },
		);
	});

	test("ARGS takes the token of the largest log-probability plus ω times the objective", async () => {
		const rows = [
			["args", "reward"],
			["argsLagrangian", "lagrangian"],
			["argsCost", "cost"],
		] as const;
		const weight = fc.double({ min: 0, max: 5, noNaN: true });
		await fc.assert(
			fc.asyncProperty(
				untied({ maxVocabulary: 5, maxLength: 6 }),
				fc.integer({ min: 1, max: 5 }),
				weight,
				async (problem, k, rewardWeight) => {
					for (const [strategy, objective] of rows) {
						const reply = await answer(problem, { strategy, candidates: k, rewardWeight, lambda });
						expect(pathOf(reply, problem)).toEqual(argsSearch(problem, objective, k, rewardWeight));
					}
				},
			),
			{ numRuns: 60 },
		);
	});

	test("a filter answers with the first response, or refuses it", async () => {
		await fc.assert(
			fc.asyncProperty(problems(), fc.integer({ min: 0, max: 1e6 }), async (problem, seed) => {
				const [plain, filtered] = await Promise.all([
					answer(problem, { strategy: "bestOfN", candidates: 1, seed }),
					answer(problem, { strategy: "filter", seed }),
				]);
				if (plain.safety.cost <= problem.budget) expect(filtered).toMatchObject({ outcome: "safe", tokens: plain.tokens });
				else expect(filtered).toMatchObject({ outcome: "refused", tokens: [] });
				expect(filtered.usage.generatedTokens).toBeLessThanOrEqual(problem.maxTokens);
			}),
			{ numRuns: 80 },
		);
	});
});

/** Pearson's chi-square statistic of counts against expected probabilities; what cannot happen must not. */
function chiSquare(counts: number[], expected: number[]): number {
	const draws = counts.reduce((a, b) => a + b);
	return expected.reduce((sum, p, i) => {
		if (p < 1e-12) expect(counts[i]).toBe(0);
		return p < 1e-12 ? sum : sum + ((counts[i] as number) - draws * p) ** 2 / (draws * p);
	}, 0);
}

async function firstTokens(load: LoadOptions, options: Partial<GenerateOptions>, size: number, draws: number): Promise<number[]> {
	await using guard = await InferenceGuard.load(load);
	const counts = Array(size).fill(0);
	await inLanes(32, [...Array(draws).keys()], new AbortController().signal, async (seed) => {
		const { tokens } = await guard.generate({ prompt, maxTokens: 1, seed, ...options } as GenerateOptions);
		counts[tokens[0] as number]++;
	});
	return counts;
}

describe("soft selection", () => {
	const rewards = [-2, -1.5, -0.2, 0.1, 0.3, 3];
	const model: TabularModel = {
		pieces: [..."abcdef"],
		logits: rewards.map(() => rewards.map((_, i) => -0.1 * i)),
	};
	const load: LoadOptions = {
		model,
		reward: (candidates) => candidates.map(({ tokens }) => rewards[tokens[0] as number] as number),
	};
	const draws = 1200;
	const critical = 20.52; // 5 degrees of freedom, p = 0.001; the seeds are fixed

	/** ReLU((r − ν)/b) with ν found by bisection, so that the mean is 1. */
	function weights(clipped: number[], b: number): number[] {
		let [low, high] = [Math.min(...clipped) - b * clipped.length, Math.max(...clipped)];
		const at = (nu: number) => clipped.map((r) => Math.max(0, (r - nu) / b));
		for (let i = 0; i < 200; i++) {
			const nu = (low + high) / 2;
			if (at(nu).reduce((a, c) => a + c) > clipped.length) low = nu;
			else high = nu;
		}
		return at(low).map((w) => w / clipped.length);
	}

	const all = { expansion: "token" as const, candidates: rewards.length, beams: 1, strategy: "softBeam" as const };

	test.each([0.05, 0.3, 1, 5])("soft selection draws candidates with weights ReLU((r − ν)/b), b = %d", async (softness) => {
		const counts = await firstTokens(load, { ...all, softness }, rewards.length, draws);
		expect(chiSquare(counts, weights(rewards, softness))).toBeLessThan(critical);
	});

	test("soft selection clips scores to the given range first", async () => {
		const clipped = rewards.map((r) => Math.min(0.2, Math.max(-1, r)));
		const counts = await firstTokens(load, { ...all, softness: 0.3, scoreRange: [-1, 0.2] }, rewards.length, draws);
		expect(chiSquare(counts, weights(clipped, 0.3))).toBeLessThan(critical);
	});

	test("soft selection is best-of-N for a small b, and plain sampling for a large one", async () => {
		const everything = { strategy: "softBestOfN" as const, candidates: 200 };
		const best = await firstTokens(load, { ...everything, softness: 1e-6 }, rewards.length, 50);
		expect(best).toEqual([0, 0, 0, 0, 0, 50]);
		const plain = await firstTokens(load, { ...everything, softness: 1e6 }, rewards.length, draws);
		const total = rewards.reduce((sum, _, i) => sum + Math.exp(-0.1 * i), 0);
		const expected = rewards.map((_, i) => Math.exp(-0.1 * i) / total);
		expect(chiSquare(plain, expected)).toBeLessThan(critical);
	});
});

describe("RE-Control", () => {
	const size = 5;
	const table = Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => Math.sin(3 * i + 7 * j)));
	const model: TabularModel = { pieces: [..."abcde"], logits: table };
	const guard = { model, cost: { tokenCosts: [0, 1, 0, 2, 0] }, budget: 1 };

	const trained = async (name: string, inputs: ("hidden" | "position")[]) => {
		const rollouts = join(folder, `${name}-rollouts`);
		const prompts = Array.from({ length: 60 }, (_, i) => [i % size, Math.floor(i / 12), (i * 7) % size]);
		await collectRollouts({ ...guard, prompts, responses: 5, maxTokens: 3, stride: 1, out: rollouts });
		const critic = join(folder, `${name}.gguf`);
		await trainCritic({ rollouts, out: critic, inputs, layers: 1, width: 16, members: 2, epochs: 10, threads: 1 });
		return critic;
	};

	/** Logits after the gradient steps, with numerical derivatives of the network in the file. */
	function edited(critic: string, last: number, steps: number, stepSize: number, weight: number): number[] {
		const { metadata, tensors } = readGguf(critic);
		const number = (key: string) => {
			const found = metadata.get(`inferenceguard.${key}`);
			return Array.isArray(found) ? (found[0] as number) : (found as number);
		};
		const values = (name: string) => tensors.get(name)?.values as Float32Array;
		const linear = (name: string, x: number[]) => {
			const [weights, bias] = [values(`${name}.weight`), values(`${name}.bias`)];
			return Array.from(bias, (b, row) => x.reduce((sum, v, i) => sum + v * (weights[row * x.length + i] as number), b));
		};
		const climb = (h: number[]) => {
			const rms = Math.sqrt(h.reduce((sum, v) => sum + v * v, 0) / h.length + 1e-6);
			const x = h.map((v, i) => (v / rms - (values("features.mean")[i] as number)) / (values("features.scale")[i] as number));
			let sum = 0;
			for (const member of [0, 1]) {
				const inner = linear(`member.${member}.layer.0`, x).map((v) => v / (1 + Math.exp(-v)));
				const [logOdds = 0, value = 0] = linear(`member.${member}.heads`, inner);
				sum += (number("value_scale") * value + weight / (1 + Math.exp(-logOdds))) / 2;
			}
			return sum;
		};
		let h = Array.from({ length: size }, (_, i) => Number(i === last));
		for (let step = 0; step < steps; step++) {
			const gradient = h.map((_, i) => {
				const moved = (by: number) => climb(h.map((v, j) => (i === j ? v + by : v)));
				return (moved(1e-4) - moved(-1e-4)) / 2e-4;
			});
			h = h.map((v, i) => v + stepSize * (gradient[i] as number));
		}
		return table.map((_, next) => h.reduce((sum, v, i) => sum + v * ((table[i] as number[])[next] as number), 0));
	}

	test("RE-Control samples from the hidden state after the gradient steps", async () => {
		const critic = await trained("hidden", ["hidden"]);
		for (const [strategy, steps, stepSize, weight] of [
			["reControl", 20, 30, 0],
			["reControlLagrangian", 6, 2, 3],
		] as const) {
			const probabilities = (logits: number[]) => {
				const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
				return logits.map((logit) => Math.exp(logit) / total);
			};
			const options: SearchOptions = { strategy, latentSteps: steps, latentStepSize: stepSize, lambda: weight };
			const counts = await firstTokens({ ...guard, critic }, options, size, 1500);
			const unlikely = 18.47; // 4 degrees of freedom, p = 0.001
			expect(chiSquare(counts, probabilities(edited(critic, promptToken, steps, stepSize, weight)))).toBeLessThan(unlikely);
			expect(chiSquare(counts, probabilities(table[promptToken] as number[]))).toBeGreaterThan(unlikely);
		}
	});

	test("RE-Control reports the likelihood under the base model", async () => {
		const critic = join(folder, "hidden.gguf");
		await using loaded = await InferenceGuard.load({ ...guard, critic });
		const reply = await loaded.generate({ prompt, strategy: "reControl", maxTokens: 3, seed: 2 });
		const likelihoods = await loaded.logLikelihoods(prompt, reply.tokens);
		expect(reply.outcome).toBe("unguarded");
		expect(reply.logLikelihood).toBeCloseTo(likelihoods.reduce((a, b) => a + b) / reply.tokens.length, 5);
	});

	test("RE-Control without a step is plain sampling, also on a quantised model", async () => {
		await using embedded = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
		const options = { prompt: "It was late.", maxTokens: 24, seed: 4 };
		const plain = await embedded.generate({ ...options, strategy: "sample" });
		const unmoved = await embedded.generate({ ...options, strategy: "reControl", latentStepSize: 0, latentSteps: 1 });
		const moved = await embedded.generate({ ...options, strategy: "reControl", latentStepSize: 5 });
		expect(unmoved.text).toBe(plain.text);
		expect(moved.text).not.toBe(plain.text);
	});

	test("RE-Control can be aborted between two of its steps", async () => {
		await using loaded = await InferenceGuard.load({ ...guard, critic: join(folder, "hidden.gguf") });
		const endless = { prompt, strategy: "reControl" as const, latentSteps: 10_000, maxTokens: 1000 };
		let begin = performance.now();
		await expect(loaded.generate({ ...endless, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ code: "ABORTED" });
		const aborted = performance.now() - begin;
		begin = performance.now();
		await loaded.generate({ ...endless, maxTokens: 1 });
		expect(aborted).toBeLessThan(performance.now() - begin); // it did not wait for the steps of one token
	});

	test("RE-Control needs a critic, and one that reads hidden states", async () => {
		await expect(
			answer({ ...guard, tokenCosts: [0], discount: 1, maxTokens: 1, model: { ...model, ends: [] } }, { strategy: "reControl" }),
		).rejects.toMatchObject({
			code: "INVALID_OPTION",
		});
		const blind = await trained("blind", ["position"]);
		await using loaded = await InferenceGuard.load({ ...guard, critic: blind });
		await expect(loaded.generate({ prompt, strategy: "reControl", maxTokens: 1 })).rejects.toMatchObject({ code: "CRITIC_MISMATCH" });
	});
});

describe("at the token limit", () => {
	test("a finished candidate that fails its re-check is replaced by the next one", async () => {
		let rechecks = 0;
		const table = [
			[1, 0, 0.5],
			[0, 1, 0.5],
			[0, 0.5, 1],
		];
		const cost: ScoreFunction = (candidates) =>
			candidates.map(({ finished }) => (candidates.length === 1 && finished && ++rechecks === 1 ? 1 : 0));
		await using guard = await InferenceGuard.load({ model: { pieces: [..."abc"], logits: table }, cost, budget: 0.5 });
		const options = { prompt, strategy: "bestOfNAugmented" as const, candidates: 8, maxTokens: 2, maxGeneratedTokens: 16 };
		for (let seed = 0; seed < 20; seed++) {
			rechecks = 0;
			expect((await guard.generate({ ...options, seed })).outcome).toBe("steered");
			expect(rechecks).toBe(2);
		}
	});

	test("a candidate that was cut short is ranked by a figure that was asked for", async () => {
		const size = 5;
		const logits = Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => Math.sin(3 * i + 7 * j)));
		const load = { model: { pieces: [..."abcde"], logits }, cost: { tokenCosts: [0, 1, 0, 2, 0] }, budget: 1 };
		await using guard = await InferenceGuard.load({ ...load, critic: join(folder, "hidden.gguf") });
		const options = { strategy: "beam" as const, estimator: "critic" as const, blockLength: 4, maxTokens: 12, maxGeneratedTokens: 96 };
		let cut = 0;
		for (let seed = 0; seed < 60; seed++) {
			const { trace = [] } = await guard.generate({ prompt, ...options, seed, trace: true });
			for (const { score, reward, value, finished } of trace) {
				expect(reward !== null || value !== null).toBe(true);
				if (!finished && value === null) {
					cut++;
					expect(score).toBe(reward);
				}
			}
		}
		expect(cut).toBeGreaterThan(0);
	});
});

describe("a trace", () => {
	const strategies = ["guard", "beam", "bestOfN", "softBeam", "beamAugmented", "args", "filter"] as const;

	function expectTree(trace: TraceNode[]) {
		trace.forEach((node, i) => {
			expect(node.parent).toBeLessThan(i);
			const parent = trace[node.parent];
			expect(node.position).toBe(parent ? parent.position + parent.tokens : 0);
			if (parent) expect(parent.finished).toBe(false);
			if (node.pruned === "cost" || node.pruned === "pSafe") expect(node.score).toBeNull();
		});
	}

	test("a trace holds every candidate, and the answer is one path through it", async () => {
		await fc.assert(
			fc.asyncProperty(
				problems({ maxLength: 6 }),
				fc.constantFrom(...strategies),
				fc.integer({ min: 0, max: 999 }),
				async (problem, strategy, seed) => {
					const reply = await answer(problem, { strategy, seed, trace: true, blockLength: strategy === "guard" ? 2 : undefined });
					const trace = reply.trace as TraceNode[];
					expectTree(trace);
					const answers = trace.flatMap((node, i) => (node.answer ? [i] : []));
					if (reply.outcome === "refused") {
						expect(answers).toEqual([]);
						return;
					}
					expect(answers).toHaveLength(1);
					const path: TraceNode[] = [];
					for (let at = answers[0] as number; at >= 0; at = (trace[at] as TraceNode).parent) path.unshift(trace[at] as TraceNode);
					expect(path.map(({ text }) => text).join("")).toBe(reply.text);
					expect(path.at(-1)?.cost).toBeCloseTo(reply.safety.cost, 9);
					expect(path.at(-1)?.z[0]).toBeCloseTo(reply.safety.z.at(-1) as number, 9);
					expect(path.every(({ pruned }) => pruned === null)).toBe(true);
					expect(path.at(-1)?.finished).toBe(true);
				},
			),
			{ numRuns: 80 },
		);
	});

	test("a trace has only those figures of a candidate that were asked for", async () => {
		const table: TabularModel = {
			pieces: ["a", "b"],
			logits: [
				[0, 0],
				[0, 0],
			],
		};
		await using guard = await InferenceGuard.load({ model: table, cost: { tokenCosts: [0, 1] }, budget: 0 });
		const { trace = [] } = await guard.generate({
			prompt,
			maxTokens: 6,
			blockLength: 2,
			candidates: 6,
			startCandidates: 6,
			seed: 1,
			trace: true,
		});
		expect(trace.some(({ pruned, position }) => pruned === "cost" && position > 0)).toBe(true);
		for (const { pruned, reward } of trace) if (pruned === "cost") expect(reward).toBeNull();
		const args = { strategy: "args" as const, objective: "augmented" as const, rewardWeight: 0, maxTokens: 3 };
		const reply = await guard.generate({ prompt, ...args, trace: true });
		expect(reply.text).toBe("aaa");
		for (const { pruned, text } of reply.trace ?? []) expect(pruned).toBe(text === "b" ? "cost" : null);
	});

	test("the trace of a stream leads from the committed text to the reply", async () => {
		await fc.assert(
			fc.asyncProperty(problems({ maxLength: 6 }), fc.integer({ min: 0, max: 999 }), async (problem, seed) => {
				await using guard = await InferenceGuard.load(loadOf(problem));
				const { maxTokens } = problem;
				const { reply } = guard.stream({ prompt, maxTokens, blockLength: 1, candidates: 2, beams: 1, seed, trace: true });
				const { trace = [], text } = await reply;
				const end = trace.find(({ answer }) => answer);
				if (!end) return;
				const path = [end];
				while ((path[0] as TraceNode).parent >= 0) path.unshift(trace[(path[0] as TraceNode).parent] as TraceNode);
				expect(text.slice(path[0]?.position)).toBe(path.map((node) => node.text).join("")); // a letter per token
			}),
			{ numRuns: 60 },
		);
	});

	test("a trace counts every generated token, and names what was over budget", async () => {
		const model = smallModel(folder);
		await using guard = await InferenceGuard.load({ model, cost: { lexicon: ["w3*"] }, budget: 0, threads: 1 });
		const options = { prompt: "w300", maxTokens: 24, blockLength: 8, candidates: 8, seed: 3 };
		const reply = await guard.generate({ ...options, trace: true });
		const trace = reply.trace as TraceNode[];
		expectTree(trace);
		expect(trace.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(reply.usage.generatedTokens);
		const over = trace.filter(({ pruned }) => pruned === "cost");
		expect(over.length).toBeGreaterThan(0);
		for (const { text, z } of over) {
			expect(text).toMatch(/w3/);
			expect(z[0]).toBeLessThan(0);
		}
		expect((await guard.generate(options)).trace).toBeUndefined();
	});
});
