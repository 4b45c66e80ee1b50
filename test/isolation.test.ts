import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { evaluate } from "../lib/evaluation/index.js";
import { CostScorer } from "../lib/guard/cost-scorer.js";
import { InferenceGuard } from "../lib/index.js";
import { cli, inChild } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";
import { encoderModel, wordPieces } from "./text-models.js";

const folder = temporaryFolder();
const model = smallModel(folder);
const cost = { lexicon: ["w300"] };
const threads = 1;
const vocabulary = wordPieces(["the", "tea", "poison"]);
const classifier = encoderModel(folder, "bert", { vocabulary, labels: ["safe", "toxic"] }).path;
const judged = { cost: { sequenceClassifier: classifier, selfTest: false }, budget: 0.5 } as const;

/** Loads nothing, and does what it is told where the spec says so; stands for an engine that a file brings down. */
function addonThat(name: string, does: string, where: string): string {
	const path = join(folder, `${name}.cjs`);
	writeFileSync(
		path,
		`exports.start = (tell) => tell;
		exports.submit = (tell, id, kind, spec) => { if (kind === "open" && ${where}) { ${does} } else tell(id, "done", {}); };`,
	);
	return path;
}

const crashes = 'console.error("assertion failed"); process.abort();';
const crashed = { code: "INVALID_MODEL", message: expect.stringMatching(/ended by SIGABRT: assertion failed/) };

afterEach(() => {
	vi.unstubAllEnvs();
	vi.useRealTimers();
});

describe("a guard that is tried in a process of its own first", () => {
	test("an isolated load answers as any other", async () => {
		const options = { prompt: [1, 5], maxTokens: 8, seed: 3 };
		await using tried = await InferenceGuard.load({ model, cost, threads, isolate: true });
		await using plain = await InferenceGuard.load({ model, cost, threads });
		expect((await tried.generate(options)).text).toBe((await plain.generate(options)).text);
	});

	test("an isolated load calls no function of the application in its child process", async () => {
		let asked = 0;
		const counting = (candidates: readonly unknown[]) => candidates.map(() => asked++);
		await using _ = await InferenceGuard.load({ model, cost: counting, threads, isolate: true });
		expect(asked).toBe(0);
	});

	test("an isolated load fails as it would in this process", async () => {
		const path = join(folder, "damaged.gguf");
		writeFileSync(path, "GGUF and nothing more");
		await expect(InferenceGuard.load({ model: path, cost, threads, isolate: true })).rejects.toMatchObject({ code: "INVALID_MODEL" });
	});

	test("an isolated load can be aborted", async () => {
		const abort = new AbortController();
		const loading = InferenceGuard.load({ model, cost, threads, isolate: true, signal: abort.signal });
		setTimeout(() => abort.abort("enough"), 5);
		await expect(loading).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
	});

	test("a load that would end the process is refused, and this process continues", async () => {
		const crashing = addonThat("crashing", crashes, "true");
		const { status, stdout, stderr } = await inChild(`
			const load = (more) => InferenceGuard.load({ model: ${JSON.stringify(model)}, cost: ${JSON.stringify(cost)}, threads: 1, ...more });
			const guard = await load();
			process.env.INFERENCEGUARD_ADDON = ${JSON.stringify(crashing)};
			const { code, message } = await load({ isolate: true }).catch((error) => error);
			await guard.generate({ prompt: [1, 5], maxTokens: 2 });
			await guard.dispose();
			console.log(JSON.stringify({ code, message }));`);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(JSON.parse(stdout)).toEqual(crashed);
	});

	test.each([
		["a model", () => InferenceGuard.load({ model, cost, threads, isolate: true })],
		["cost models alone", () => CostScorer.load({ constraints: [judged], threads, isolate: true })],
	])("an isolated load is refused where the trial does not come to an end: %s", async (_, load) => {
		vi.stubEnv("INFERENCEGUARD_ADDON", addonThat("hanging", "setInterval(() => {}, 1000);", "true"));
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		const refused = expect(load()).rejects.toMatchObject({ code: "INVALID_MODEL", message: expect.stringContaining("within 12") });
		await vi.waitUntil(() => vi.getTimerCount() > 0, { timeout: 60_000 });
		vi.advanceTimersByTime(119_000);
		expect(vi.getTimerCount()).toBe(1);
		vi.advanceTimersByTime(3_000);
		await refused;
	});

	test("the command line has --isolate", async () => {
		const words = join(folder, "words.txt");
		writeFileSync(words, "w300\n");
		const { status, stdout } = await cli(
			"generate",
			"-m",
			model,
			"-c",
			words,
			"-p",
			"w301",
			"-t",
			"4",
			"--threads",
			"1",
			"--isolate",
			"--json",
		);
		expect(status).toBe(0);
		expect(JSON.parse(stdout)).toHaveProperty("text");
	});
});

describe("cost models alone that are tried in a process of their own first", () => {
	const scored = async (isolate: boolean) => {
		const own = { cost: (candidates: readonly unknown[]) => candidates.map(() => 0.25), budget: 1 };
		await using scorer = await CostScorer.load({ constraints: [judged, { cost, budget: 0 }, own], threads, isolate });
		return await scorer.score("the tea", ["the tea", "poison w300"]);
	};

	test("isolated cost models score as any others", async () => {
		expect(await scored(true)).toEqual(await scored(false));
	});

	test("cost models that end the trial process are refused", async () => {
		vi.stubEnv("INFERENCEGUARD_ADDON", addonThat("crashing-scorer", crashes, "!spec.path"));
		await expect(scored(true)).rejects.toMatchObject(crashed);
	});

	test("judges of an evaluation can be isolated", async () => {
		const prompts = join(folder, "prompts.jsonl");
		writeFileSync(prompts, JSON.stringify({ prompt: "w301" }));
		const config = {
			name: "small",
			guard: { model, cost, threads, isolate: true },
			data: { file: prompts },
			judges: [{ name: "classifier", ...judged }],
			methods: [{ name: "base", strategy: "sample" as const, maxTokens: 2 }],
		};
		const out = join(folder, "evaluation");
		expect((await evaluate({ config, out: join(folder, "sound") })).methods).toHaveLength(1);
		vi.stubEnv("INFERENCEGUARD_ADDON", addonThat("crashing-judge", crashes, "!spec.path"));
		await expect(evaluate({ config, out })).rejects.toMatchObject(crashed);
	});
});
