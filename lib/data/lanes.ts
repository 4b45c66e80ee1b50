// Runs many jobs, several at a time.

/**
 * Starts jobs in order, at most `lanes` at a time. After a failure it starts no more, tells running jobs to stop, and throws the first
 * failure.
 */
export async function inLanes<T>(
	lanes: number,
	jobs: readonly T[],
	signal: AbortSignal,
	work: (job: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
	const stop = new AbortController();
	const open = jobs.values();
	let failure: unknown;
	const lane = async () => {
		const either = AbortSignal.any([signal, stop.signal]);
		try {
			for (const job of open) await work(job, either);
		} catch (error) {
			if (!stop.signal.aborted) failure = error;
			stop.abort();
		}
	};
	await Promise.all(Array.from({ length: lanes }, lane));
	if (stop.signal.aborted) throw failure;
}
