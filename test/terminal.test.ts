// What the command line prints: nobody's text acts on a terminal, and a closed pipe or a full disk is told as other commands tell it.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inOneLine, printable } from "../lib/base/printable.js";
import { writeGguf } from "../lib/data/gguf-writer.js";
import { cli, cliProcess, main } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";
import { causalModel, sentencePieces, zeros } from "./text-models.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const model = smallModel(folder);
const acting = /(?![\n\t])[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u;
const hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\u202Eevil\r\nover\b\b";

describe("text of others", () => {
	const anyText = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom(hostile, "\x7f", "\u2028"));

	test("text of others is shown without characters that act on a terminal", () => {
		fc.assert(
			fc.property(anyText, (text) => {
				expect(printable(text)).not.toMatch(acting);
				expect(inOneLine(text)).not.toMatch(/[\n\t]/);
				if (!acting.test(text)) expect(printable(text)).toBe(text);
			}),
		);
	});

	test("text of others keeps its value in JSON", () => {
		fc.assert(
			fc.property(fc.dictionary(anyText, anyText), (value) => {
				expect(JSON.parse(printable(JSON.stringify(value)))).toEqual(value);
			}),
		);
	});
});

describe("escapes are cleaned", () => {
	test("escapes in a model file are removed; --json has them unchanged", async () => {
		const path = file("hostile.gguf");
		const data = () => new Uint8Array(4);
		writeGguf(path, {
			metadata: [
				["general.architecture", "string", "llama"],
				["general.name", "string", hostile],
				[`key\nhash 0000${hostile}`, "string[]", [hostile]],
			],
			tensors: [{ name: "t\x1b[2J\nnext", shape: [1], type: "f32", data }],
		});
		const [text, json] = [await cli("inspect", path), await cli("inspect", path, "--json")];
		expect([text.status, json.status]).toEqual([0, 0]);
		expect(text.stdout).not.toMatch(acting);
		expect(text.stdout).toContain("\\u001b]0;title\\u0007");
		expect(text.stdout.match(/^hash /gm)).toHaveLength(1);
		expect(text.stdout.match(/^next/gm)).toBeNull();
		expect(json.stdout.trim()).not.toMatch(acting);
		expect(JSON.parse(json.stdout).metadata[1]).toMatchObject({ key: "general.name", value: hostile });
	});

	test.skipIf(process.platform === "win32")("escapes in error messages are removed, and lines forge no message", async () => {
		const name = "no\x1b[2J\ninferenceguard: all is well [OK]";
		for (const args of [
			["inspect", file(name)],
			["generate", "--model", file(name), "--prompt", "x"],
			["verify", file(name), "--journal", file(name)],
			["label", file(name)],
			[name],
			["generate", `--${name}`],
		]) {
			const { status, stdout, stderr } = await cli(...args);
			expect(status).not.toBe(0);
			expect(stdout + stderr).not.toMatch(acting);
			expect(stderr.match(/^inferenceguard: /gm)?.length ?? 0).toBeLessThanOrEqual(1);
		}
		copyFileSync(model, file("a\x1b[2Jb.gguf"));
		expect((await cli("inspect", file("a\x1b[2Jb.gguf"))).status).toBe(0);
	});
});

/** It says escapes, whatever it is asked. */
const shouting = causalModel(folder, "llama", {
	vocabulary: sentencePieces({ words: ["\x1b[31m", "\r"] }),
	layers: 1,
	weights: ({ dim, ffn }, texts) => {
		const [embedding, output] = [zeros(dim, texts.length), zeros(dim, texts.length)];
		for (const [i, text] of texts.entries()) {
			embedding.values[i * dim] = 1;
			output.values[i * dim] = text.startsWith("\x1b") || text === "\r" ? 0 : -30;
		}
		const silent = { "blk.0.attn_output.weight": zeros(dim, dim), "blk.0.ffn_down.weight": zeros(ffn, dim) };
		return { "token_embd.weight": embedding, "output.weight": output, ...silent };
	},
	metadata: [],
}).path;
writeFileSync(file("words.txt"), "kill\n");
const asked = ["--cost", file("words.txt"), "--prompt", "a", "--max-tokens", "6", "--strategy", "sample", "--seed", "1", "--threads", "1"];

