import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { z } from "zod";
import { InvalidCostModelError } from "./errors.js";
import { callAddon, type NativeCostModel, type NativeLexiconTerm, type NativeScorer, type NativeSpec } from "./native.js";

const sampledBlocks = 64;
const blockBytes = 65536;

/**
 * Fingerprint of a model file: SHA-256 over its metadata and tensor directory, its size, and 64 blocks of 64 KiB spread
 * evenly over the tensor data. Costs milliseconds for a file of any size.
 */
export async function modelHash(path: string): Promise<string> {
	const { dataOffset, bytes } = callAddon((native) => native.inspect(path));
	const hash = createHash("sha256").update(`${bytes}`);
	const file = await open(path);
	try {
		const addBytes = async (position: number, length: number) => {
			const buffer = Buffer.alloc(length);
			const { bytesRead } = await file.read(buffer, 0, length, position);
			hash.update(buffer.subarray(0, bytesRead));
		};
		await addBytes(0, dataOffset);
		const stride = Math.max(blockBytes, Math.floor((bytes - dataOffset) / sampledBlocks));
		for (let position = dataOffset; position < bytes; position += stride) await addBytes(position, Math.min(blockBytes, bytes - position));
	} finally {
		await file.close();
	}
	return hash.digest("hex");
}

const sha256 = (...parts: (string | NodeJS.ArrayBufferView)[]) =>
	parts
		.reduce(
			(hash, part) => hash.update(typeof part === "string" ? part : new Uint8Array(part.buffer, part.byteOffset, part.byteLength)),
			createHash("sha256"),
		)
		.digest("hex");

/** Fingerprint of a guard's model, from its file or its table. */
export async function specHash(spec: NativeSpec): Promise<string> {
	if ("path" in spec) return modelHash(spec.path);
	if (!("tabular" in spec)) return "";
	const { pieces, logits, ends } = spec.tabular;
	return sha256(JSON.stringify(pieces), logits, ends);
}

function lexiconHash(terms: readonly NativeLexiconTerm[]): string {
	return sha256(JSON.stringify(terms.map(({ term, weight }) => [term, weight]).sort()));
}

async function classifierHash(path: string): Promise<string> {
	try {
		return await modelHash(path);
	} catch (cause) {
		throw new InvalidCostModelError(`expected a trained cost model at ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

/** A language model that scores, with what it reads and which of its answers count. */
async function scorerHash({ kind, path, head, template, labels, multiLabel, uncertaintyPenalty, probe }: NativeScorer): Promise<string> {
	const headHash = head === "" ? "" : await classifierHash(head);
	const own = kind === "probe" || kind === "encoder" ? await classifierHash(path) : await modelHash(path);
	const member = probe === undefined ? undefined : await classifierHash(probe);
	const given = [multiLabel, uncertaintyPenalty, member].filter((value) => value !== undefined);
	return sha256(kind, own, headHash, JSON.stringify([template ?? null, labels, ...given]));
}

/** A cost model and its budget, as rollouts and critics remember them. */
export const constraintIdentity = z.strictObject({
	hash: z.string(),
	kind: z.enum(["lexicon", "tokenCosts", "classifier", "scorer", "function"]),
	budget: z.number(),
	discount: z.number(),
	criterion: z.enum(["anytime", "terminal"]),
	/** Whether costs below 0 count as 0. */
	floored: z.boolean(),
});

export type ConstraintIdentity = z.output<typeof constraintIdentity>;

/** Fingerprint of a cost model, without its budget. A function has none of its own: it is taken on trust. */
export async function costHash(cost: NativeCostModel): Promise<string> {
	switch (cost.kind) {
		case "lexicon":
			return lexiconHash(cost.lexicon);
		case "tokenCosts":
			return sha256(cost.tokenCosts);
		case "classifier":
			return sha256(await classifierHash(cost.classifier), cost.link, cost.link === "excess" ? String(cost.threshold) : "");
		case "scorer":
			return sha256(await scorerHash(cost.scorer), cost.link, cost.link === "excess" ? String(cost.threshold) : "");
		case "function":
			return "function";
	}
}

/** Fingerprint of a reward model. */
export async function rewardHash({
	reward,
	rewardLexicon,
	rewardScorer,
}: Pick<NativeSpec, "reward" | "rewardLexicon" | "rewardScorer">): Promise<string> {
	if (rewardScorer) return scorerHash(rewardScorer);
	return rewardLexicon ? lexiconHash(rewardLexicon) : reward;
}
