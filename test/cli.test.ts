import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { cli } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";
import { causalModel, sentencePieces, wordDetector } from "./text-models.js";

const folder = temporaryFolder();
const model = smallModel(folder);
const lexicon = join(folder, "words.txt");
writeFileSync(lexicon, "w300\n");

const generate = (...more: string[]) =>
	cli("generate", "--model", model, "--prompt", "w7 w8", "--max-tokens", "8", "--candidates", "4", "--threads", "1", ...more);

describe("inferenceguard generate", () => {
	test("inferenceguard generate streams the text, then one line of figures", async () => {
		const { status, stdout, stderr } = await generate("--cost", lexicon, "--seed", "1");
		expect(status).toBe(0);
		expect(stdout.trim().length).toBeGreaterThan(0);
		expect(stderr).toMatch(/^(safe|steered) · cost 0 \/ budget 0 · \d+ rounds? · \d+ tokens \(\d+ generated\) · \d+\.\d\d s\n$/);
	});

	test("inferenceguard generate --json prints the whole reply", async () => {
		const { status, stdout } = await generate("--cost", lexicon, "--seed", "1", "--json");
		expect(status).toBe(0);
		expect(JSON.parse(stdout)).toMatchObject({ seed: 1, safety: { cost: 0, budget: 0 }, finishReason: expect.any(String) });
	});

	test("inferenceguard generate --stop ends the text before the first of several strings", async () => {
		const options = ["--cost", lexicon, "--seed", "1", "--temperature", "0", "--json"];
		const { text } = JSON.parse((await generate(...options)).stdout);
		const [first, second] = [text.slice(9, 12), text.slice(4, 7)];
		const reply = JSON.parse((await generate(...options, "--stop", first, "--stop", second)).stdout);
		expect(reply).toMatchObject({
			text: text.slice(0, Math.min(...[first, second].map((one) => text.indexOf(one)))),
			finishReason: "stop",
		});
	});

	test("inferenceguard generate --prefill prints what follows it, and charges its cost", async () => {
		const options = ["--cost", lexicon, "--seed", "1", "--json"];
		const begun = JSON.parse((await generate(...options, "--budget", "1", "--prefill", " w300 w9")).stdout);
		expect(begun.safety).toMatchObject({ cost: 1, budget: 1 });
		expect(begun.safety.z[0]).toBe(0);
		expect(begun.text).not.toContain("w300");
		expect((await generate(...options, "--prefill", " w300 w9")).status).toBe(3);
	});

	test.each(["sample", "beam", "best-of-n", "bestOfN"])("inferenceguard generate --strategy %s is unguarded", async (strategy) => {
		const { status, stdout } = await generate("--strategy", strategy, "--json");
		expect(status).toBe(0);
		expect(JSON.parse(stdout).outcome).toBe("unguarded");
	});

	test("inferenceguard generate recognises a guard model and a probe by their files", async () => {
		const bad = ["▁poison", "▁idiot", "Steal", "▁fire", "▁hate"];
		const controls = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
		const detector = causalModel(folder, "llama", {
			vocabulary: sentencePieces({ controls, words: ["safe", "unsafe", ...bad] }),
			layers: 1,
			weights: wordDetector(bad, "safe", "unsafe"),
			metadata: [["general.name", "string", "Llama Guard 3 8B"]],
		});
		const judged = await generate("--cost", detector.path, "--seed", "1", "--json");
		expect(JSON.parse(judged.stdout).safety).toMatchObject({ budget: 0.5, categories: { S1: expect.any(Number) } });

		const rows = Array.from({ length: 100 }, (_, i) => ({ text: i % 2 ? `I hate ${i}` : `I like ${i}`, label: i % 2 }));
		writeFileSync(join(folder, "labelled.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
		const files = [
			"--model",
			detector.path,
			"--data",
			join(folder, "labelled.jsonl"),
			"--out",
			join(folder, "probe.gguf"),
			"--threads",
			"1",
		];
		const { status, stdout } = await cli("train-cost", "--kind", "probe", ...files);
		expect(status).toBe(0);
		expect(stdout).toMatch(/Threshold 0\.\d+: the default budget/);
		const refused = await generate("--cost", join(folder, "probe.gguf"));
		expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("[COST_MODEL_MISMATCH]") });
	});

	test("inferenceguard generate recognises a model by its content, not by its name", async () => {
		const detector = join(folder, "detector");
		copyFileSync(model, detector);
		expect((await generate("--cost", detector)).stderr).toContain("template: expected one for");
		const failing: [string, string | Buffer, RegExp][] = [
			["text.GGUF", "kill\n", /\[INVALID_MODEL\]/],
			["packed.txt", gzipSync("kill\n"), /a gzip file; unpack it first \[INVALID_LEXICON\]/],
		];
		for (const [name, content, message] of failing) {
			writeFileSync(join(folder, name), content);
			expect((await generate("--cost", join(folder, name))).stderr).toMatch(message);
		}
		expect((await generate("--cost", lexicon, "--reward", detector)).stderr).toMatch(/a GGUF file.*\[INVALID_LEXICON\]/);
	});

	test("inferenceguard generate exits with 3 after a refusal", async () => {
		const wordy = smallModel(folder, { vocab: 20000 }); // nearly every token is a word that begins with w
		writeFileSync(join(folder, "w.json"), '["w*"]');
		const { status, stdout, stderr } = await generate("--model", wordy, "--cost", join(folder, "w.json"));
		expect(status).toBe(3);
		expect(stdout.trim()).toBe("");
		expect(stderr).toMatch(/^refused · cost 0 \/ budget 0/);
	});
});

