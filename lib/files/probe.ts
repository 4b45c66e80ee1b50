// The header of a probe's file.

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
	/** Recommended: texts with a higher probability are unsafe. */
	threshold: number;
	/** Recommended threshold with an encoder; undefined: the one in the encoder's file. */
	jointThreshold?: number;
	/** What preceded the responses in the training on means; undefined: the probe reads the state at the last token. */
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

/** The probe of a cost model: the cost model itself, or its encoder's additional member. */
function probeOf(cost: NativeCostModel): string | undefined {
	if (cost.kind !== "scorer") return undefined;
	return cost.scorer.kind === "probe" ? cost.scorer.path : cost.scorer.probe;
}

/**
 * What precedes a response to a prompt when a constraint's probe reads its means; null if the probe reads none. Errors: INVALID_COST_MODEL,
 * INVALID_PROMPT, SPECIAL_TOKEN_TEXT, CHAT_TEMPLATE.
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

/** Whether a cost model is a probe, or has one as an additional member. */
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
