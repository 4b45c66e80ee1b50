import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { packageVersion } from "../base/package-files.js";
import { costFiles, costHash } from "../costs/index.js";
import { rewardFiles, rewardHash } from "../costs/rewards.js";
import { FileStates, type HashOptions } from "../files/file-hash.js";
import { modelHash, partsByName, specHash } from "../files/fingerprint.js";
import { addonPath, callAddon } from "../native/addon.js";
import type { NativeSpec } from "../native/protocol.js";

/** Fingerprints of everything that decides a guard's answers, except the options of a generation. */
export interface GuardIdentity {
	model: string;
	/** One per constraint, without its budget. */
	costs: string[];
	reward: string;
	/** Empty: none. */
	critic: string;
	/** Empty: none. */
	controlVector: string;
	/** The requested context, in tokens; 0: the model's own. A smaller one cuts responses short. */
	contextSize: number;
	/** Versions of this package and of llama.cpp, and the SHA-256 of the native binary. */
	build: string;
}

let build: Promise<string> | undefined;

/** The build of this process. */
function buildName(): Promise<string> {
	const describe = async () => {
		const llamaCpp = callAddon((native) => native.llamaCppVersion);
		const binary = createHash("sha256").update(await readFile(addonPath()));
		return `inferenceguard ${packageVersion()}, llama.cpp ${llamaCpp}, binary ${binary.digest("hex")}`;
	};
	build ??= describe();
	return build;
}

/** The identity of a guard that is loaded with a spec; `model` if its fingerprint is known already. */
export async function guardIdentity(spec: NativeSpec, model?: string): Promise<GuardIdentity> {
	const steering = "path" in spec ? spec.steering : undefined;
	return {
		model: model ?? (await specHash(spec)),
		costs: await Promise.all(spec.constraints.map(costHash)),
		reward: await rewardHash(spec),
		critic: spec.critic === undefined ? "" : await modelHash(spec.critic),
		controlVector: steering ? `${await modelHash(steering.vector)} ${JSON.stringify({ ...steering, vector: undefined })}` : "",
		contextSize: ("path" in spec ? spec.contextSize : undefined) ?? 0,
		build: await buildName(),
	};
}

/** Every file with weights that a guard is loaded from. */
export function filesOf(spec: NativeSpec): string[] {
	const own = "path" in spec ? [spec.path, spec.steering?.vector] : [];
	const all = [...own, spec.critic, ...spec.constraints.flatMap(costFiles), ...rewardFiles(spec)].filter((path) => path !== undefined);
	return [...new Set(all)].flatMap(partsByName);
}

/**
 * The fingerprints of the loaded files. They are computed on the first request, since every file has to be read for them, and only if the
 * files are still those that were loaded.
 */
export class Fingerprints {
	readonly #spec: NativeSpec;
	readonly #files: FileStates;
	#model: string | undefined;
	#identity: GuardIdentity | undefined;

	private constructor(spec: NativeSpec, files: FileStates) {
		this.#spec = spec;
		this.#files = files;
	}

	/** To be called before the files are loaded. */
	static async of(spec: NativeSpec): Promise<Fingerprints> {
		return new Fingerprints(spec, await FileStates.of(filesOf(spec)));
	}

	/** The model's fingerprint, if it was computed; that of a table is always known. */
	get known(): string | null {
		return this.#model ?? null;
	}

	/** Errors: INVALID_MODEL, ABORTED. */
	async model(options?: HashOptions): Promise<string> {
		if (this.#model === undefined) {
			const hash = await specHash(this.#spec, options);
			await this.#files.expectUnchanged();
			this.#model = hash;
		}
		return this.#model;
	}

	/** Errors: those of {@link model}. */
	async identity(): Promise<GuardIdentity> {
		if (this.#identity === undefined) {
			const identity = await guardIdentity(this.#spec, await this.model());
			await this.#files.expectUnchanged();
			this.#identity = identity;
		}
		return this.#identity;
	}

	/** Those of the cost models. Errors: INVALID_MODEL. */
	async costs(): Promise<string[]> {
		const hashes = await Promise.all(this.#spec.constraints.map(costHash));
		await this.#files.expectUnchanged();
		return hashes;
	}

	/** To be called once they are loaded. Errors: INVALID_MODEL. */
	expectLoaded(): Promise<void> {
		return this.#files.expectUnchanged();
	}
}
