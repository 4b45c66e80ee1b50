// What is fuzzed: for each file format that the package reads, sound files to change, how to change them, and the code that reads them.
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parquetWriteFile } from "hyparquet-writer";
import { vocabulary, writeRandomLlama } from "../../bench/gguf.mjs";
import { readCertificate } from "../../dist/certificate.js";
import { randomNumbers } from "../../dist/data/random.js";
import { readRecords } from "../../dist/data/records.js";
import { checkConfig } from "../../dist/evaluation/config.js";
import { readPrompts } from "../../dist/evaluation/datasets.js";
import { readJournal } from "../../dist/evaluation/journal.js";
import { modelHash } from "../../dist/fingerprint.js";
import { collectRollouts, convertClassifier, embeddedDefault, InferenceGuard, trainCritic } from "../../dist/index.js";
import { callAddon } from "../../dist/native.js";
import { byteSize, putTogether, takeApart, types } from "./gguf.mjs";
import { changedBytes, changedGguf, changedText } from "./mutations.mjs";

/**
 * @typedef {{ name: string, bytes: Buffer }} Seed
 * @typedef {object} Target
 * @property {(work: string) => Promise<Seed[]> | Seed[]} seeds sound files; what they need beside them is left in `work`
 * @property {(random: () => number, seed: Seed) => Buffer} change
 * @property {(path: string, work: string) => Promise<unknown>} read
 */

const corpus = (name) => fileURLToPath(new URL(`corpus/${name}`, import.meta.url));
const reference = (name) => fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
const seedOf = (path) => ({ name: basename(path), bytes: readFileSync(path) });
const seedsIn = (folder) => readdirSync(corpus(folder)).map((name) => seedOf(corpus(join(folder, name))));

const threads = 1;
const asked = { prompt: [1, 5, 7], maxTokens: 3, candidates: 3, startCandidates: 3, blockLength: 2, seed: 1 };

/** A model as a table. Its pieces make words. */
const table = { pieces: ["a", "b ", "die", "."], logits: Array.from({ length: 4 }, (_, i) => [i, 1, 0, 1]), ends: [3] };
const tabularAsked = { ...asked, prompt: [0, 1] };

async function using(options, request) {
	const guard = await InferenceGuard.load({ threads, ...options });
	try {
		return await guard.generate(request);
	} finally {
		await guard.dispose();
	}
}

function changedFields(random, { bytes }) {
	if (random() < 0.15) return changedBytes(random, bytes);
	const changed = putTogether(changedGguf(random, takeApart(bytes)));
	return random() < 0.1 ? changedBytes(random, changed) : changed;
}
const changedLines = (random, { bytes }) => changedText(random, bytes);

/** Weights that make no infinite numbers, the same for the same name. */
function weightsOf(name, shape) {
	const random = randomNumbers([...name].reduce((hash, character) => (hash * 31 + character.charCodeAt(0)) >>> 0, 7));
	const isNorm = /norm[^.]*\.weight$/.test(name);
	const one = () => (isNorm ? 1 : name.includes("ssm_a") ? -random() : random() / 2 - 0.25);
	return Buffer.from(Float32Array.from({ length: byteSize(0, shape) / 4 }, one).buffer);
}

const entryOf = (key, [type, value]) =>
	type.endsWith("[]") ? { key, type: types.array, of: types[type.slice(0, -2)], value } : { key, type: types[type], value };

/** The tensors of some layers: `blk.[0,1].attn_q.weight` are two. */
function tensorsOf([pattern, shape]) {
	const [, layers, rest] = /^blk\.(\[.*\])\.(.*)$/.exec(pattern) ?? [];
	const names = layers === undefined ? [pattern] : JSON.parse(layers).map((layer) => `blk.${layer}.${rest}`);
	return names.map((name) => ({ name, type: 0, shape, data: weightsOf(name, shape) }));
}

/**
 * A small model of every architecture that generates, as corpus/models.json describes it: what most share, and per model what differs
 * (null: it lacks that). Keys go behind the architecture's name.
 *
 * @returns {{ name: string, gguf: import("./gguf.mjs").Gguf }[]}
 */
