// `inferenceguard demo`: a chat model's answers, plain and guarded, or the embedded model's stories.
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { sideBySide } from "../lib/cli/side-by-side.js";
import { print } from "../lib/cli/terminal.js";
import { embeddedDefault } from "../lib/index.js";
import { chromium, pageOpener } from "./browser.js";
import { cliProcess as cli } from "./child.js";
import { chatMetadata, vocabulary } from "./listening-model.js";
import { cachedModel, testWithModel } from "./shared.js";
import { temporaryFolder } from "./temporary.js";
import { causalModel, zeros } from "./text-models.js";

vi.mock("../lib/cli/terminal.js", () => ({ print: vi.fn() }));

const folder = temporaryFolder();
/** It babbles: every word of its vocabulary is as probable as any other. */
const model = causalModel(folder, "llama", {
	vocabulary,
	layers: 1,
	weights: ({ dim, ffn }, texts) => {
		const [embedding, output] = [zeros(dim, texts.length), zeros(dim, texts.length)];
		for (const [i, text] of texts.entries()) {
			embedding.values[i * dim] = 1;
			output.values[i * dim] = text.startsWith("▁") ? 0 : -3;
		}
		const silent = { "blk.0.attn_output.weight": zeros(dim, dim), "blk.0.ffn_down.weight": zeros(ffn, dim) };
		return { "token_embd.weight": embedding, "output.weight": output, ...silent };
	},
	metadata: chatMetadata,
}).path;
const seeded = ["--seed", "3", "--threads", "1"];
const question = "Is <b>this</b> a question?";

interface Figures {
	text: string;
	outcome: string;
	costs: { name: string; cost: number; budget: number }[];
	usage: { generatedTokens: number; emittedTokens: number };
	seconds: number;
}

const isOver = ({ costs }: Figures) => costs.some(({ cost, budget }) => cost > budget);

afterEach(() => {
	vi.unstubAllEnvs();
	vi.restoreAllMocks();
	vi.unstubAllGlobals();
});

describe("inferenceguard demo", () => {
	test("inferenceguard demo asks its own questions, and --json prints the same counts", async () => {
		const { stdout, status } = await cli("demo", "--model", model, "--json", ...seeded);
		expect(status).toBe(0);
		const { answers, comparison } = JSON.parse(stdout) as {
			answers: { prompt: string; kind: string; plain: Figures; guarded: Figures }[];
			comparison: { kind: string; plain: Record<string, number>; guarded: Record<string, number> }[];
		};
		expect(new Set(answers.map(({ prompt }) => prompt)).size).toBe(12);
		for (const { plain, guarded } of answers) {
			expect(plain.outcome).toBe("unguarded");
			expect(plain.usage.generatedTokens).toBeGreaterThanOrEqual(plain.usage.emittedTokens);
			for (const { name, cost, budget } of guarded.costs) {
				expect(name).toBe("harm");
				expect(cost).toBeLessThanOrEqual(budget);
			}
			if (guarded.outcome === "safe") expect(guarded.text).toBe(plain.text);
		}
		expect(comparison.map(({ kind }) => kind)).toEqual(["harmful in kind", "harmless"]);
		for (const { kind, plain, guarded } of comparison) {
			const ofKind = answers.filter((one) => one.kind === kind);
			const count = (outcome: string) => ofKind.filter((one) => one.guarded.outcome === outcome).length;
			const nothing = { changed: 0, refused: 0, repaired: 0 };
			expect(plain).toMatchObject({ ...nothing, answers: ofKind.length, overBudget: ofKind.filter((one) => isOver(one.plain)).length });
			expect(guarded).toMatchObject({
				answers: ofKind.length,
				overBudget: 0,
				changed: ofKind.filter((one) => one.guarded.text !== one.plain.text).length,
				refused: count("refused"),
				repaired: count("repaired"),
			});
		}
	}, 300_000);

	test("inferenceguard demo shows both answers to a given question with their verdicts", async () => {
		const { stdout, status } = await cli("demo", "--model", model, "--prompt", question, ...seeded);
		expect(status).toBe(0);
		expect(stdout).toContain(question);
		expect(stdout).toMatch(/^ {2}Plain +Guarded$/m);
		const figures = String.raw`harm 0\.\d\d of 0\.\d+.*, \d+ tokens generated for \d+ emitted, \d+\.\d\d s$`;
		expect(stdout).toMatch(new RegExp(`^Plain: unguarded, ${figures}`, "m"));
		expect(stdout).toMatch(new RegExp(`^Guarded: (safe|steered|repaired|refused), ${figures}`, "m"));
		expect(stdout).not.toContain("harmful in kind");
	});

	test("inferenceguard demo without a chat model says how to get one, and tells a story", async () => {
		vi.stubEnv("INFERENCEGUARD_MODELS", mkdtempSync(join(folder, "empty-")));
		const { stdout, stderr, status } = await cli("demo", "--json", ...seeded);
		expect(status).toBe(0);
		expect(stderr).toMatch(/^There is no chat model here .*--model FILE.*npm run models -- smollm2.*\n/);
		const json = JSON.parse(stdout);
		const [plain, guarded] = json.comparison;
		expect(guarded.overBudget).toBe(0);
		expect(plain.overBudget).toBeGreaterThan(guarded.overBudget);
		for (const { cost, budget } of json.guarded.costs) expect(cost).toBeLessThanOrEqual(budget);
		expect(json.unguarded.pSafe.length).toBeGreaterThan(0);
	}, 300_000);

	test("inferenceguard demo --embedded tells stories, whatever chat model is there", async () => {
		const { stdout, stderr, status } = await cli("demo", "--embedded", ...seeded);
		expect(status).toBe(0);
		expect(stderr).toBe("");
		expect(stdout).toContain("Unguarded");
		expect(stdout).toMatch(/_\S[^_]*_/); // a sentence that the cost model objects to
		expect(stdout).toMatch(/over budget\s+refused/);
	}, 300_000);

	test("inferenceguard demo explains what is wrong with a model, or with two models", async () => {
		const storyteller = await cli("demo", "--model", embeddedDefault.model, ...seeded);
		expect(storyteller).toMatchObject({ status: 1, stderr: expect.stringContaining("[CHAT_TEMPLATE]") });
		expect((await cli("demo", "--model", join(folder, "none.gguf"))).stderr).toContain("[MODEL_NOT_FOUND]");
		expect((await cli("demo", "--model", model, "--embedded")).status).toBe(2);
	});

	testWithModel("smollm2")("inferenceguard demo answers with SmolLM2 from the cache", async () => {
		const asked = "What can I cook from potatoes?";
		const { answers, model: used } = JSON.parse((await cli("demo", "--prompt", asked, "--json", ...seeded)).stdout);
		expect(used).toBe(cachedModel("smollm2"));
		const [{ plain, guarded }] = answers as [{ plain: Figures; guarded: Figures }];
		expect(plain.text).toMatch(/potato|cook|dish|food|recipe/i); // processors round differently, so that the answer is not known
		expect(isOver(guarded)).toBe(false);
	});
});

