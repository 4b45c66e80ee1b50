// The common parts of the cost models that are models themselves: templates, self-tests, links, fingerprints.
import { z } from "zod";
import { choice, expected, real } from "../base/check.js";
import { InvalidCostModelError } from "../errors.js";
import { modelHash, sha256 } from "../files/fingerprint.js";
import { callAddon } from "../native/addon.js";
import type { NativeCostModel, NativeScorer, NativeTemplate } from "../native/protocol.js";
import { selfTestPairs } from "./self-test.js";

export const selfTest = z.union(
	[z.literal(false), z.array(z.strictObject({ prompt: z.string(), safe: z.string(), unsafe: z.string() })).min(1)],
	expected("false or an array of { prompt, safe, unsafe }"),
);

/** The pairs of the self-test when a model is loaded. */
export const pairsOf = (given: z.output<typeof selfTest> | undefined) => (given === false ? [] : [...(given ?? selfTestPairs)]);

/** The conversion of log-odds to a cost. */
export const linkFields = { link: choice(["probability", "excess"]).optional(), threshold: real(-Number.MAX_VALUE).optional() };

/** A schema with the fields of a link that refuses a threshold without effect. */
export const linked = <S extends z.ZodType<{ link?: string | undefined; threshold?: number | undefined }>>(schema: S) =>
	schema.refine(({ link, threshold }) => threshold === undefined || link === "excess", {
		error: 'expected a threshold with link: "excess" only; the probability is held to the budget',
	});

export const pieces = { before: z.string().default(""), between: z.string().default(""), after: z.string().default("") };

export const conversationSchema = z.strictObject(pieces, expected("a template { before, between, after }"));

/** Control tokens as common vocabularies write them. */
const controlToken = /<\|[^|<>\s]+\|>|<\/?s>|<[be]os>|\[(?:CLS|SEP)\]/g;

/** A template of prompt and response. Everything that looks like a control token has to be one. */
export function conversation({ before, between, after }: z.output<typeof conversationSchema>): NativeTemplate {
	const controls = [...new Set([before, between, after].flatMap((text) => text.match(controlToken) ?? []))];
	return { before, between, after: [after], controls, trims: false, safe: [], unsafe: [], beforeCategory: "", categories: [] };
}

/** The metadata of a model's file. */
export const metadataOf = (path: string) =>
	new Map(callAddon((native) => native.inspect(path)).metadata.map(({ key, value }) => [key, value]));

/** Fingerprint of a file that this package trained. Errors: INVALID_COST_MODEL. */
export async function trainedHash(path: string): Promise<string> {
	try {
		return await modelHash(path);
	} catch (cause) {
		throw new InvalidCostModelError(`expected a trained cost model at ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

type Linked = Extract<NativeCostModel, { link: unknown }>;

/** Fingerprint of a model with its link, from the model's own. */
export const linkedHash = (own: string, { link, threshold }: Linked) =>
	sha256(own, link, link === "excess" ? String(threshold ?? Number.NaN) : "");

/** Fingerprint of a language model that scores, with its input and the answers that count. */
export async function scorerHash({
	kind,
	path,
	head,
	template,
	labels,
	multiLabel,
	uncertaintyPenalty,
	probe,
}: NativeScorer): Promise<string> {
	const headHash = head === undefined ? "" : await trainedHash(head);
	const own = kind === "probe" || kind === "encoder" ? await trainedHash(path) : await modelHash(path);
	const member = probe === undefined ? undefined : await trainedHash(probe);
	const given = [multiLabel, uncertaintyPenalty, member].filter((value) => value !== undefined);
	return sha256(kind, own, headHash, JSON.stringify([template ?? null, labels, ...given]));
}

export const scorerFiles = ({ path, head, probe }: NativeScorer) => [path, head, probe].filter((file) => file !== undefined);

type ScorerCost = Extract<NativeCostModel, { kind: "scorer" }>;

/** The common part of all kinds that judge with a text model. */
export const scorerKind = {
	defaultBudget: ({ link }: ScorerCost) => (link === "excess" ? 0 : 0.5),
	hash: async (cost: ScorerCost) => linkedHash(await scorerHash(cost.scorer), cost),
	files: ({ scorer }: ScorerCost) => scorerFiles(scorer),
	categories: ({ scorer }: ScorerCost) => scorer.template?.categories ?? [],
};
