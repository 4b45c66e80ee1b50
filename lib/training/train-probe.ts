// Trains a probe of a model's latent state on labelled responses.

import { auc, finite, groupedShareInterval, type Interval } from "../data/metrics.js";
import type { Split } from "../data/split.js";
import { InvalidOptionError } from "../errors.js";
import { Fingerprints } from "../guard/identity.js";
import { baseSpec } from "../guard/load-spec.js";
import { NativeGuard } from "../guard/native-guard.js";
import { type NativeInfo, type NativeProbe, type NativeProbes, type NativePrompt, rawPrompt, splitNumbers } from "../native/protocol.js";
import type { EpochProgress } from "../progress.js";
import type { PromptReading } from "../prompt/chat.js";
import { type LabelledText, type Trained, tensorWriter } from "./cost-model.js";
import type { checkTrainCostOptions } from "./options.js";
import { readPromptOf } from "./prompts.js";

/** The quality of a probe with some inputs. AUC: null if only one label occurs. */
export interface ProbeInputReport {
	/** Layers after which it reads means over the response's tokens. */
	layers: number[];
	/** Whether it reads the final-norm state at the last token. */
	lastState: boolean;
	/** Cross-entropy on the validation split, unfinished responses included: the lowest is chosen. */
	validationLoss: number;
	validationAuc: number | null;
	testAuc: number | null;
	/** 95 % interval over groups, with the method of {@link CostMetrics.aucIntervalMethod} of the test split; null if there are fewer than 10. */
	testAucInterval: Interval | null;
	/** On the first tokens of longer responses of the test split. */
	byLength: { tokens: number; texts: number; auc: number | null }[];
}

/** The inputs of a probe, and how good others would have been. */
export interface ProbeReport {
	/** Layers whose means it reads, counted from 0 as in llama.cpp; empty: the state at the last token. */
	layers: number[];
	/** Rows of training: whole responses and their first 16, 32 and 64 tokens. */
	rows: number;
	inputs: ProbeInputReport[];
}

type Checked = ReturnType<typeof checkTrainCostOptions>;

const layerStep = 4;

/** Layers whose residual stream can be read: all but the last, for which llama.cpp computes only outputs. */
function layersOf({ layers: wanted }: Checked, { layers: count }: NativeInfo): number[] {
	const readable = Array.from({ length: Math.max(0, count - 1) }, (_, layer) => layer);
	if (wanted === "last") return [];
	if (wanted === "auto") {
		const some = readable.filter((layer) => (layer + 1) % layerStep === 0);
		return some.length > 0 ? some : readable.slice(-1);
	}
	const absent = wanted.find((layer) => !readable.includes(layer));
	if (absent === undefined) return wanted;
	throw new InvalidOptionError(`layers: expected layers from 0 to ${count - 2} of this model, got ${absent}`);
}

/** The prompt before a response. An error names the row. */
async function promptOf(
	{ context }: LabelledText,
	row: number,
	chat: boolean,
	info: NativeInfo,
	reading: PromptReading,
): Promise<NativePrompt> {
	if (context === "") return rawPrompt("");
	return chat ? (await readPromptOf(context, row, chat, info, reading)).native : rawPrompt(context as string);
}

/**
 * The requested probe, or the one with the lowest validation loss. At inference, a probe of the last state reads its text without a
 * template.
 */
function chosenOf({ probes }: NativeProbes, layers: number[], wanted: Checked["layers"], chat: boolean): NativeProbe {
	const isEligible = (probe: NativeProbe) => {
		if (wanted === "last") return probe.layers.length === 0;
		if (probe.last) return wanted === "auto" && !chat && probe.layers.length === 0;
		return wanted === "auto" || probe.layers.length === layers.length;
	};
	return probes.filter(isEligible).reduce((best, other) => (other.validationLoss < best.validationLoss ? other : best));
}

const isUnsafe = (label: number) => (label > 0.5 ? 1 : 0);