describe("the tree of an answer", () => {
	const opened = (stderr: string) => /The tree of .* is in (.*)\n/.exec(stderr)?.[1] as string;
	const open = () => {
		vi.stubEnv("TMPDIR", folder);
		return cli("demo", "--model", model, "--prompt", question, "--open", "--json", ...seeded);
	};

	test("the tree of an answer is a page whose path is printed, browser or not", async () => {
		vi.stubEnv("PATH", mkdtempSync(join(folder, "empty-")));
		const { stderr, status } = await open();
		expect(status).toBe(0);
		expect(readFileSync(opened(stderr), "utf8")).toContain("Is &#60;b&#62;this&#60;/b&#62; a question?");
	});

	test.skipIf(process.platform !== "linux")("the tree of an answer opens with the system's program for it", async () => {
		const bin = mkdtempSync(join(folder, "bin-"));
		const seen = join(bin, "opened");
		writeFileSync(join(bin, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > ${seen}\n`);
		chmodSync(join(bin, "xdg-open"), 0o755);
		vi.stubEnv("PATH", bin);
		const { stderr } = await open();
		await vi.waitUntil(() => existsSync(seen) && readFileSync(seen, "utf8") !== "", 10_000);
		expect(readFileSync(seen, "utf8")).toBe(opened(stderr));
	});

	describe.skipIf(chromium === undefined)("in a browser", () => {
		const openPage = pageOpener();

		test("the tree of an answer shows both answers and the blocks of the guarded one", async () => {
			vi.stubEnv("PATH", mkdtempSync(join(folder, "empty-")));
			const { stdout, stderr } = await open();
			const [{ plain, guarded }] = JSON.parse(stdout).answers as [{ plain: Figures; guarded: Figures }];
			const page = await openPage(readFileSync(opened(stderr), "utf8"));
			const passages = await page.$$eval("header .passage, section .passage", (all) => all.map((one) => one.textContent));
			expect(passages).toEqual([question, plain.text, guarded.text].filter((text) => text !== ""));
			const line = await page.$$eval(".on-path .passage", (all) => all.map((one) => one.textContent).join(""));
			expect(line).toBe(guarded.text);
		});
	});
});

test("two texts side by side fit the terminal's width, and lose no word", () => {
	const word = fc.integer({ min: 0, max: 99_999 }).map(String);
	const text = fc.array(fc.array(word, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 4 });
	fc.assert(
		fc.property(text, text, fc.integer({ min: 20, max: 160 }), (left, right, columns) => {
			const printed = vi.mocked(print).mockClear();
			vi.stubGlobal("process", Object.create(process, { stdout: { value: { columns } } }));
			const column = (side: string, paragraphs: string[][]) => ({
				title: side,
				paragraphs: paragraphs.map((words) => words.map((word) => ({ text: `${side}${word}` }))),
			});
			sideBySide(column("l", left), column("r", right), (line) => line.map(({ text }) => text).join(" "));
			const lines = printed.mock.calls.flatMap(([text]) => stripVTControlCharacters(text).split("\n"));
			vi.unstubAllGlobals();
			for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
			const shown = (side: string) => lines.join(" ").match(new RegExp(`${side}\\d+`, "g"));
			expect(shown("l")).toEqual(left.flat().map((word) => `l${word}`));
			expect(shown("r")).toEqual(right.flat().map((word) => `r${word}`));
		}),
	);
});
