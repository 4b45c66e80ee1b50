// Loads the native addon, and makes errors of this package of what it reports.
import { resolve } from "node:path";
import { isPackageFound, packageFile, packageRequire } from "../base/package-files.js";
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

function notFound(cause: unknown): errors.AddonNotFoundError {
	const completely = isPackageFound
		? "- Was the package installed completely? Reinstall it without --omit or --ignore-files flags.\n"
		: "- A bundle needs the folder of the package too: keep node_modules/inferenceguard, and its dependencies, where the bundle finds them.\n";
	return new errors.AddonNotFoundError(
		`inferenceguard found no native binary that loads on ${process.platform}-${process.arch} with Node ${process.version}.\n` +
			completely +
			`- In Electron, unpack the package from the asar archive (asarUnpack): it was looked for in ${packageFile("")}.\n` +
			"- On a platform without a prebuilt binary, build from source: clone the repository and run `npm run compile`.\n" +
			`Cause: ${cause instanceof Error ? cause.message : String(cause)}`,
		{ cause },
	);
}

/** The file of the native binary that this process loads. Errors: ADDON_NOT_FOUND. */
export function addonPath(): string {
	const { INFERENCEGUARD_ADDON: named } = process.env;
	if (named) return resolve(named);
	try {
		return (packageRequire("node-gyp-build") as { path(root: string): string }).path(packageFile(""));
	} catch (cause) {
		throw notFound(cause);
	}
}

function load(): Addon {
	const path = addonPath();
	try {
		return packageRequire(path) as Addon;
	} catch (cause) {
		if (isCoded(cause) && cause.code === "CPU_UNSUPPORTED") throw errorFromNative(cause.code, cause.message);
		throw notFound(cause);
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
