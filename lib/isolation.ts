import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { InvalidModelError } from "./errors.js";
import { addonPath, errorFromNative, type NativeRequest, type NativeSpec } from "./native.js";
import { checkGenerateOptions } from "./options.js";
import { resolveSearch } from "./search-settings.js";
import { abortedBy } from "./worker.js";

const script = fileURLToPath(new URL("./isolated-trial.js", import.meta.url));

/** Two candidates of two tokens, behind a token that every vocabulary has: prompt, step and judgement of each. */
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
 * Loads what the spec names and takes a first step in a child process, which is ended then: files that make the engine end its process
 * end that one. Errors: those of loading and generating; INVALID_MODEL where the process ended without a word; ABORTED.
 */
export async function tryIsolated(spec: NativeSpec, signal: AbortSignal | undefined): Promise<void> {
	if (signal?.aborted) throw abortedBy(signal);
	const child = fork(script, { execArgv: [], serialization: "advanced", stdio: ["ignore", "ignore", "pipe", "ipc"] });
	const end = () => child.kill("SIGKILL");
	signal?.addEventListener("abort", end, { once: true });
	let said = "";
	child.stderr?.setEncoding("utf8").on("data", (text: string) => {
		said = (said + text).slice(-1000);
	});
	try {
		const trial = await new Promise<Trial | string>((resolve, reject) => {
			child.once("message", (message) => resolve(message as Trial));
			child.on("error", reject); // and once more where it ends before it is told
			child.once("close", (status, killer) => resolve(killer ?? `exit code ${status}`));
			child.send({ addonPath: addonPath(), spec, request: firstStep(spec) }, () => {});
		});
		if (signal?.aborted) throw abortedBy(signal);
		if (typeof trial === "string") throw endedBy(trial, said);
		if (trial.failure) throw errorFromNative(trial.failure.code, trial.failure.message);
	} finally {
		signal?.removeEventListener("abort", end);
		end();
	}
}

function endedBy(ending: string, said: string): InvalidModelError {
	const [firstLine] = said.trim().split("\n");
	const reason = firstLine ? `${ending}: ${firstLine}` : ending;
	return new InvalidModelError(
		`expected files that can be loaded, but the process that tried them ended by ${reason}; get them from elsewhere`,
	);
}
