// Generations of one guard share its cost models, and each asks them about its own prompt.
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { type CostModel, type GenerateOptions, InferenceGuard, type LoadOptions, type Reply, type ScoreFunction } from "../lib/index.js";
import { trainCost } from "../lib/training/index.js";
import { temporaryFolder } from "./temporary.js";
import { causalModel, encoderModel, qwenClassifier, randomTensors, scoreHead, sentencePieces, wordPieces } from "./text-models.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const threads = 1; // tests run beside one another

const words = ["tea", "garden", "poison", "warm", "kind", "door"];
const vocabulary = sentencePieces({ words: ["yes", "no", "▁the", ...words.map((word) => `▁${word}`)] });
const base = causalModel(folder, "llama", { vocabulary, seed: 8, layers: 1 });
const judge = causalModel(folder, "llama", { vocabulary, seed: 5 }).path;
const bert = encoderModel(folder, "bert", { vocabulary: wordPieces(words), labels: ["safe", "unsafe"], seed: 3 }).path;
const qwen = qwenClassifier(folder, { vocabulary }).path;
const head = scoreHead(folder, { "score.weight": randomTensors(4)(32, 1) });
const encoder = fileURLToPath(new URL("reference/judge.gguf", import.meta.url));

const template = { before: "<s>Q: ", between: " A: ", after: " ok?", safe: "yes", unsafe: "no" };
const answering = { guardModel: judge, template, selfTest: false } as const;
const bertTemplate = { before: "[CLS]", between: "[SEP]", after: "[SEP]" };
const selfTest = false;

/** The cost models that read the prompt, and the one that does not but has a memory of its own. */
const kinds: Record<string, CostModel> = {
	"a guard model": answering,
	"a guard model that names categories": {
		...answering,
		template: { ...template, categories: { before: "\n", names: ["tea", "garden"] } },
	},
	"a sequence classifier": { sequenceClassifier: bert, template: bertTemplate, selfTest },
	"a sequence classifier of responses": { sequenceClassifier: bert, selfTest },
	"a sequence classifier that reads from left to right": {
		sequenceClassifier: qwen,
		template: { before: "Q: ", between: " A: ", after: " ok?" },
		selfTest,
	},
	"a score model": { scoreModel: { body: judge, head }, template: "beaver", threshold: -5, selfTest },
	"a probe on the last state": { probe: file("probe.gguf"), selfTest },
	"an n-gram classifier": { classifier: file("classifier.gguf") },
	"an encoder": { encoder, selfTest },
};

const prompts = [" the tea", " garden door", " poison", " the kind garden", " warm tea", " door door door"];

const options = (i: number): GenerateOptions => ({
	prompt: prompts[i % prompts.length] ?? "",
	seed: i,
	maxTokens: 12,
	blockLength: 4,
	candidates: 4,
	startCandidates: 2,
	beams: 2,
});

