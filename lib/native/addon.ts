// Finds and loads the native addon, and makes errors of this package of what it reports.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { isPackageFound, packageFile, packageRequire } from "../base/package-files.js";
import { reinstallCommand, type System } from "../base/package-manager.js";
import { warn } from "../base/warn.js";
import * as errors from "../errors.js";
import { levelFor } from "./cpu-level.js";
import { explainLoadFailure } from "./load-failure.js";
import { binariesOf, describeSystem, gpuPackages, libcVersion, platformOf, platforms, thisSystem } from "./platform-packages.js";
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

/** What there is to do where this system's binary is missing, or does not load. */
function remediesOn(system: System): string[] {
	const own = platformOf(system);
	const fromSource = `- Build it from source, with git, cmake and a C++17 compiler: node "${packageFile("scripts/build.mjs")}"`;
	if (!platforms.includes(own)) return [`- There is no prebuilt binary for ${own}.`, fromSource];
	if (binariesOf(own)) return [fromSource];
	const others = platforms.filter((name) => binariesOf(name));
	const instead = others.length > 0 ? `; the one for ${others.join(", ")} is there instead` : "";
	return [
		`- The package @inferenceguard/${own} is missing${instead}. It is an optional dependency: flags such as --omit=optional leave it out, ` +
			`and so does an install for another system. Install it with: ${reinstallCommand(system).join(" ")}`,
		fromSource,
	];
}

const bundleNeedsPackage =
	"- A bundle needs the folder of the package too: keep node_modules/inferenceguard, and its dependencies, where the bundle finds them.";

function remedies(reason: string): string[] {
	const { INFERENCEGUARD_ADDON: named } = process.env;
	if (named) return [`- INFERENCEGUARD_ADDON names ${resolve(named)}: correct it, or remove it from the environment.`];
	if (!isPackageFound) return [bundleNeedsPackage];
	const system = thisSystem();
	const explained = system.libc && explainLoadFailure(reason, { name: system.libc, version: libcVersion() });
	return [...(explained ? [`- ${explained}`] : []), ...remediesOn(system)];
}

function notFound(cause: unknown): errors.AddonNotFoundError {
	const reason = cause instanceof Error ? cause.message : String(cause);
	const here = isPackageFound ? describeSystem(thisSystem()) : `${process.platform}-${process.arch}`;
	return new errors.AddonNotFoundError(
		[
			`inferenceguard found no native binary that loads on ${here}, Node ${process.version}.`,
			...remedies(reason),
			"- In Electron, unpack inferenceguard and @inferenceguard from the asar archive (asarUnpack). The package was looked for in " +
				`${packageFile("")}.`,
			`Cause: ${reason}`,
		].join("\n"),
		{ cause },
	);
}

/** The binary in a folder, where there are several, that of the best CPU level. */
function binaryIn(folder: string): string {
	const levels = readdirSync(folder).flatMap((name) => name.match(/^inferenceguard\.(\w+)\.node$/)?.[1] ?? []);
	return join(folder, levels.length === 0 ? "inferenceguard.node" : `inferenceguard.${levelFor(levels, folder)}.node`);
}

/** Why a binary for a GPU cannot be used here: a library or a driver that is missing, or one that ends the process that asks it. */
function gpuProblem(binary: string): string | undefined {
	const { status, signal, stderr } = spawnSync(process.execPath, ["-e", "require(process.argv[1]).devices()", binary], {
		encoding: "utf8",
		env: { ...process.env, ELECTRON_RUN_AS_NODE: "1" },
		timeout: 60_000,
	});
	if (status === 0) return undefined;
	return /^Error: (.*)$/m.exec(stderr)?.[1] ?? `a process that loaded it ended by ${signal ?? `exit code ${status}`}`;
}

/** The first binary for a GPU that is installed and can be used. */
function gpuBinary(platform: string): string | undefined {
	for (const name of Object.values(gpuPackages[platform] ?? {})) {
		const folder = binariesOf(name);
		if (!folder) continue;
		const binary = binaryIn(folder);
		const problem = gpuProblem(binary);
		if (problem === undefined) return binary;
		const mend = "the GPU is not used: install what is missing, or remove the package";
		warn("GPU_UNUSABLE", `expected @inferenceguard/${name} to load, got: ${problem}; ${mend}`);
	}
	return undefined;
}

function findBinary(): string {
	if (!isPackageFound) throw new Error("Cannot find the package inferenceguard");
	const platform = platformOf(thisSystem());
	const isLevelAsked = Boolean(process.env.INFERENCEGUARD_CPU);
	if (!isLevelAsked) {
		const built = packageFile("build/Release/inferenceguard.node");
		if (existsSync(built)) return built;
		const gpu = gpuBinary(platform);
		if (gpu) return gpu;
	}
	const prebuilds = packageFile(`prebuilds/${platform}`);
	const folder = binariesOf(platform) ?? (existsSync(prebuilds) ? prebuilds : undefined);
	if (folder) return binaryIn(folder);
	throw new Error(`Cannot find @inferenceguard/${platform}, nor ${prebuilds}`);
}

let path: string | undefined;

/**
 * The file of the native binary that this process loads: the one that INFERENCEGUARD_ADDON names; that of a source build; that of a GPU's package;
 * that of the platform's package, or of prebuilds/, of the best CPU level. With INFERENCEGUARD_CPU, only those of a level count.
 *
 * Errors: ADDON_NOT_FOUND, CPU_UNSUPPORTED, INVALID_OPTION.
 */
export function addonPath(): string {
	const { INFERENCEGUARD_ADDON: named, INFERENCEGUARD_CPU: level } = process.env;
	if (named) return resolve(named);
	const ownBuild = packageFile("build/Release/inferenceguard.node");
	if (!level && existsSync(ownBuild)) return ownBuild;
	try {
		path ??= findBinary();
	} catch (cause) {
		if (errors.InferenceGuardError.isInstance(cause)) throw cause;
		throw notFound(cause);
	}
	return path;
}

function load(): Addon {
	const binary = addonPath();
	try {
		return packageRequire(binary) as Addon;
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
