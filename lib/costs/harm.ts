// The judge of harm in this package.

import { stat } from "node:fs/promises";
import { packageFile } from "../base/package-files.js";
import { modelHash } from "../files/fingerprint.js";
import { readProbe } from "../files/probe.js";

/** An encoder that reads prompt and response. */
export const harmJudge = packageFile("models/harm.gguf");

/**
 * Probes that are additional members of the judge, one per model, by that model's size in bytes. The size tells most other models apart
 * without reading them.
 */
export const harmProbesBySize = new Map([[98_362_432, packageFile("models/harm-smollm2.gguf")]]);

/** All of these probes. */
export const harmProbes = [...harmProbesBySize.values()];

/** The judge in this package, with its probe for this model if there is one. */
export async function harmFor(model: string | undefined): Promise<{ encoder: string; probe?: string }> {
	if (model === undefined) return { encoder: harmJudge };
	const found = await stat(model).catch(() => undefined); // a missing file is reported when it is loaded
	const probe = found && harmProbesBySize.get(found.size);
	if (probe === undefined) return { encoder: harmJudge };
	const isOfModel = readProbe(probe).modelHash === (await modelHash(model));
	return { encoder: harmJudge, ...(isOfModel && { probe }) };
}