export function architectureModels() {
	const { vocabularySize, entries: shared, models } = JSON.parse(readFileSync(corpus("models.json"), "utf8"));
	const words = vocabulary(vocabularySize).map(([key, ...typed]) => entryOf(key, typed));
	return models.map(({ name, entries, tensors }) => {
		const [architecture] = name.split(" ");
		const own = Object.entries({ ...shared, ...entries }).filter(([, typed]) => typed !== null);
		return {
			name,
			gguf: {
				version: 3,
				entries: [
					entryOf("general.architecture", ["string", architecture]),
					...own.map(([key, typed]) => entryOf(key.startsWith("/") ? key.slice(1) : `${architecture}.${key}`, typed)),
					...words,
				],
				tensors: Object.entries(tensors).flatMap(tensorsOf),
			},
		};
	});
}

const smallModel = (work) => join(work, "small.gguf");

/** A model that what belongs to one model can be made for. */
async function writeSmallModel(work) {
	writeRandomLlama(smallModel(work), { dim: 32, layers: 3, heads: 2, ffn: 32, vocab: 300, context: 64, type: "f32" });
	return modelHash(smallModel(work));
}

function tensorFile(work, name, kind, texts, numbers, tensors) {
	const path = join(work, name);
	callAddon((native) => native.writeTensors(path, kind, texts, numbers, tensors));
	return seedOf(path);
}

const someValues = (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(i));
const tabularGuard = { model: table, cost: { tokenCosts: [0, 0, 1, 0] }, budget: 1 };
const rolloutFolder = (work) => join(work, "rollouts");

async function writeRollouts(work) {
	const prompts = Array.from({ length: 60 }, (_, i) => [0, 1, i % 3, (i >> 2) % 4, (i >> 4) % 4, i % 4]);
	await collectRollouts({ ...tabularGuard, prompts, responses: 6, maxTokens: 3, stride: 1, out: rolloutFolder(work), batch: 64 });
}

const tinyTraining = { layers: 1, width: 8, members: 2, epochs: 2, threads };

