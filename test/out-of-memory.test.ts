import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { inChild } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const model = smallModel(temporaryFolder(), { dim: 128, layers: 4, ffn: 256, context: 65536 });
const testWithLimits = test.skipIf(spawnSync("prlimit", ["--version"]).status !== 0);

/** Runs code in a process that may take so many MiB of addresses more than before. Prints how its attempts ended. */
const limited = (mib: number, code: string) =>
	inChild(`
		import { execFileSync } from "node:child_process";
		import { readFileSync } from "node:fs";
		const load = () => InferenceGuard.load({ model: ${JSON.stringify(model)}, cost: { lexicon: ["w300"] }, threads: 2 });
		const guard = await load();
		const generate = (length, seed) => guard.generate({ prompt: Array(length).fill(5), candidates: 16, startCandidates: 16, maxTokens: 8, seed });
		await generate(2, 0);
		const size = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024 + ${mib} * 2 ** 20;
		execFileSync("prlimit", ["--pid", String(process.pid), "--as=" + size + ":unlimited"]);
		const attempt = (work) => work.then(() => "done", (error) => error.code ?? String(error));
		process.stdout.write(JSON.stringify([...(await Promise.all(${code})), await attempt(generate(2, 0))]));
	`);

describe("too little memory is an error with its code, after which the process goes on", () => {
	testWithLimits.each([4, 16, 64, 256].flatMap((mib) => [
		[mib, "loading", "[1, 2].map(() => attempt(load()))"],
		[mib, "generating", "[1, 2, 3].map((seed) => attempt(generate(600 * seed, seed)))"],
	] as const))("too little memory is an error with its code: %i MiB, %s", async (mib, _, code) => {
		const { status, signal, stdout, stderr } = await limited(mib, code);
		expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
		const codes: string[] = JSON.parse(stdout);
		for (const one of codes) expect(["done", "OUT_OF_MEMORY", "KV_CAPACITY"]).toContain(one);
		if (mib === 256) expect(codes.at(-1)).toBe("done");
	}); // biome-ignore format: a table
});
