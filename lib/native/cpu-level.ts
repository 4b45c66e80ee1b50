// Chooses among the binaries of one platform, which differ in the CPU instructions that they use (cmake/cpu-features.cmake).
import { join } from "node:path";
import { packageRequire } from "../base/package-files.js";
import { CpuUnsupportedError, InvalidOptionError } from "../errors.js";

/** The CPU features that each level needs and this process may not use, from the least demanding level up: what the probe says. */
export type LackingFeatures = Readonly<Record<string, readonly string[]>>;

/**
 * The level that was asked for, or otherwise the most demanding one of those present that the processor runs.
 *
 * Errors: CPU_UNSUPPORTED, INVALID_OPTION for a level that is not present.
 */
export function chooseLevel(present: readonly string[], lackingFeatures: LackingFeatures, asked: string | undefined): string {
	const levels = Object.entries(lackingFeatures).filter(([level]) => present.includes(level));
	const there = `levels of the binaries here: ${levels.map(([level]) => level).join(", ") || "none"}`;
	const running = levels.filter(([, lacking]) => lacking.length === 0).map(([level]) => level);
	const best = running.at(-1);
	const runs = `this processor runs: ${running.join(", ") || "none"}`;
	const lacks = levels.flatMap(([level, lacking]) => (lacking.length > 0 ? `${level} needs ${lacking.join(", ")}` : []));
	if (asked !== undefined) {
		const lacking = levels.find(([level]) => level === asked)?.[1];
		if (!lacking) {
			throw new InvalidOptionError(`expected INFERENCEGUARD_CPU to be a CPU level, got "${asked}"; ${there}; ${runs}`);
		}
		if (lacking.length > 0) {
			throw new CpuUnsupportedError(
				`INFERENCEGUARD_CPU asks for ${asked}, which needs ${lacking.join(", ")}: the processor lacks it, or the operating system keeps it ` +
					`back; unset INFERENCEGUARD_CPU, or set it to another level; ${there}; ${runs}`,
			);
		}
		return asked;
	}
	if (best === undefined) {
		throw new CpuUnsupportedError(
			`expected a processor that runs one of the binaries of inferenceguard, but this one lacks what each needs (${lacks.join("; ")}); ` +
				"build from source on this machine (scripts/build.mjs)",
		);
	}
	return best;
}

/**
 * The best of `levels` that this processor runs, or the one that INFERENCEGUARD_CPU names; `folder` has the probe, cpu.node.
 *
 * Errors: CPU_UNSUPPORTED, INVALID_OPTION; that of Node where the probe does not load.
 */
export function levelFor(levels: readonly string[], folder: string): string {
	const probe = packageRequire(join(folder, "cpu.node")) as LackingFeatures;
	return chooseLevel(levels, probe, process.env.INFERENCEGUARD_CPU || undefined);
}