/** @type {Record<string, Target>} */
export const targets = {
	model: {
		seeds: () => architectureModels().map(({ name, gguf }) => ({ name: `${name.replaceAll(" ", "-")}.gguf`, bytes: putTogether(gguf) })),
		change: changedFields,
		read: (model) => using({ model, cost: { lexicon: ["zzz"] } }, asked),
	},
	classifier: {
		seeds: () => [seedOf(embeddedDefault.constraints[0].cost.classifier)],
		change: changedFields,
		read: (classifier) => using({ model: table, cost: { classifier } }, tabularAsked),
	},
	probe: {
		async seeds(work) {
			const texts = { model_hash: await writeSmallModel(work), data_hash: "" };
			const weights = (n) => [{ name: "weights", shape: [n], values: someValues(n), half: false }];
			const common = { bias: 0.1, with_context: 0, threshold: 0.5 };
			return [
				tensorFile(work, "last.gguf", "probe", texts, common, weights(32)),
				tensorFile(work, "means.gguf", "probe", texts, { ...common, prior: -0.4, layers: Float64Array.of(0, 1), chat: 0 }, weights(64)),
			];
		},
		change: changedFields,
		read: (probe, work) => using({ model: smallModel(work), cost: { probe, selfTest: false } }, asked),
	},
	"control-vector": {
		async seeds(work) {
			const texts = { model_hash: await writeSmallModel(work) };
			const numbers = { hidden_width: 32, layers: 3, steered_layers: Float64Array.of(1, 2), gate_layer: 1, gate_threshold: 0.1 };
			const tensors = [1, 2].map((i) => ({ name: `direction.${i}`, shape: [32], values: someValues(32), half: false }));
			return [tensorFile(work, "vector.gguf", "control-vector", texts, numbers, tensors)];
		},
		change: changedFields,
		read: (vector, work) =>
			using({ model: smallModel(work), cost: { lexicon: ["zzz"] }, steering: { vector, strength: 1, gate: true, sparsity: 0.5 } }, asked),
	},
	encoder: {
		seeds: () => ["judge.gguf", "judge-q8_0.gguf"].map((name) => seedOf(reference(name))),
		change: changedFields,
		read: (encoder) => using({ model: table, cost: { encoder, selfTest: false } }, tabularAsked),
	},
	critic: {
		async seeds(work) {
			await writeRollouts(work);
			await trainCritic({ rollouts: rolloutFolder(work), out: join(work, "critic.gguf"), ...tinyTraining });
			return [seedOf(join(work, "critic.gguf"))];
		},
		change: changedFields,
		read: (critic) => using({ ...tabularGuard, critic }, { ...tabularAsked, estimator: "critic" }),
	},
	rollouts: {
		async seeds(work) {
			await writeRollouts(work);
			return readdirSync(rolloutFolder(work)).map((name) => seedOf(join(rolloutFolder(work), name)));
		},
		change: (random, seed) => (seed.name.endsWith(".json") ? changedText(random, seed.bytes) : changedBytes(random, seed.bytes)),
		async read(path, work) {
			const folder = join(work, "changed-rollouts");
			cpSync(rolloutFolder(work), folder, { recursive: true });
			copyFileSync(path, join(folder, basename(path)));
			try {
				await trainCritic({ rollouts: folder, out: join(folder, "critic.gguf"), ...tinyTraining, epochs: 1 });
			} finally {
				rmSync(folder, { recursive: true });
			}
		},
	},
	convert: {
		seeds: () =>
			["bert-one-label", "modernbert-cls", "roberta"].flatMap((name) =>
				["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"].map((file) => {
					const { bytes } = seedOf(reference(join("encoders", name, file)));
					return { name: `${name}--${file}`, bytes };
				}),
			),
		change: (random, { name, bytes }) => (name.endsWith(".json") ? changedText(random, bytes) : changedBytes(random, bytes)),
		async read(path, work) {
			const [name, file] = basename(path).split("--");
			const folder = join(work, "changed-checkpoint");
			cpSync(reference(join("encoders", name)), folder, { recursive: true });
			copyFileSync(path, join(folder, file));
			try {
				await convertClassifier({ folder, out: join(folder, "made.gguf") });
			} finally {
				rmSync(folder, { recursive: true });
			}
		},
	},
	lexicon: {
		seeds: () => seedsIn("lexicon"),
		change: changedLines,
		read: (lexicon) => using({ model: table, cost: { lexicon } }, tabularAsked),
	},
	table: {
		async seeds(work) {
			const path = join(work, "rows.parquet");
			const column = (name, data) => ({ name, data });
			const n = 40;
			await parquetWriteFile({
				filename: path,
				columnData: [
					column(
						"text",
						Array.from({ length: n }, (_, i) => `row ${i} ä`),
					),
					column(
						"label",
						Array.from({ length: n }, (_, i) => i % 2),
					),
				],
			});
			return [seedOf(path), ...seedsIn("table")];
		},
		change: (random, seed) => (seed.name.endsWith(".parquet") ? changedBytes(random, seed.bytes) : changedText(random, seed.bytes)),
		read: async (file) => [await readRecords(file), await readPrompts({ file }).catch(passedOver)],
	},
	config: {
		seeds(work) {
			writeFileSync(join(work, "prompts.txt"), "a\nb\n");
			return seedsIn("config");
		},
		change: changedLines,
		read: (path) => checkConfig(path),
	},
	journal: { seeds: () => seedsIn("journal"), change: changedLines, read: (path) => readJournal(path) },
	certificate: { seeds: () => seedsIn("certificate"), change: changedLines, read: async (path) => readCertificate(path) },
};

/** A table that holds no prompts may be a sound one. */
function passedOver(error) {
	if (error.code !== "INVALID_DATA") throw error;
}

/** The sound files of a target, in a folder of its own. */
export async function preparedSeeds(target, work) {
	mkdirSync(work, { recursive: true });
	return await target.seeds(work);
}
