import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { costHash, modelHash, rewardHash, specHash } from "./fingerprint.js";
import { addonPath, callAddon, type NativeSpec } from "./native.js";

/** Fingerprints of everything that decides what a guard answers, beside the options of a generation. */
export interface GuardIdentity {
	model: string;
	/** One per constraint, without its budget. */
	costs: string[];
	reward: string;
	/** Empty: none. */
	critic: string;
	/** Empty: none. */
	controlVector: string;
	/** The context that was asked for, in tokens; 0: the model's own. A smaller one cuts responses short. */
	contextSize: number;
	/** Versions of this package and of llama.cpp, and the SHA-256 of the native binary. */
	build: string;
}

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

let build: Promise<string> | undefined;

/** What this process computes with. */
function buildName(): Promise<string> {
	const describe = async () => {
		const llamaCpp = callAddon((native) => native.llamaCppVersion);
		const binary = createHash("sha256").update(await readFile(addonPath()));
		return `inferenceguard ${version}, llama.cpp ${llamaCpp}, binary ${binary.digest("hex")}`;
	};
	build ??= describe();
	return build;
}

/** The identity of a guard; `model` where its fingerprint is known already. */
export async function guardIdentity(spec: NativeSpec, model?: string): Promise<GuardIdentity> {
	const steering = "path" in spec ? spec.steering : undefined;
	return {
		model: model ?? (await specHash(spec)),
		costs: await Promise.all(spec.constraints.map(costHash)),
		reward: await rewardHash(spec),
		critic: spec.critic === "" ? "" : await modelHash(spec.critic),
		controlVector: steering ? `${await modelHash(steering.vector)} ${JSON.stringify({ ...steering, vector: undefined })}` : "",
		contextSize: "path" in spec ? spec.contextSize : 0,
		build: await buildName(),
	};
}
