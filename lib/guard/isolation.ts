import { fork } from "node:child_process";
import { stat } from "node:fs/promises";
import { moduleFile } from "../base/package-files.js";
import { InvalidModelError } from "../errors.js";
import { addonPath, errorFromNative } from "../native/addon.js";
import type { NativeRequest, NativeScoreRequest, NativeSpec } from "../native/protocol.js";
import { abortedBy } from "../native/worker.js";
import { checkGenerateOptions } from "../options/generate.js";
import { resolveSearch } from "../options/resolve.js";
import { filesOf } from "./identity.js";

const script = moduleFile("guard/isolated-trial.js");

const leastSeconds = 120;
const bytesPerSecond = 1e7;

/** The time limit for a trial of these files: far more than sound ones take. */
async function secondsFor(files: string[]): Promise<number> {
	const sizes = files.map((path) =>
		stat(path).then(
			({ size }) => size,
			() => 0, // the trial reports it
		),
	);
	const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
	return leastSeconds + Math.ceil(bytes / bytesPerSecond);
}

/** A finished text of one letter. */
const firstScore = ({ constraints }: NativeSpec): NativeScoreRequest => ({
	prompt: "a",
	isRaw: false,
	texts: ["a"],
	asked: constraints.map(() => null),
});

/** Two candidates of two tokens, after a token that every vocabulary has: prompt, step and judgement run once. */
function firstStep({ constraints }: NativeSpec): NativeRequest {
	const prompt = Int32Array.of(0);
	const strategy = constraints.length > 0 ? "guard" : "sample";
	const narrow = { maxTokens: 2, blockLength: 1, candidates: 2, startCandidates: 2, estimator: "models" } as const;
	const search = resolveSearch(checkGenerateOptions({ prompt, strategy, ...narrow }), undefined);
	const once = { question: undefined, seed: 0, cachePrompt: false, stream: false, trace: false, repair: false };
	return { ...search, tokens: prompt, ...once, availableBytes: process.availableMemory() };
}

interface Trial {
	failure?: { code: string; message: string };
}

/**
 * In a child process, loads what the spec names and takes a first step, or scores a text if nothing generates. Files that make the engine
 * end its process end only the child. Errors: those of loading, generating and scoring; INVALID_MODEL if the child ended without a result,
 * or did not finish within two minutes plus a second for every 10 MB of the files; ABORTED.
 */
export async function tryIsolated(spec: NativeSpec, signal: AbortSignal | undefined): Promise<void> {
	const seconds = await secondsFor(filesOf(spec));
	if (signal?.aborted) throw abortedBy(signal);
	const child = fork(script, { execArgv: [], serialization: "advanced", stdio: ["ignore", "ignore", "pipe", "ipc"] });
	const end = () => child.kill("SIGKILL");
	let isLate = false;
	const clock = setTimeout(() => {
		isLate = true;
		end();
	}, seconds * 1000);
	signal?.addEventListener("abort", end, { once: true });
	let said = "";
	child.stderr?.setEncoding("utf8").on("data", (text: string) => {
		said = (said + text).slice(-1000);
	});
	try {
		const trial = await new Promise<Trial | string>((resolve, reject) => {
			child.once("message", (message) => resolve(message as Trial));
			child.on("error", reject); // emitted again if the child ends before it gets its message
			child.once("close", (status, killer) => resolve(killer ?? `exit code ${status}`));
			const generates = "path" in spec || "tabular" in spec;
			const [step, request] = generates ? ["generate", firstStep(spec)] : ["score", firstScore(spec)];
			child.send({ addonPath: addonPath(), spec, step, request }, () => {});
		});
		if (signal?.aborted) throw abortedBy(signal);
		if (isLate) throw lateAfter(seconds);
		if (typeof trial === "string") throw endedBy(trial, said);
		if (trial.failure) throw errorFromNative(trial.failure.code, trial.failure.message);
	} finally {
		clearTimeout(clock);
		signal?.removeEventListener("abort", end);
		end();
	}
}

function lateAfter(seconds: number): InvalidModelError {
	return new InvalidModelError(
		`expected files that can be tried within ${seconds} s (${leastSeconds} s, and one for every 10 MB), but the process that tried them ` +
			"was still at it; get them from elsewhere, or load them without isolate where you trust them and they are slow to read",
	);
}

function endedBy(ending: string, said: string): InvalidModelError {
	const [firstLine] = said.trim().split("\n");
	const reason = firstLine ? `${ending}: ${firstLine}` : ending;
	return new InvalidModelError(
		`expected files that can be loaded, but the process that tried them ended by ${reason}; get them from elsewhere`,
	);
}
