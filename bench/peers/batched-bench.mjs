// The ceiling: llama.cpp's own llama-batched-bench, built from the source and with the flags of the addon. It decodes random tokens for
// N sequences that share a prompt, samples nothing and judges nothing.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { llamaSource } from "../../scripts/llama-source.mjs";
import { hasTool, requireCompiler, requireTool, step } from "../../scripts/tools.mjs";
import { benchCache } from "../subject.mjs";

const build = join(benchCache, "peers", "build");
export const batchedBench = join(build, "batched-bench", "llama-batched-bench");

/** Builds what is missing or out of date. */
export function buildBatchedBench() {
	requireTool("cmake", "to build llama-batched-bench");
	requireCompiler("to build llama-batched-bench");
	step("Building llama-batched-bench (a few minutes the first time)");
	const source = fileURLToPath(new URL(".", import.meta.url));
	const definitions = ["CMAKE_BUILD_TYPE=Release", `LLAMA_CPP_DIR=${llamaSource()}`, `NODE_EXECUTABLE=${process.execPath}`];
	const generator = hasTool("ninja") ? ["-G", "Ninja"] : [];
	const told = { stdio: ["ignore", "ignore", 2] };
	execFileSync("cmake", ["-S", source, "-B", build, ...generator, ...definitions.map((definition) => `-D${definition}`)], told);
	execFileSync("cmake", ["--build", build, "--target", "llama-batched-bench", "--parallel", "2"], told);
}

/** The peak of a process's resident memory, in bytes; null where the system does not tell. */
function peakMemory(pid) {
	try {
		const [, kilobytes] = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmHWM:\s+(\d+) kB/);
		return Number(kilobytes) * 1024;
	} catch {
		return null;
	}
}

/** One run, in a process of its own. */
export async function measureBatchedBench({ model, prompt, candidates, tokens, threads }) {
	const shape = ["-npp", prompt.length, "-ntg", tokens, "-npl", candidates, "-pps", "-kvu", "-fa", "on"];
	const size = ["-c", prompt.length + candidates * tokens, "-b", 2048, "-ub", 512, "-t", threads];
	const child = spawn(batchedBench, ["-m", model, ...shape, ...size, "--output-format", "jsonl"].map(String));
	const output = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"]) child[name].on("data", (text) => (output[name] += text));
	let maxRssBytes = null;
	const watch = setInterval(() => (maxRssBytes = peakMemory(child.pid) ?? maxRssBytes), 20);
	const status = await new Promise((resolve, reject) => child.on("close", resolve).on("error", reject));
	clearInterval(watch);
	const line = output.stdout.split("\n").find((text) => text.startsWith("{"));
	if (status !== 0 || line === undefined) throw new Error(`llama-batched-bench ended with ${status}: ${output.stderr.slice(-2000)}`);
	const { t_pp, t } = JSON.parse(line);
	return { seconds: t, promptSeconds: t_pp, generatedTokens: candidates * tokens, maxRssBytes };
}
