// Parses on a thread that can be ended, because a small file may keep a parser busy forever, or make it use all memory.
import { Worker } from "node:worker_threads";
import { moduleFile } from "../base/package-files.js";

/** The input; see parse-worker.js. */
export type ParseTask = { kind: "parquet"; path: string } | { kind: "yaml"; text: string };

/** Many times what a sound file of this size needs. */
const limitsFor = (bytes: number) => ({ seconds: 8 + bytes / 20_000, heapMegabytes: Math.ceil(256 + (64 * bytes) / 1e6) });

/** Parses a file or a text of `bytes` bytes. Errors: one that names the fault, or says that it took too much time or memory. */
export async function parseApart(task: ParseTask, bytes: number): Promise<unknown> {
	const { seconds, heapMegabytes } = limitsFor(bytes);
	const worker = new Worker(moduleFile("data/parse-worker.js"), {
		workerData: task,
		execArgv: [],
		resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
	});
	let timer: NodeJS.Timeout | undefined;
	try {
		return await new Promise((resolve, reject) => {
			timer = setTimeout(
				() => reject(new Error(`${bytes} bytes that are not read within ${Math.round(seconds)} s, as damaged files are`)),
				seconds * 1000,
			);
			worker.on("message", ({ value, problem }: { value?: unknown; problem?: string }) =>
				problem === undefined ? resolve(value) : reject(new Error(problem)),
			);
			worker.on("error", ({ code, message }: NodeJS.ErrnoException) => {
				const isMemory = code === "ERR_WORKER_OUT_OF_MEMORY";
				reject(new Error(isMemory ? `${bytes} bytes that take more than ${heapMegabytes} MB to read, as damaged files do` : message));
			});
			worker.on("exit", (status) => reject(new Error(`a reader that ended with ${status}`)));
		});
	} finally {
		clearTimeout(timer);
		await worker.terminate();
	}
}
