// Loads the native addon, and makes errors of this package of what it reports.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import * as errors from "../errors.js";
import type { Addon } from "./protocol.js";

function isCoded(error: unknown): error is { code: string; message: string } {
	return error instanceof Error && "code" in error && typeof error.code === "string";
}

const reportedByAddon = [
	errors.InvalidDataError,
	errors.InvalidOptionError,
	errors.InvalidPromptError,
	errors.SpecialTokenTextError,
	errors.PromptTooLongError,
	errors.InvalidLexiconError,
	errors.ModelNotFoundError,
	errors.InvalidModelError,
	errors.UnsupportedModelError,
	errors.DeviceNotFoundError,
	errors.KvCapacityError,
	errors.OutOfMemoryError,
	errors.DecodeError,
	errors.CallbackError,
	errors.AbortedError,
	errors.CpuUnsupportedError,
	errors.InvalidCostModelError,
	errors.CostModelFlippedError,
	errors.CostModelTemplateError,
	errors.CostModelTokenizerError,
	errors.CostModelMismatchError,
	errors.TextTooLongError,
	errors.WriteError,
	errors.InvalidRolloutsError,
	errors.InvalidCriticError,
	errors.CriticMismatchError,
	errors.TrainingDivergedError,
	errors.InvalidControlVectorError,
	errors.ControlVectorMismatchError,
];

/** Turns what the addon reports into the error class of its code. */
export function errorFromNative(code: string, message: string): errors.InferenceGuardError {
	const Known = reportedByAddon.find((candidate) => candidate.code === code) ?? errors.InternalError;
	return new Known(message);
}

const require = createRequire(import.meta.url);

/** The file of the native binary that this process loads. */
export function addonPath(): string {
	const packageRoot = fileURLToPath(new URL("../..", import.meta.url));
	return process.env.INFERENCEGUARD_ADDON || (require("node-gyp-build") as { path(root: string): string }).path(packageRoot);
}

function load(): Addon {
	try {
		return require(addonPath()) as Addon;
	} catch (cause) {
		if (isCoded(cause) && cause.code === "CPU_UNSUPPORTED") throw errorFromNative(cause.code, cause.message);
		const platform = `${process.platform}-${process.arch}`;
		throw new errors.AddonNotFoundError(
			`inferenceguard found no native binary that loads on ${platform} with Node ${process.version}.\n` +
				"- Was the package installed completely? Reinstall it without --omit or --ignore-files flags.\n" +
				"- In Electron, keep the package outside the asar archive (asarUnpack).\n" +
				"- On a platform without a prebuilt binary, build from source: clone the repository and run `npm run compile`.\n" +
				`Cause: ${cause instanceof Error ? cause.message : String(cause)}`,
			{ cause },
		);
	}
}

let loaded: Addon | undefined;

/** The addon, loaded at first use. Errors: ADDON_NOT_FOUND, CPU_UNSUPPORTED. */
export function addon(): Addon {
	loaded ??= load();
	return loaded;
}

/** Calls a synchronous function of the addon; its failures become this package's errors. */
export function callAddon<T>(call: (native: Addon) => T): T {
	try {
		return call(addon());
	} catch (error) {
		if (isCoded(error) && !(error instanceof errors.AddonNotFoundError)) throw errorFromNative(error.code, error.message);
		throw error;
	}
}
