// What kinds of cost model share that are models themselves: templates, tests of themselves, links, fingerprints.
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

/** The pairs that a model is tested with when it is loaded. */
export const pairsOf = (given: z.output<typeof selfTest> | undefined) => (given === false ? [] : [...(given ?? selfTestPairs)]);

/** How log-odds become a cost. */
export const linkFields = { link: choice(["probability", "excess"]).optional(), threshold: real(-Number.MAX_VALUE).optional() };

export const pieces = { before: z.string().default(""), between: z.string().default(""), after: z.string().default("") };

export const conversationSchema = z.strictObject(pieces, expected("a template { before, between, after }"));

/** How the usual vocabularies write control tokens. */
const controlToken = /<\|[^|<>\s]+\|>|<\/?s>|<[be]os>|\[(?:CLS|SEP)\]/g;

/** A template of prompt and response; whatever looks like a control token has to be one. */
export function conversation({ before, between, after }: z.output<typeof conversationSchema>): NativeTemplate {
	const controls = [...new Set([before, between, after].flatMap((text) => text.match(controlToken) ?? []))];
	return { before, between, after: [after], controls, trims: false, safe: [], unsafe: [], beforeCategory: "", categories: [] };
}

/** What a model's file says about itself. */
export const metadataOf = (path: string) =>
	new Map(callAddon((native) => native.inspect(path)).metadata.map(({ key, value }) => [key, value]));

/** Of a file that was trained here. Errors: INVALID_COST_MODEL. */
export async function trainedHash(path: string): Promise<string> {
	try {
		return await modelHash(path);
	} catch (cause) {
		throw new InvalidCostModelError(`expected a trained cost model at ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

type Linked = Extract<NativeCostModel, { link: unknown }>;

/** Of a model that is linked, from that of the model. */
export const linkedHash = (own: string, { link, threshold }: Linked) =>
	sha256(own, link, link === "excess" ? String(threshold ?? Number.NaN) : "");

/** A language model that scores, with what it reads and which of its answers count. */
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

/** What all kinds have in common whose judge is a model of texts. */
export const scorerKind = {
	defaultBudget: ({ link }: ScorerCost) => (link === "excess" ? 0 : 0.5),
	hash: async (cost: ScorerCost) => linkedHash(await scorerHash(cost.scorer), cost),
	files: ({ scorer }: ScorerCost) => scorerFiles(scorer),
	categories: ({ scorer }: ScorerCost) => scorer.template?.categories ?? [],
};