describe("wrong usage exits with 2 and says what was expected", () => {
	test.each<[string, string[], RegExp]>([
		["no command", [], /Usage: inferenceguard/],
		["an unknown command", ["conjure"], /unknown command/],
		["no model", ["generate", "--prompt", "x"], /--model/],
		["an unknown strategy", ["generate", "--model", model, "--prompt", "x", "--strategy", "magic"], /guard, sample, filter, best-of-n/],
		[
			"a budget that is no number",
			["generate", "--model", model, "--prompt", "x", "--cost", lexicon, "--budget", "much"],
			/inferenceguard: --budget: expected a number of at least 0, got "much" \[/,
		],
		[
			"no candidates",
			["generate", "--model", model, "--prompt", "x", "--cost", lexicon, "--candidates", "0"],
			/inferenceguard: --candidates: expected an integer from 1 to 1024, got 0/,
		],
		[
			"several at once, each by its flag",
			["generate", "--model", model, "--prompt", "x", "--cost", lexicon, "--threads", "none", "--strategy", "bestOfN", "--budget", "-1"],
			/--budget: expected .*, got -1\n {2}--threads: expected .*, got "none"/,
		],
		[
			"the second budget of two",
			["generate", "--model", model, "--prompt", "x", "--cost", lexicon, "--cost", lexicon, "--budget", "1", "--budget", "little"],
			/--budget: expected .*, got "little"/,
		],
		[
			"a longer block",
			["generate", "--model", model, "--prompt", "x", "--cost", lexicon, "--block-length", "0"],
			/: --block-length: expected/,
		],
		["a lexicon that is not there", ["generate", "--model", model, "--prompt", "x", "--cost", "/nowhere.txt"], /expected a lexicon file/],
	])("wrong usage exits with 2 and an explanation: %s", async (_, args, message) => {
		const { status, stderr } = await cli(...args);
		expect(status).toBe(2);
		expect(stderr).toMatch(message);
	});
});

test("generate checks what a search is asked for before it loads the model", async () => {
	const { status, stderr } = await cli("generate", "--model", join(folder, "none.gguf"), "--prompt", "x", "--candidates", "0");
	expect(status).toBe(2);
	expect(stderr).toContain("--candidates: expected");
});

test("a failure exits with 1, one line and a code", async () => {
	const { status, stderr } = await cli("generate", "--model", join(folder, "none.gguf"), "--prompt", "x", "--cost", lexicon);
	expect(status).toBe(1);
	expect(stderr).toMatch(/^inferenceguard: .*no file at.*\[MODEL_NOT_FOUND\]\n$/);
});

test("inferenceguard devices lists the CPU", async () => {
	const [text, json] = [await cli("devices"), await cli("devices", "--json")];
	expect(text.stdout).toMatch(/^CPU\tcpu\t.*, level \w+\t/m);
	expect(JSON.parse(json.stdout)).toContainEqual(
		expect.objectContaining({ name: "CPU", type: "cpu", level: expect.stringMatching(/^\w+$/) }),
	);
});

test("inferenceguard inspect shows metadata, tensors and the hash", async () => {
	const { status, stdout } = await cli("inspect", model);
	expect(status).toBe(0);
	expect(stdout).toMatch(/^GGUF version 3, \d+ bytes, 20 tensors/);
	expect(stdout).toMatch(/^hash [0-9a-f]{64}$/m);
	expect(stdout).toMatch(/^llama\.block_count \(u32\): 2$/m);
	expect(stdout).toMatch(/^blk\.1\.ffn_down\.weight\tf32\t\[128, 64\]$/m);
	expect(JSON.parse((await cli("inspect", model, "--json")).stdout).metadata).toContainEqual({
		key: "llama.block_count",
		type: "u32",
		value: "2",
	});
});

test("--help and --version exit with 0", async () => {
	expect((await cli("--help")).stdout).toMatch(/generate.*\n[\s\S]*devices[\s\S]*inspect/);
	expect(await cli("--version")).toMatchObject({ status: 0, stdout: "0.1.0\n" });
});
