// What all kinds of trained cost models have in common.

import type { Split } from "../data/split.js";
import { callAddon } from "../native/addon.js";
import type { NativeTensor } from "../native/protocol.js";
import type { ChatMessage } from "../prompt/chat.js";
import type { ProbeReport } from "./train-probe.js";

/** A labelled response, or text. */
export interface LabelledText {
	text: string;
	/** What it answers; empty: not read. */
	context: string | readonly ChatMessage[];
	label: number;
	group: string;
	split: Split;
	/** Which kind of unsafe it is, where that is known. */
	category?: string;
}

/** What a file says of its training. */
export interface TrainingNotes {
	dataHash: string;
	numbers: { threshold: number; [key: string]: number };
}

/** A trained cost model, before its file is written. */
export interface Trained {
	/** Calibrated, of every text; those of training may be missing (NaN). */
	logOdds: Float64Array;
	epochs: number;
	/** Returns how many bytes it wrote. */
	write(path: string, notes: TrainingNotes): Promise<number> | number;
	probe?: ProbeReport;
}

/** Writes a cost model that is one tensor. */
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
