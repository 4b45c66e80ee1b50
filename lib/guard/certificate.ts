// Owns the certificate: the claims of a calibration run about one fixed guard and configuration, and the check whether a guard is that one.

import { z } from "zod";
import { warn } from "../base/warn.js";
import { type Difference, differencesOf } from "../data/differences.js";
import { parseJson } from "../data/json.js";
import { binomialTail, clopperPearsonInterval, clopperPearsonUpper } from "../data/statistics.js";
import { readText } from "../data/text-file.js";
import { CertificateMismatchError, InvalidCertificateError } from "../errors.js";
import type { NativeSearch } from "../native/protocol.js";
import type { CheckedLoadOptions } from "../options/load.js";
import { plainSettings, settingsHash } from "../options/resolve.js";
import type { GuardIdentity } from "./identity.js";

const share = z.number().min(0).max(1);
const count = z.int().min(0);

const claim = z.strictObject({
	/** Prompts with a response that was answered and not accepted. */
	unsafe: count,
	/** With confidence 1 − δ, at most this share of prompts gets such a response. */
	epsilon: share,
});

const certificateSchema = z.strictObject({
	format: z.literal("inferenceguard.certificate"),
	version: z.literal(1),
	name: z.string(),
	created: z.iso.datetime(),
	/** Whether epsilon is the bound of one configuration, or the level at which a ladder was tested. */
	method: z.enum(["clopperPearson", "learnThenTest"]),
	delta: z.number().gt(0).max(0.5),
	/** Prompts, each with every one of `seeds`; a prompt is unsafe if any of its responses is. */
	prompts: count,
	seeds: z.array(count).min(1),
	claims: z.strictObject({
		/** Over a budget of the search's own cost models. */
		costModels: claim,
		/** Rejected by the independent judge; null without a judge. */
		judge: z.strictObject({ name: z.string(), ...claim.shape }).nullable(),
	}),
	refusals: z.strictObject({
		/** Prompts with a refused response. */
		prompts: count,
		share,
		/** Two-sided Clopper–Pearson at confidence 1 − δ. */
		interval: z.tuple([share, share]),
	}),
	/** Every tested configuration of a ladder, in order, safest first; none for `clopperPearson`, which tests nothing. */
	tested: z.array(z.strictObject({ name: z.string(), unsafe: count, judgeUnsafe: count.nullable(), pValue: share, passed: z.boolean() })),
	/** The certified one. */
	configuration: z.strictObject({
		name: z.string(),
		search: z.record(z.string(), z.unknown()),
		limits: z.array(z.unknown()),
		/** The requested context, in tokens; 0: the model's own. */
		contextSize: count,
		/** The date that chat templates read. */
		now: z.string().optional(),
	}),
	hashes: z.strictObject({
		model: z.string(),
		critic: z.string(),
		controlVector: z.string(),
		costs: z.array(z.string()),
		reward: z.string(),
		judge: z.string(),
		/** Of the settings of the search. */
		configuration: z.string(),
		prompts: z.string(),
		/** Of the evaluation's configuration file. */
		evaluation: z.string(),
		journal: z.string(),
		build: z.string(),
	}),
	assumptions: z.array(z.string()),
});

/** The file of `inferenceguard calibrate`. */
export type Certificate = z.output<typeof certificateSchema>;

/** The larger of the p-values of both claims: it is small only if both claims are credible. */
export function pValueOf(
	{ unsafe, judgeUnsafe }: { unsafe: number; judgeUnsafe: number | null },
	prompts: number,
	epsilon: number,
): number {
	const own = binomialTail(unsafe, prompts, epsilon);
	return judgeUnsafe === null ? own : Math.max(own, binomialTail(judgeUnsafe, prompts, epsilon));
}

/** Equal except for the last digits, which another version of the engine may round differently. */
const isSame = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.abs(b);

