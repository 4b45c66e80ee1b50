// Loads the native addon, and makes errors of this package of what it reports.
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { isPackageFound, packageFile, packageRequire } from "../base/package-files.js";
import * as errors from "../errors.js";
import { levelFor } from "./cpu-level.js";
import { explainLoadFailure } from "./load-failure.js";
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

const libcs = () => packageRequire("detect-libc") as typeof import("detect-libc");

function notFound(cause: unknown): errors.AddonNotFoundError {
	const reason = cause instanceof Error ? cause.message : String(cause);
	const completely = isPackageFound
		? "- Was the package installed completely? Reinstall it without --omit or --ignore-files flags."
		: "- A bundle needs the folder of the package too: keep node_modules/inferenceguard, and its dependencies, where the bundle finds them.";
	const name = isPackageFound ? libcs().familySync() : null;
	const explained = name && explainLoadFailure(reason, { name, version: libcs().versionSync() });
	return new errors.AddonNotFoundError(
		`inferenceguard found no native binary that loads on ${process.platform}-${process.arch} with Node ${process.version}.\n` +
			`${explained ? `- ${explained}` : completely}\n` +
			`- In Electron, unpack the package from the asar archive (asarUnpack): it was looked for in ${packageFile("")}.\n` +
			"- On a platform without a prebuilt binary, build from source: clone the repository and run `npm run compile`.\n" +
			`Cause: ${reason}`,
		{ cause },
	);
}

/** The folder of this platform's binaries: those that scripts/platforms.json lists. */
function prebuildsFolder(): string {
	const suffix = { glibc: "-gnu", musl: "-musl" }[libcs().familySync() ?? ""] ?? "";
	return packageFile(`prebuilds/${process.platform}-${process.arch}${suffix}`);
}

/** The binary of the best level. */
function prebuiltPath(): string {
	const folder = prebuildsFolder();
	const levels = readdirSync(folder).flatMap((name) => name.match(/^inferenceguard\.(\w+)\.node$/)?.[1] ?? []);
	return join(folder, `inferenceguard.${levelFor(levels, folder)}.node`);
}

/**
 * The file of the native binary that this process loads: that of a source build, otherwise the prebuilt one of the best CPU level. With
 * INFERENCEGUARD_CPU, only those of a level count.
 *
 * Errors: ADDON_NOT_FOUND, CPU_UNSUPPORTED, INVALID_OPTION.
 */
export function addonPath(): string {
	const { INFERENCEGUARD_ADDON: named, INFERENCEGUARD_CPU: level } = process.env;
	if (named) return resolve(named);
	const ownBuild = packageFile("build/Release/inferenceguard.node");
	if (!level && existsSync(ownBuild)) return ownBuild;
	try {
		return prebuiltPath();
	} catch (cause) {
		if (errors.InferenceGuardError.isInstance(cause)) throw cause;
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

/** The addon, loaded at first use. Errors: ADDON_NOT_FOUND, CPU_UNSUPPORTED, INVALID_OPTION. */
export function addon(): Addon {
	loaded ??= load();
	return loaded;
}

/** Calls a synchronous function of the addon; its failures become this package's errors. */
export function callAddon<T>(call: (native: Addon) => T): T {
	try {
		return call(addon());
	} catch (error) {
		if (isCoded(error) && !errors.InferenceGuardError.isInstance(error)) throw errorFromNative(error.code, error.message);
		throw error;
	}
}
