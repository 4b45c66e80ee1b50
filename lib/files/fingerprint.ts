import { createHash } from "node:crypto";
import { z } from "zod";
import { InvalidModelError } from "../errors.js";
import { callAddon } from "../native/addon.js";
import type { NativeCostModel, NativeSpec } from "../native/protocol.js";
import { type HashOptions, hashFiles } from "./file-hash.js";

/** The files of a model, in the order of its parts. Errors: MODEL_NOT_FOUND, INVALID_MODEL. */
function modelParts(path: string): string[] {
	const { metadata } = callAddon((native) => native.inspect(path));
	const numberOf = (key: string) => Number(metadata.find((entry) => entry.key === key)?.value ?? 0);
	const count = numberOf("split.count");
	if (count <= 1 || numberOf("split.no") > 0) return [path]; // a later part is not a model by itself
	const parts = partsByName(path);
	if (parts.length === count) return parts;
	const name = `-00001-of-${String(count).padStart(5, "0")}.gguf`;
	throw new InvalidModelError(
		`expected the name of the first of ${count} parts to end with ${name}, got ${path}; give the parts their names back`,
	);
}

/** The files that a first part's name implies. Any other name is a single file. */
export function partsByName(path: string): string[] {
	const [, before, count] = /^(.*)-00001-of-(\d{5})\.gguf$/s.exec(path) ?? [];
	if (count === undefined) return [path];
	return Array.from({ length: Number(count) }, (_, i) => `${before}-${String(i + 1).padStart(5, "0")}-of-${count}.gguf`);
}

/**
 * Fingerprint of a model file: SHA-256 over all bytes, for a split model over all parts in order. Computed once for an unchanged file.
 * Errors: MODEL_NOT_FOUND, INVALID_MODEL, ABORTED.
 */
export async function modelHash(path: string, options?: HashOptions): Promise<string> {
	return hashFiles(modelParts(path), options);
}

export const sha256 = (...parts: (string | ArrayBufferView)[]) =>
	parts
		.reduce(
			(hash, part) => hash.update(typeof part === "string" ? part : new Uint8Array(part.buffer, part.byteOffset, part.byteLength)),
			createHash("sha256"),
		)
		.digest("hex");

/** Fingerprint of a guard's model, from its file or its table. */
export async function specHash(spec: NativeSpec, options?: HashOptions): Promise<string> {
	if ("path" in spec) return modelHash(spec.path, options);
	if (!("tabular" in spec)) return "";
	const { pieces, logits, ends } = spec.tabular;
	return sha256(JSON.stringify(pieces), logits, ends);
}

/** A cost model and its budget, as recorded in rollouts and critics. */
export const constraintIdentity = z.strictObject({
	hash: z.string(),
	kind: z.custom<NativeCostModel["kind"]>((kind) => typeof kind === "string"), // the hash distinguishes cost models
	budget: z.number(),
	discount: z.number(),
	criterion: z.enum(["anytime", "terminal"]),
	/** Whether negative costs count as 0. */
	floored: z.boolean(),
});

export type ConstraintIdentity = z.output<typeof constraintIdentity>;
