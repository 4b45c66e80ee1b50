import { createHash } from "node:crypto";
import { InvalidOptionError } from "../errors.js";
import type { NativeSearch } from "../native/protocol.js";
import type { CheckedGenerateOptions } from "./generate.js";
import { type StrategySettings, strategies } from "./strategies.js";

/** The default η: the paper's. A block that has to widen for other candidates gives up a path less readily. */
const pSafeThresholds = { fixedWidth: 0.5, adaptiveWidth: 0.3 };

/** A search's facts about its guard's critic. */
export interface KnownCritic {
	/** Absent: the critic is exact, not trained. */
	satisfiedPSafe?: number;
}

/** The settings of a generation: the strategy's row, overridden by the given options. Errors: INVALID_OPTION. */
export function resolveSearch(options: CheckedGenerateOptions, critic: KnownCritic | undefined): NativeSearch {
	const hasCritic = critic !== undefined;
	const { prompt, messages, prefill, continueFinal, strategy, onRefusal, signal, trace, seed, cachePrompt, now, scoreRange, ...given } =
		options;
	const { beamShare, blockLength, ...row }: StrategySettings = strategies[strategy];
	const settings = { ...row, ...given };
	const { candidates, maxTokens } = settings;
	const beams = given.beams ?? Math.max(1, Math.floor(candidates * beamShare));
	if (beams > candidates) {
		throw new InvalidOptionError(`beams: expected at most as many beams as candidates (${candidates}), got ${beams}`);
	}
	const { startCandidates = settings.expansion === "token" ? candidates : settings.startCandidates } = given;
	if (settings.expansion === "token" && startCandidates !== candidates) {
		throw new InvalidOptionError(
			`startCandidates: expected all candidates at once (${candidates}) where single tokens are expanded, got ${startCandidates}`,
		);
	}
	if (given.startCandidates !== undefined && given.startCandidates > candidates) {
		throw new InvalidOptionError(
			`startCandidates: expected at most as many candidates at the start as in all (${candidates}), got ${given.startCandidates}`,
		);
	}
	const start = Math.min(startCandidates ?? candidates, candidates);
	const estimator = settings.estimator ?? (hasCritic ? "critic" : "models");
	if ((estimator === "critic" || estimator === "both") && !hasCritic) {
		throw new InvalidOptionError(`estimator: expected a guard loaded with a critic for "${estimator}", got one without`);
	}
	if ((estimator === "critic" || estimator === "both") && critic?.satisfiedPSafe === undefined && given.stop !== undefined) {
		throw new InvalidOptionError(
			'stop: expected none with the exact critic, which enumerates responses that no string ends, got one; use estimator "models"',
		);
	}
	if (settings.latentSteps > 0 && !hasCritic) {
		throw new InvalidOptionError(
			"latentSteps: expected a guard loaded with a critic for gradient steps on the hidden state, got one without",
		);
	}
	if (settings.expansion === "token" && given.blockLength !== undefined && given.blockLength !== 1) {
		throw new InvalidOptionError(`blockLength: expected 1 or none where single tokens are expanded, got ${given.blockLength}`);
	}
	const wholeResponse = blockLength === "response" ? maxTokens : blockLength;
	return {
		...settings,
		...(scoreRange && { scoreRange: Float64Array.from(scoreRange) }),
		beams,
		startCandidates: start,
		satisfiedPSafe: given.satisfiedPSafe ?? critic?.satisfiedPSafe ?? pSafeThresholds.adaptiveWidth,
		pSafeThreshold: given.pSafeThreshold ?? (start < candidates ? pSafeThresholds.adaptiveWidth : pSafeThresholds.fixedWidth),
		estimator,
		blockLength: settings.expansion === "token" ? 1 : (given.blockLength ?? wholeResponse),
		maxGeneratedTokens: given.maxGeneratedTokens ?? 4 * candidates * maxTokens,
	};
}

/** Whether a search uses the critic. */
export const asksCritic = ({ estimator, latentSteps }: NativeSearch) => estimator === "critic" || estimator === "both" || latentSteps > 0;

/** The settings as plain values, sorted by name. */
export function plainSettings(search: NativeSearch): Record<string, unknown> {
	const entries = Object.entries({ ...search, ...(search.scoreRange && { scoreRange: [...search.scoreRange] }) });
	return Object.fromEntries(entries.filter(([, value]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** SHA-256 of plain settings. */
export const settingsHash = (settings: Record<string, unknown>) => createHash("sha256").update(JSON.stringify(settings)).digest("hex");
