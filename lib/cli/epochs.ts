interface Epoch {
	epoch: number;
	trainingLoss: number;
	validationLoss: number;
}

/** Shows the losses of a training run on one line of a terminal. */
export function showEpoch({ epoch, trainingLoss, validationLoss }: Epoch): void {
	if (!process.stderr.isTTY) return;
	process.stderr.write(`\repoch ${epoch}: training loss ${trainingLoss.toFixed(4)}, validation loss ${validationLoss.toFixed(4)}\x1b[K`);
}

/** Clears the line of {@link showEpoch}. */
export function clearEpoch(): void {
	if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}