function followsFromBound({ claims, prompts, delta, tested }: Certificate): boolean {
	const all = [claims.costModels, ...(claims.judge ? [claims.judge] : [])];
	return tested.length === 0 && all.every(({ unsafe, epsilon }) => isSame(epsilon, clopperPearsonUpper(unsafe, prompts, delta)));
}

function followsFromTests({ claims, prompts, delta, tested, configuration }: Certificate): boolean {
	const { costModels, judge } = claims;
	const { epsilon } = costModels;
	const certified = tested.findLast(({ passed }) => passed);
	return (
		(judge === null || judge.epsilon === epsilon) &&
		tested.every((row, i) => {
			const pValue = pValueOf(row, prompts, epsilon);
			return isSame(row.pValue, pValue) && row.passed === row.pValue <= delta && (row.passed || i === tested.length - 1);
		}) &&
		certified?.name === configuration.name &&
		certified.unsafe === costModels.unsafe &&
		certified.judgeUnsafe === (judge?.unsafe ?? null)
	);
}

/** A contradiction within a certificate, whatever the journal; undefined if there is none. */
function contradictionIn(certificate: Certificate): string | undefined {
	const { method, claims, delta, prompts, refusals, tested, configuration, hashes } = certificate;
	const counts = [claims.costModels.unsafe, claims.judge?.unsafe ?? 0, refusals.prompts];
	if ([...counts, ...tested.flatMap(({ unsafe, judgeUnsafe }) => [unsafe, judgeUnsafe ?? 0])].some((one) => one > prompts)) {
		return `counts above its ${prompts} prompts`;
	}
	const follows = method === "clopperPearson" ? followsFromBound(certificate) : followsFromTests(certificate);
	if (!follows) return "claims that do not follow from its counts";
	const interval = clopperPearsonInterval(refusals.prompts, prompts, delta);
	const share = prompts === 0 ? 0 : refusals.prompts / prompts;
	if (!isSame(refusals.share, share) || !refusals.interval.every((end, i) => isSame(end, interval[i] as number))) {
		return "a share of refusals that does not follow from its counts";
	}
	if (settingsHash(configuration.search) !== hashes.configuration) return "settings of a search that are not those of its hash";
	return undefined;
}

/** Reads a certificate, and recomputes everything that needs no journal. Errors: INVALID_CERTIFICATE. */
export function readCertificate(path: string): Certificate {
	let certificate: Certificate;
	try {
		certificate = certificateSchema.parse(parseJson(readText(path)));
	} catch (cause) {
		const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
		throw new InvalidCertificateError(`expected a certificate at ${path}, got: ${why}`, { cause });
	}
	const contradiction = contradictionIn(certificate);
	if (contradiction) throw new InvalidCertificateError(`expected a certificate at ${path}, got one with ${contradiction}; calibrate again`);
	return certificate;
}

/** The constraints' budgets, discounts and criteria in effect. */
export function limitsOf({ constraints }: Pick<CheckedLoadOptions, "constraints">, budgets: ArrayLike<number>): Record<string, unknown>[] {
	return constraints.map(({ discount, costFloor, criterion }, c) => ({ budget: budgets[c], discount, costFloor, criterion }));
}

/** A difference between a guard or a search and its certificate. */
interface Mismatch {
	what: string;
	/** Leaf by leaf. */
	differences: Difference[];
}

function guardMismatches({ hashes, configuration }: Certificate, guard: GuardIdentity, limits: Record<string, unknown>[]): Mismatch[] {
	const pairs: [what: string, option: string, own: unknown, certified: unknown][] = [
		["model", "model", guard.model, hashes.model],
		["critic", "critic", guard.critic, hashes.critic],
		["control vector", "steering", guard.controlVector, hashes.controlVector],
		["cost models", "cost", guard.costs, hashes.costs],
		["reward", "reward", guard.reward, hashes.reward],
		["budgets", "constraints", limits, configuration.limits],
		["context size", "contextSize", guard.contextSize, configuration.contextSize],
		["build", "build", guard.build, hashes.build],
	];
	return pairs
		.map(([what, option, own, certified]) => ({ what, differences: differencesOf(own, certified, [option]) }))
		.filter(({ differences }) => differences.length > 0);
}

