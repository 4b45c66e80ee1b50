// What the targets share: small models, guards on them, and inputs that are no files.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeRandomLlama } from "../../bench/gguf.mjs";
import { randomNumbers } from "../../dist/data/random.js";
import { modelHash } from "../../dist/files/fingerprint.js";
import { InferenceGuard } from "../../dist/index.js";
import { below } from "./mutations.mjs";

/**
 * @typedef {{ name: string, bytes: Buffer }} Seed
 * @typedef {object} Target
 * @property {(work: string) => Promise<Seed[]> | Seed[]} seeds sound files; what they need beside them is left in `work`
 * @property {(random: () => number, seed: Seed) => Buffer} change
 * @property {(path: string, work: string) => Promise<unknown>} read
 * @property {number} [patienceMs] after which an input counts as a hang; default 10 s
 * @property {number} [share] of the usual number of inputs: less where one takes long, more where it takes little time; default 1
 */

export const corpus = (name) => fileURLToPath(new URL(`corpus/${name}`, import.meta.url));
export const reference = (name) => fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
export const seedOf = (path) => ({ name: basename(path), bytes: readFileSync(path) });
export const seedsIn = (folder) => readdirSync(corpus(folder)).map((name) => seedOf(corpus(join(folder, name))));

export const threads = 1;
export const asked = { prompt: [1, 5, 7], maxTokens: 3, candidates: 3, startCandidates: 3, blockLength: 2, seed: 1 };

/** A model as a table. Its pieces make words. */
export const table = { pieces: ["a", "b ", "die", "."], logits: Array.from({ length: 4 }, (_, i) => [i, 1, 0, 1]), ends: [3] };
export const tabularAsked = { ...asked, prompt: [0, 1] };
export const tabularGuard = { model: table, cost: { tokenCosts: [0, 0, 1, 0] }, budget: 1 };

/** What comes of a guard; it is disposed of in any case. */
export async function withGuard(options, use) {
	const guard = await InferenceGuard.load(options);
	try {
		return await use(guard);
	} finally {
		await guard.dispose();
	}
}

export const using = (options, request) => withGuard({ threads, ...options }, (guard) => guard.generate(request));

export const smallModel = (work) => join(work, "small.gguf");

/** A model that what belongs to one model can be made for. */
export async function writeSmallModel(work) {
	writeRandomLlama(smallModel(work), { dim: 32, layers: 3, heads: 2, ffn: 32, vocab: 300, context: 64, type: "f32" });
	return modelHash(smallModel(work));
}

/**
 * A target whose inputs are drawn in the child that tries them, since no file could hold them: the file holds what they are drawn from.
 *
 * @param {{ prepare?: (work: string) => unknown, share?: number, patienceMs?: number, attempt: (random: () => number, work: string) => Promise<unknown> }} how
 * @returns {Target}
 */
export const drawnInputs = ({ prepare, attempt, ...rest }) => ({
	...rest,
	async seeds(work) {
		await prepare?.(work);
		return [{ name: "seed.txt", bytes: Buffer.alloc(0) }];
	},
	change: (random) => Buffer.from(String(below(random, 2 ** 32))),
	read: (path, work) => attempt(randomNumbers(Number(readFileSync(path, "utf8"))), work),
});