beforeAll(async () => {
	const random = randomNumbers(3);
	const word = () => words[Math.floor(random() * words.length)] as string;
	const rows = Array.from({ length: 240 }, () => {
		const [asked, told] = [word(), word()];
		return { context: `the ${asked} ${word()}`, text: ` the ${told} ${word()}`, label: Number(asked < "n" === told < "n") };
	});
	writeFileSync(file("rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
	const training = { data: file("rows.jsonl"), contextField: "context", threads };
	await trainCost({ ...training, out: file("classifier.gguf") });
	await trainCost({ ...training, kind: "probe", model: base.path, out: file("probe.gguf") });
});

const textOf = ({ text, tokens, outcome }: Reply) => ({ text, tokens, outcome });
const costOf = ({ safety }: Reply) => safety.constraints[0]?.cost as number;
const categoriesOf = ({ safety }: Reply) => Object.values(safety.constraints[0]?.categories ?? {});

/** A function that holds every generation back until so many ask: they would wait for ever if one waited for another to end. */
function meeting(size: number) {
	const context = new AsyncLocalStorage<number>();
	const arrived = new Set<number>();
	let open = () => {};
	const all = new Promise<void>((resolve) => {
		open = resolve;
	});
	const cost: ScoreFunction = async (candidates) => {
		arrived.add(context.getStore() as number);
		if (arrived.size === size) open();
		await all;
		return candidates.map(() => 0);
	};
	return { cost, arrived, join: <T>(i: number, work: () => Promise<T>) => context.run(i, work) };
}

describe.each(Object.entries(kinds))("%s", (_, cost) => {
	const load = (budget: number, more: Partial<LoadOptions> = {}) =>
		InferenceGuard.load({ model: base.path, constraints: [{ cost, budget }], threads, ...more } as LoadOptions);

	/** A budget that some responses of plain sampling keep and some do not, far from both. */
	async function budgetBetween(): Promise<number> {
		await using plain = await load(1e6);
		const found: number[] = [];
		for (const i of prompts.keys()) found.push(costOf(await plain.generate({ ...options(i), strategy: "sample" })));
		found.sort((a, b) => a - b);
		const gaps = found.slice(1).map((value, i) => ({ gap: value - (found[i] as number), middle: (value + (found[i] as number)) / 2 }));
		gaps.sort((a, b) => b.gap - a.gap);
		return gaps[0]?.middle as number;
	}

	test("gives generations at the same time what it gives each alone", async () => {
		const budget = await budgetBetween();
		await using guard = await load(budget);
		const alone: Reply[] = [];
		for (const i of prompts.keys()) alone.push(await guard.generate(options(i)));
		const { cost: meet, arrived, join } = meeting(prompts.length);
		await using shared = await load(budget, { constraints: [{ cost, budget }, { cost: meet }] } as Partial<LoadOptions>);
		const together = await Promise.all(prompts.map((_, i) => join(i, () => shared.generate(options(i)))));
		expect([...arrived].sort()).toEqual([...prompts.keys()]);
		expect(together.map(textOf)).toEqual(alone.map(textOf));
		for (const [i, reply] of together.entries()) {
			expect(costOf(reply)).toBeCloseTo(costOf(alone[i] as Reply), 2);
			for (const [c, share] of categoriesOf(reply).entries()) expect(share).toBeCloseTo(categoriesOf(alone[i] as Reply)[c] as number, 2);
		}
	});

	test("charges each response what it costs behind its own prompt, with more generations than it has room to remember", async () => {
		await using guard = await load(1e6);
		const many = Array.from({ length: 24 }, (_, i) => options(i));
		const replies = await Promise.all(many.map((one) => guard.generate(one)));
		await using scorer = await CostScorer.load({
			constraints: [{ cost, budget: 1e6 }],
			threads,
			...("probe" in (cost as object) && { model: base.path }),
		});
		for (const [i, reply] of replies.entries()) {
			const [[scored] = []] = await scorer.score(prompts[i % prompts.length] as string, [reply.text]);
			expect(costOf(reply)).toBeCloseTo(scored?.cost as number, 2);
		}
	});

	test("goes on for the others when one is aborted", async () => {
		await using guard = await load(1e6);
		const alone: Reply[] = [];
		for (const i of [1, 2, 3]) alone.push(await guard.generate(options(i)));
		for (let turns = 0; turns < 12; turns++) {
			const controller = new AbortController();
			const aborted = guard.generate({ ...options(0), maxTokens: 200, signal: controller.signal }).then(
				() => "done",
				({ code }) => code,
			);
			const others = [1, 2, 3].map((i) => guard.generate(options(i)));
			for (let turn = 0; turn < 8 * turns; turn++) await new Promise((resolve) => setImmediate(resolve));
			controller.abort();
			expect(["done", "ABORTED"]).toContain(await aborted);
			const finished = await Promise.all(others);
			expect(finished.map(textOf)).toEqual(alone.map(textOf));
			for (const [i, reply] of finished.entries()) expect(costOf(reply)).toBeCloseTo(costOf(alone[i] as Reply), 2);
		}
	});
});

test("a reward model gives generations at the same time what it gives each alone", async () => {
	const reward = { scoreModel: { body: judge, head }, template: "beaver", selfTest } as const;
	const load = (more: Partial<LoadOptions>) => InferenceGuard.load({ model: base.path, reward, threads, ...more } as LoadOptions);
	await using guard = await load({ constraints: [] });
	const alone: Reply[] = [];
	for (const i of prompts.keys()) alone.push(await guard.generate({ ...options(i), strategy: "bestOfN" }));
	const { cost, join } = meeting(prompts.length);
	await using shared = await load({ cost });
	const together = await Promise.all(prompts.map((_, i) => join(i, () => shared.generate({ ...options(i), strategy: "bestOfN" }))));
	expect(together.map(({ text, tokens }) => ({ text, tokens }))).toEqual(alone.map(({ text, tokens }) => ({ text, tokens })));
	for (const [i, { reward }] of together.entries()) expect(reward).toBeCloseTo(alone[i]?.reward as number, 2);
});

test("a lexicon reads on from the prompt of each generation", async () => {
	const model = { pieces: ["x", " die", "die", "s"], logits: Array.from({ length: 4 }, () => [-50, -50, -50, 50]) };
	const { cost: meet, join } = meeting(2);
	await using guard = await InferenceGuard.load({ model, constraints: [{ cost: { lexicon: ["dies"] } }, { cost: meet }] });
	const reply = (i: number, prompt: number[]) => join(i, () => guard.generate({ prompt, strategy: "sample", maxTokens: 1, seed: 1 }));
	const [within, across] = await Promise.all([reply(0, [0]), reply(1, [1])]);
	expect([within, across].map(({ text }) => text)).toEqual(["s", "s"]);
	expect([within, across].map(costOf)).toEqual([0, 1]);
});

test("a scoring of texts beside generations waits for its turn and answers for its own prompt", async () => {
	await using guard = await InferenceGuard.load({ model: base.path, constraints: [{ cost: answering, budget: 1 }], threads });
	const replies = await Promise.all(prompts.map((_, i) => guard.generate(options(i))));
	await using scorer = await CostScorer.load({ constraints: [{ cost: answering, budget: 1 }], threads });
	const scores = await Promise.all(replies.map(({ text }, i) => scorer.score(prompts[i] as string, [text])));
	for (const [i, [[scored] = []]] of scores.entries()) expect(costOf(replies[i] as Reply)).toBeCloseTo(scored?.cost as number, 2);
});
