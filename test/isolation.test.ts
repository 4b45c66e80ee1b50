import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { cli, inChild } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = smallModel(folder);
const cost = { lexicon: ["w300"] };
const threads = 1;

describe("a guard that is tried in a process of its own first", () => {
	test("answers as any other", async () => {
		const options = { prompt: [1, 5], maxTokens: 8, seed: 3 };
		await using tried = await InferenceGuard.load({ model, cost, threads, isolate: true });
		await using plain = await InferenceGuard.load({ model, cost, threads });
		expect((await tried.generate(options)).text).toBe((await plain.generate(options)).text);
	});

	test("asks no function of the application there", async () => {
		let asked = 0;
		const counting = (candidates: readonly unknown[]) => candidates.map(() => asked++);
		await using _ = await InferenceGuard.load({ model, cost: counting, threads, isolate: true });
		expect(asked).toBe(0);
	});

	test("fails as it would here", async () => {
		const path = join(folder, "damaged.gguf");
		writeFileSync(path, "GGUF and nothing more");
		await expect(InferenceGuard.load({ model: path, cost, threads, isolate: true })).rejects.toMatchObject({ code: "INVALID_MODEL" });
	});

	test("can be aborted", async () => {
		const abort = new AbortController();
		const loading = InferenceGuard.load({ model, cost, threads, isolate: true, signal: abort.signal });
		setTimeout(() => abort.abort("enough"), 5);
		await expect(loading).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
	});

	test("is refused where it ends that process, and this one goes on", async () => {
		const crashing = join(folder, "crashing.cjs"); // stands for an engine that a file brings down
		writeFileSync(crashing, `exports.start = () => ({}); exports.open = () => { console.error("assertion failed"); process.abort(); };`);
		const { status, stdout, stderr } = await inChild(`
			const load = (more) => InferenceGuard.load({ model: ${JSON.stringify(model)}, cost: ${JSON.stringify(cost)}, threads: 1, ...more });
			const guard = await load();
			process.env.INFERENCEGUARD_ADDON = ${JSON.stringify(crashing)};
			const { code, message } = await load({ isolate: true }).catch((error) => error);
			await guard.generate({ prompt: [1, 5], maxTokens: 2 });
			await guard.dispose();
			console.log(JSON.stringify({ code, message }));`);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(JSON.parse(stdout)).toEqual({ code: "INVALID_MODEL", message: expect.stringMatching(/ended by SIGABRT: assertion failed/) });
	});

	test("from the command line", async () => {
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