function inputReport(probe: NativeProbe, { text, tokens, whole }: NativeProbes, rows: LabelledText[]): ProbeInputReport {
	const all = Array.from(text, (_, i) => i);
	const labels = Array.from(text, (row) => isUnsafe((rows[row] as LabelledText).label));
	const aucOf = (some: number[]) =>
		auc(
			some.map((i) => probe.logOdds[i] as number),
			some.map((i) => labels[i] as number),
		);
	const ofSplit = (split: Split) => all.filter((i) => rows[text[i] as number]?.split === split);
	const wholeOf = (split: Split) => ofSplit(split).filter((i) => whole[i]);
	const test = wholeOf("test");
	const groups = new Map<string, number>();
	const groupOf = (i: number) => {
		const { group } = rows[text[i] as number] as LabelledText;
		const known = groups.get(group) ?? groups.size;
		groups.set(group, known);
		return known;
	};
	const unfinished = ofSplit("test").filter((i) => !whole[i]);
	const lengths = [...new Set(unfinished.map((i) => tokens[i] as number))].sort((a, b) => a - b);
	return {
		layers: Array.from(probe.layers),
		lastState: probe.last,
		validationLoss: probe.validationLoss,
		validationAuc: finite(aucOf(wholeOf("validation"))),
		testAuc: finite(aucOf(test)),
		testAucInterval: groupedShareInterval(test.map(groupOf), (sample) => aucOf(sample.map((i) => test[i] as number))),
		byLength: lengths.map((length) => {
			const some = unfinished.filter((i) => tokens[i] === length);
			return { tokens: length, texts: some.length, auc: finite(aucOf(some)) };
		}),
	};
}

/** Trains probes on the states of the model's layers for each response. Takes the requested one or the best. */
export async function trainProbe(
	model: string,
	options: Checked,
	rows: LabelledText[],
	signal: AbortSignal,
	epoch: (progress: EpochProgress) => void,
): Promise<Trained> {
	const spec = baseSpec(model, options);
	const fingerprints = await Fingerprints.of(spec);
	const native = new NativeGuard(spec, signal, () => {});
	try {
		const info = await native.opened;
		const texts = { model_hash: await fingerprints.model({ signal }) };
		const layers = layersOf(options, info);
		const chat = options.chat || rows.some(({ context }) => typeof context !== "string");
		if (chat && layers.length === 0) {
			throw new InvalidOptionError(
				"layers: expected layers to read means behind chat prompts, got none; the last state is read without a template",
			);
		}
		const prompts: NativePrompt[] = [];
		for (const [i, row] of rows.entries()) prompts.push(await promptOf(row, i, chat, info, { now: options.now, signal }));
		const trained = await native.run(
			"trainProbes",
			{
				prompts,
				texts: rows.map(({ text }) => text),
				labels: Float32Array.from(rows, ({ label }) => label),
				splits: Uint8Array.from(rows, ({ split }) => splitNumbers[split]),
				layers: Int32Array.from(layers),
				chooses: options.layers === "auto",
			},
			signal,
			{ epoch },
		);
		const chosen = chosenOf(trained, layers, options.layers, chat);
		const ofMeans = { layers: Float64Array.from(chosen.layers), prior: chosen.prior, chat: chat ? 1 : 0 };
		const tensor = { name: "weights", shape: [chosen.weights.length], values: chosen.weights, half: false };
		return {
			logOdds: chosen.logOdds.filter((_, i) => trained.whole[i]),
			epochs: chosen.epochs,
			write: tensorWriter("probe", texts, { bias: chosen.bias, ...(chosen.last ? {} : ofMeans) }, tensor),
			probe: {
				layers: Array.from(chosen.layers),
				rows: trained.text.filter((row) => rows[row]?.split === "train").length,
				inputs: trained.probes.map((probe) => inputReport(probe, trained, rows)),
			},
		};
	} finally {
		await native.close();
	}
}
