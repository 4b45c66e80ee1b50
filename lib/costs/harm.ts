// The judge of harm that this package carries.

import { stat } from "node:fs/promises";
import { packageFile } from "../base/package-files.js";
import { modelHash } from "../files/fingerprint.js";
import { readProbe } from "../files/probe.js";

/** An encoder that reads prompt and response. */
export const harmJudge = packageFile("models/harm.gguf");

/** Probes that judge beside it, each of one model, by that model's size in bytes: most others are told apart without reading them. */
export const harmProbesBySize = new Map([[98_362_432, packageFile("models/harm-smollm2.gguf")]]);

/** All of them. */
export const harmProbes = [...harmProbesBySize.values()];

/** The judge that comes along, with the probe that comes along for this model. */
export async function harmFor(model: string | undefined): Promise<{ encoder: string; probe?: string }> {
	if (model === undefined) return { encoder: harmJudge };
	const found = await stat(model).catch(() => undefined); // loading says why there is none
	const probe = found && harmProbesBySize.get(found.size);
	if (probe === undefined) return { encoder: harmJudge };
	const isOfModel = readProbe(probe).modelHash === (await modelHash(model));
	return { encoder: harmJudge, ...(isOfModel && { probe }) };
}
