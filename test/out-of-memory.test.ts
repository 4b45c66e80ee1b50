import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { inChild } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = smallModel(folder, { dim: 128, layers: 4, heads: 4, ffn: 256, vocab: 512, context: 65536 });
const canLimit = spawnSync("prlimit", ["--version"]).status === 0;
const testWithLimits = canLimit ? test : test.skip;

/** Runs code that may take so many MiB of addresses more than the process has by then. Prints what came of it. */
const limited = (mib: number, before: string, code: string) =>
	inChild(`
		import { execFileSync } from "node:child_process";
		import { readFileSync } from "node:fs";
		const load = (more = {}) => InferenceGuard.load({ model: ${JSON.stringify(model)}, cost: { lexicon: ["w300"] }, threads: 2, ...more });
		const codes = [];
		const attempt = (work) => work.then(() => codes.push("done"), (error) => codes.push(error.code ?? String(error)));
		const limit = (mib) => {
			const bytes = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024 + mib * 2 ** 20;
			execFileSync("prlimit", ["--pid", String(process.pid), "--as=" + bytes + ":unlimited"]);
		};
		${before}
		limit(${mib});
		${code}
		process.stdout.write(JSON.stringify(codes));
	`);

const enough = ["done", "OUT_OF_MEMORY", "KV_CAPACITY"];

describe("too little memory is an error with its code, and the process goes on", () => {
	testWithLimits.each([4, 12, 24, 48, 80, 128, 400])("loading within %i MiB", async (mib) => {
		const { status, signal, stdout, stderr } = await limited(mib, "", "for (let i = 0; i < 3; i++) await attempt(load());");
		expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
		for (const code of JSON.parse(stdout)) expect(enough).toContain(code);
	});

	testWithLimits.each([4, 16, 40, 80, 160, 320, 640, 1200])("generating within %i MiB", async (mib) => {
		const { status, signal, stdout, stderr } = await limited(
			mib,
			"const guard = await load(); await guard.generate({ prompt: [1, 5], maxTokens: 4 });",
			`const prompt = Array.from({ length: 3000 }, (_, i) => 3 + i % 500);
			await Promise.all([1, 2, 3].map((seed) => attempt(guard.generate({ prompt, candidates: 64, startCandidates: 64, maxTokens: 256, blockLength: 64, seed }))));
			await attempt(guard.generate({ prompt: [1, 5], maxTokens: 4 }));`,
		);
		expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
		for (const code of JSON.parse(stdout)) expect(enough).toContain(code);
	});
});
