// What the file of a probe says about itself.

import { CostModelMismatchError, InvalidCostModelError, InvalidOptionError } from "../errors.js";
import { callAddon } from "../native/addon.js";
import {
	type NativeConstraint,
	type NativeCostModel,
	type NativeInfo,
	type NativePrompt,
	type NativeSpec,
	rawPrompt,
} from "../native/protocol.js";
import { type PromptReading, readPrompt } from "../prompt/chat.js";

interface ProbeHeader {
	/** Fingerprint of the model whose states it reads. */
	modelHash: string;
	/** Recommended: texts of a higher probability are unsafe. */
	threshold: number;
	/** Recommended threshold with an encoder; undefined: that of the encoder's file. */
	jointThreshold?: number;
	/** What stood in front of the responses whose means it learned from; undefined: it reads the state at the last token. */
	means?: "nothing" | "prompt" | "chat";
}

/** Reads the header of a probe. Errors: INVALID_COST_MODEL. */
export function readProbe(path: string): ProbeHeader {
	return callAddon((native) => {
		const read = (...keys: string[]) => native.readTensors(path, "probe", "INVALID_COST_MODEL", ["model_hash"], keys);
		const { texts, numbers } = read("threshold");
		const share = (value: number, name: string) => {
			if (value > 0 && value < 1) return value;
			throw new InvalidCostModelError(`${path}: expected a ${name} between 0 and 1, got ${value}; make the file again`);
		};
		const header = { modelHash: texts.model_hash ?? "", threshold: share(numbers.threshold?.[0] ?? 0.5, "threshold") };
		const { metadata } = native.inspect(path);
		const holds = (key: string) => metadata.some((entry) => entry.key === `inferenceguard.${key}`);
		if (!holds("layers")) return header;
		const { with_context, chat } = read("with_context", "chat").numbers;
		const [jointThreshold] = holds("joint_threshold") ? (read("joint_threshold").numbers.joint_threshold ?? []) : [];
		const means = chat?.[0] ? "chat" : with_context?.[0] ? "prompt" : "nothing";
		return { ...header, means, ...(jointThreshold !== undefined && { jointThreshold: share(jointThreshold, "joint threshold") }) };
	});
}

/** The probe of a cost model: itself, or the one next to its encoder. */
function probeOf(cost: NativeCostModel): string | undefined {
	if (cost.kind !== "scorer") return undefined;
	return cost.scorer.kind === "probe" ? cost.scorer.path : cost.scorer.probe;
}

/**
 * What stands in front of a response to a prompt that a constraint's probe judges by its means; null where it reads none.
 * Errors: INVALID_COST_MODEL, INVALID_PROMPT, SPECIAL_TOKEN_TEXT, CHAT_TEMPLATE.
 */
export async function promptOfMeans(
	constraint: NativeConstraint,
	prompt: string,
	info: NativeInfo,
	reading: PromptReading,
): Promise<NativePrompt | null> {
	const path = probeOf(constraint);
	if (path === undefined) return null;
	const { means } = readProbe(path);
	if (means === undefined) return null;
	if (means === "chat") return (await readPrompt({ messages: [{ role: "user", content: prompt }] }, info, reading)).native;
	return rawPrompt(means === "prompt" ? prompt : "");
}

/** Whether a cost model is a probe, or has one next to it. */
export const readsProbe = ({ constraints }: Pick<NativeSpec, "constraints">) => constraints.some((cost) => probeOf(cost) !== undefined);

/** Checks that every probe belongs to the model with this fingerprint. Errors: COST_MODEL_MISMATCH, INVALID_OPTION. */
export function checkProbes(spec: NativeSpec, modelHash: string): void {
	for (const cost of spec.constraints) {
		const path = probeOf(cost);
		if (path === undefined) continue;
		if (!("path" in spec)) throw new InvalidOptionError("model: expected the GGUF file that the probe was trained on, got none");
		if (readProbe(path).modelHash === modelHash) continue;
		throw new CostModelMismatchError(
			`expected a probe that was trained on ${spec.path}, but ${path} was trained on another model; train one for it`,
		);
	}
}
