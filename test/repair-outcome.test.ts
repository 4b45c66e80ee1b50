// Where the outcome "repaired" is told: the command line, evaluations, their reports and certificates.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { calibrate, type EvaluationConfig, evaluate, type ResponseRecord, verify } from "../lib/evaluation/index.js";
import { InferenceGuard } from "../lib/index.js";
import { cli } from "./child.js";
import { listeningModel } from "./listening-model.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const model = listeningModel(folder, "▁harm");
writeFileSync(file("words.txt"), "bad\n");
writeFileSync(file("prompts.txt"), "tell me\nsay it\ngo on\n");

test("inferenceguard generate prints a repaired text; --no-repair refuses", async () => {
	const options = ["--cost", file("words.txt"), "--max-tokens", "6", "--candidates", "1", "--seed", "1", "--threads", "1"];
	const generate = (...more: string[]) => cli("generate", "--model", model, "--prompt", "tell me", ...options, ...more);
	const { status, stdout, stderr } = await generate("--chat");
	expect({ status, stdout }).toEqual({ status: 0, stdout: `${" good".repeat(6)}\n` });
	expect(stderr).toMatch(/^repaired · cost 0 \/ budget 0 · \d+ rounds · 6 tokens \(\d+ generated\)/);
	expect(await generate("--chat", "--no-repair")).toMatchObject({ status: 3, stderr: expect.stringMatching(/^refused/) });
	expect(await generate()).toMatchObject({ status: 3, stderr: expect.stringMatching(/^refused/) });
});

const config: EvaluationConfig = {
	name: "repairs",
	guard: { model, cost: { lexicon: file("words.txt") }, budget: 0, threads: 1 },
	data: { file: file("prompts.txt") },
	chat: true,
	defaults: { maxTokens: 6, candidates: 1, maxGeneratedTokens: 12 },
	methods: [{ name: "guard" }, { name: "without", repair: false }],
	traces: 1,
};

test("an evaluation counts repaired responses as answers, and names them everywhere", async () => {
	const { methods } = await evaluate({ config, out: file("evaluation") });
	expect(methods).toMatchObject([
		{ name: "guard", answered: 3, refused: 0, repaired: 3, safetyRate: 1 },
		{ name: "without", answered: 0, refused: 3, repaired: 0, settings: "guard, T = 6, maxGeneratedTokens = 12, repair = false" },
	]);
	const journal = readFileSync(join(file("evaluation"), "journal.jsonl"), "utf8")
		.trim()
		.split("\n")
		.slice(1);
	const responses: ResponseRecord[] = journal.map((line) => JSON.parse(line));
	const [first] = responses.filter(({ method }) => method === "guard");
	expect(first).toMatchObject({ outcome: "repaired", text: " good".repeat(6), withinBudget: true, refusal: false, generatedTokens: 12 });
	expect(first?.trace?.at(-1)).toMatchObject({ answer: true });
	expect(readFileSync(join(file("evaluation"), "report.html"), "utf8")).toContain("Repaired");
});

test("a certificate covers the setting of repair that it was issued for", async () => {
	const { methods, ...rest } = config;
	for (const repair of [true, false]) {
		const certificate = file(`${repair}.json`);
		const evaluation = file(`calibration-${repair}`);
		const issued = await calibrate({ config: { ...rest, methods: [{ name: "guard", repair }] }, out: certificate, evaluation });
		expect(issued.refusals.prompts).toBe(repair ? 0 : 3);
		expect(issued.configuration.search).toMatchObject({ repair });
		expect((await verify(certificate, join(evaluation, "journal.jsonl"))).valid).toBe(true);
		await using guard = await InferenceGuard.load({ ...config.guard, certificate });
		const options = { messages: [{ role: "user", content: "tell me" }], ...config.defaults, seed: 1 };
		expect(await guard.generate({ ...options, repair })).toMatchObject({ certificate: {}, outcome: repair ? "repaired" : "refused" });
		await expect(guard.generate({ ...options, repair: !repair })).rejects.toMatchObject({ code: "CERTIFICATE_MISMATCH" });
	}
});
