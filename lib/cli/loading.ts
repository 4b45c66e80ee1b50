import { SingleBar } from "cli-progress";
import { InferenceGuard } from "../guard.js";
import type { LoadOptions } from "../types.js";

/** Loads a guard with a progress bar on a terminal. */
export async function loadWithProgress(options: LoadOptions): Promise<InferenceGuard> {
	const bar = new SingleBar({
		format: "loading model [{bar}] {percentage}%",
		clearOnComplete: true,
		noTTYOutput: false,
		stream: process.stderr,
	});
	if (process.stderr.isTTY) bar.start(100, 0);
	try {
		return await InferenceGuard.load({ ...options, onLoadProgress: (share) => bar.update(Math.round(share * 100)) });
	} finally {
		bar.stop();
	}
}

/** Reads a number given on the command line; anything else is left for the option's own check to reject. */
export function numeric(given: string | undefined): number | undefined {
	return given === undefined ? undefined : Number(given === "" ? Number.NaN : given);
}