describe("an answer", () => {
	test("an answer goes into a pipe or a file unchanged", async () => {
		const { status, stdout } = await cliProcess("generate", "--model", shouting, ...asked);
		expect(status).toBe(0);
		expect(stdout).toContain("\x1b[31m");
	});

	const hasTerminal = spawnSync("script", ["--version"]).status === 0;
	test.skipIf(!hasTerminal)("an answer on a terminal has no escapes", () => {
		const command = [process.execPath, main, "generate", "--model", shouting, ...asked].map((one) => `'${one}'`).join(" ");
		const { stdout } = spawnSync("script", ["-qec", command, "/dev/null"], { encoding: "utf8", input: "" });
		const answer = stdout
			.replaceAll("\r\n", "\n")
			.split("\n")
			.find((line) => line.includes("[31m"));
		expect(answer).toContain("\\u001b[31m");
		expect(answer).not.toContain("\x1b[31m");
	});
});

describe("a closed pipe", () => {
	writeFileSync(
		file("eval.json"),
		JSON.stringify({
			name: "small",
			guard: { model, cost: { lexicon: file("words.txt") }, budget: 0, threads: 1 },
			data: { file: file("prompts.txt") },
			defaults: { maxTokens: 4 },
			methods: [{ name: "base", strategy: "sample" }],
		}),
	);
	writeFileSync(file("prompts.txt"), "w280\nw281\n");

	test.each<[string, string[], number]>([
		["--help", ["--help"], 0],
		["inspect --json", ["inspect", model, "--json"], 0],
		["generate", ["generate", "--model", model, ...asked], 0],
		["generate --json", ["generate", "--model", model, ...asked, "--json"], 0],
		["eval", ["eval", "--config", file("eval.json"), "--out", file("evaluation")], 0],
		["wrong usage", ["conjure"], 2],
		["a failure", ["inspect", file("none.gguf")], 1],
	])(
		"a closed pipe ends %s quietly with its usual status",
		async (_, args, usual) => {
			for (const closes of ["stdout", "stderr"] as const) {
				const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
				child[closes].destroy();
				let told = "";
				child[closes === "stdout" ? "stderr" : "stdout"].on("data", (text) => (told += text));
				const [status] = await once(child, "close");
				expect(status).toBe(usual);
				expect(told).not.toMatch(/EPIPE|Error|node:/);
			}
			expect(readFileSync(file("eval.json"), "utf8")).toContain("small");
		},
		60_000,
	);

	test("a pipe that closes after the first line of a long answer ends the answer", async () => {
		const long = ["--cost", file("words.txt"), "--prompt", "a", "--max-tokens", "200000", "--strategy", "sample", "--threads", "1"];
		const endless = smallModel(folder, { context: 262144, vocab: 512 });
		const child = spawn(process.execPath, [main, "generate", "--model", endless, ...long], { stdio: ["ignore", "pipe", "pipe"] });
		child.stderr.resume();
		await once(child.stdout, "data");
		child.stdout.destroy();
		expect(await once(child, "close")).toEqual([0, null]);
	}, 60_000);
});

test.skipIf(process.platform !== "linux").each([
	["--help", ["--help"]],
	["inspect --json", ["inspect", model, "--json"]],
	["generate", ["generate", "--model", model, ...asked]],
])(
	"%s into a file that does not take all of it is a failure",
	(_, args) => {
		for (const command of ['"$0" "$@" > /dev/full', `ulimit -f 0; "$0" "$@" > '${file("cut")}'`]) {
			const { status, stderr } = spawnSync("bash", ["-c", command, process.execPath, main, ...args], { encoding: "utf8" });
			expect([status, stderr]).toEqual([
				1,
				expect.stringMatching(/inferenceguard: expected to write standard output.*\[WRITE_FAILED\]\n$/),
			]);
		}
	},
	60_000,
);