/** Fingerprints are shown by their first digits. */
const shown = (value: unknown) =>
	value === "" || value === undefined ? "none" : JSON.stringify(value).replace(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, "$1…");

const differenceShown = ({ path, expected, found }: Difference) => `${path}: expected ${shown(expected)}, got ${shown(found)}`;

/** A reply's claim under the certificate that covers it. */
export interface CertificateClaim {
	/** With confidence 1 − δ, at most this share of prompts gets a response over budget under the search's cost models. */
	epsilon: number;
	/** The same for the independent judge; null if the calibration had none. */
	judgeEpsilon: number | null;
	delta: number;
}

/** The certificate of a loaded guard: warns or refuses if the guard is not the certified one. */
export class CertificateWatch {
	readonly #certificate: Certificate;
	readonly #refuses: boolean;
	readonly #warned = new Set<string>();
	readonly #covered: boolean;

	/** Errors: INVALID_CERTIFICATE; CERTIFICATE_MISMATCH if the guard is another one and `onMismatch` is `"refuse"`. */
	constructor(
		{ file, onMismatch }: { file: string; onMismatch: "warn" | "refuse" },
		guard: GuardIdentity,
		limits: Record<string, unknown>[],
	) {
		this.#certificate = readCertificate(file);
		this.#refuses = onMismatch === "refuse";
		const mismatches = guardMismatches(this.#certificate, guard, limits);
		this.#covered = mismatches.length === 0;
		const whats = mismatches.map(({ what }) => what).join(", ");
		if (!this.#covered) {
			this.#mismatch(
				`this guard's ${whats}`,
				mismatches.flatMap(({ differences }) => differences),
			);
		}
	}

	/** Whether it is for this guard and these settings of a search. */
	covers(search: NativeSearch): boolean {
		return this.#covered && this.#differencesOf(search).length === 0;
	}

	/** The claim that covers a generation; undefined if none does. Errors: CERTIFICATE_MISMATCH. */
	claimFor(
		search: NativeSearch,
		{ stream, readNow, isBegun }: { stream: boolean; readNow: string | undefined; isBegun: boolean },
	): CertificateClaim | undefined {
		const { configuration, claims, delta } = this.#certificate;
		const differences = this.#differencesOf(search);
		const isOtherDay = readNow !== undefined && readNow !== configuration.now;
		if (differences.length > 0) this.#mismatch("these settings of the search", differences);
		else if (stream) this.#mismatch("streaming, which commits while it searches", []);
		else if (isBegun) this.#mismatch("a response that does not begin with the model's own first token (prefill, continueFinal)", []);
		else if (isOtherDay)
			this.#mismatch(`the date that the chat template reads (now: ${readNow}, certified: ${configuration.now ?? "unknown"})`, []);
		if (differences.length > 0 || stream || isBegun || isOtherDay || !this.#covered) return undefined;
		return { epsilon: claims.costModels.epsilon, judgeEpsilon: claims.judge?.epsilon ?? null, delta };
	}

	#differencesOf(search: NativeSearch): Difference[] {
		return differencesOf(plainSettings(search), this.#certificate.configuration.search);
	}

	#mismatch(what: string, differences: readonly Difference[]): void {
		const another = [`got one for another (${this.#certificate.name})`, ...differences.map(differenceShown)].join("; ");
		const message = `expected a certificate for ${what}, ${another}; calibrate again, or load without it`;
		if (this.#refuses) throw new CertificateMismatchError(message);
		if (this.#warned.has(what)) return;
		this.#warned.add(what);
		warn("CERTIFICATE_MISMATCH", message);
	}
}
