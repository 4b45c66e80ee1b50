// The common parts of all kinds of trained cost models.

import type { Split } from "../data/split.js";
import { callAddon } from "../native/addon.js";
import type { NativeTensor } from "../native/protocol.js";
import type { ChatMessage } from "../prompt/chat.js";
import type { ProbeReport } from "./train-probe.js";

/** A labelled response, or text. */
export interface LabelledText {
	text: string;
	/** The text that it answers; empty: not read. */
	context: string | readonly ChatMessage[];
	label: number;
	group: string;
	split: Split;
	/** The category of unsafe text, if known. */
	category?: string;
}

/** A file's notes on its training. */
export interface TrainingNotes {
	dataHash: string;
	numbers: { threshold: number; [key: string]: number };
}

/** A trained cost model, before its file is written. */
export interface Trained {
	/** Calibrated; of every text. Those of the training split may be missing (NaN). */
	logOdds: Float64Array;
	epochs: number;
	/** Returns the number of bytes written. */
	write(path: string, notes: TrainingNotes): Promise<number> | number;
	probe?: ProbeReport;
}

/** Writes a cost model that consists of one tensor. */
export function tensorWriter(
	kind: string,
	texts: Record<string, string>,
	numbers: Record<string, number | Float64Array>,
	tensor: NativeTensor,
): Trained["write"] {
	return (path, notes) =>
		callAddon((native) =>
			native.writeTensors(path, kind, { data_hash: notes.dataHash, ...texts }, { ...numbers, ...notes.numbers }, [tensor]),
		);
}
