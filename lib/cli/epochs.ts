import { SingleBar } from "cli-progress";
import type { EpochProgress } from "../progress.js";

/** A bar over the epochs of a training, with its losses; nothing without a terminal. */
export class EpochBar {
	readonly #bar = new SingleBar({
		format: "epoch {value}/{total} [{bar}] training loss {training}, validation loss {validation}",
		clearOnComplete: true,
		stopOnComplete: false,
		stream: process.stderr,
		noTTYOutput: false,
	});

	show({ epoch, epochs, trainingLoss, validationLoss }: EpochProgress): void {
		if (!process.stderr.isTTY) return;
		const losses = { training: trainingLoss.toFixed(4), validation: validationLoss.toFixed(4) };
		if (epoch === 1) this.#bar.start(epochs, 0, losses);
		this.#bar.update(epoch, losses);
	}

	stop(): void {
		this.#bar.stop();
	}
}
