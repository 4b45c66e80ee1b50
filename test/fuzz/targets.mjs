// What is fuzzed. Here for each file format that the package reads: sound files to change, how to change them, and the code that reads them.
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteFile } from "hyparquet-writer";
import { vocabulary, writeRandomLlama } from "../../bench/gguf.mjs";
import { randomNumbers } from "../../dist/data/random.js";
import { readRecords } from "../../dist/data/records.js";
import { checkConfig } from "../../dist/evaluation/config.js";
import { readPrompts } from "../../dist/evaluation/datasets.js";
import { readJournal } from "../../dist/evaluation/journal.js";
import { readCertificate } from "../../dist/guard/certificate.js";
import { embeddedDefault } from "../../dist/index.js";
import { callAddon } from "../../dist/native/addon.js";
import { collectRollouts, convertClassifier, trainCritic } from "../../dist/training/index.js";
import { callTargets } from "./calls.mjs";
import { byteSize, putTogether, takeApart, types } from "./gguf.mjs";
import { below, changedBytes, changedGguf, changedText } from "./mutations.mjs";
import { processTargets } from "./processes.mjs";
import {
	asked,
	corpus,
	reference,
	seedOf,
	seedsIn,
	smallModel,
	table,
	tabularAsked,
	tabularGuard,
	threads,
	using,
	writeSmallModel,
} from "./subjects.mjs";

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

function tensorFile(work, name, kind, texts, numbers, tensors) {
	const path = join(work, name);
	callAddon((native) => native.writeTensors(path, kind, texts, numbers, tensors));
	return seedOf(path);
}

const someValues = (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(i));
const rolloutFolder = (work) => join(work, "rollouts");

async function writeRollouts(work) {
	const prompts = Array.from({ length: 60 }, (_, i) => [0, 1, i % 3, (i >> 2) % 4, (i >> 4) % 4, i % 4]);
	await collectRollouts({ ...tabularGuard, prompts, responses: 6, maxTokens: 3, stride: 1, out: rolloutFolder(work), batch: 64 });
}

/** A table that holds no prompts may be a sound one. */
function passedOver(error) {
	if (error.code !== "INVALID_DATA") throw error;
}

const readTable = async (file) => [await readRecords(file), await readPrompts({ file }).catch(passedOver)];

const tinyTraining = { layers: 1, width: 8, members: 2, epochs: 2, threads };

/** Models that judge texts with the answers that they would give. */
const judgingModels = () =>
	architectureModels()
		.filter(({ name }) => ["llama", "gemma2", "qwen3", "granite"].includes(name))
		.map(({ name, gguf }) => ({ name: `${name}.gguf`, bytes: putTogether(gguf) }));

const dialogue = { before: "<s>Q: ", between: " A: ", after: "?" };

/** A head on the hidden states of the models that judge. */
const scoreHead = {
	version: 3,
	entries: [{ key: "general.architecture", type: types.string, value: "score" }],
	tensors: [{ name: "score.weight", type: 0, shape: [64, 1], data: weightsOf("score", [64, 1]) }],
};

/** @type {Record<string, import("./subjects.mjs").Target>} */
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
	"sequence-classifier": {
		seeds: async (work) =>
			await Promise.all(
				["bert-one-label", "modernbert-cls", "roberta"].map(async (name) => {
					const out = join(work, `${name}.gguf`);
					await convertClassifier({ folder: reference(join("encoders", name)), out, type: "f32" });
					return seedOf(out);
				}),
			),
		change: changedFields,
		read: (sequenceClassifier) => using({ model: table, cost: { sequenceClassifier, selfTest: false } }, tabularAsked),
	},
	"guard-model": {
		seeds: judgingModels,
		change: changedFields,
		read: (guardModel) =>
			using({ model: table, cost: { guardModel, template: { ...dialogue, safe: "Y", unsafe: "N" }, selfTest: false } }, tabularAsked),
	},
	"score-model": {
		async seeds(work) {
			const bodies = judgingModels();
			writeFileSync(join(work, "body.gguf"), bodies[0].bytes);
			writeFileSync(join(work, "head.gguf"), putTogether(scoreHead));
			return [...bodies, seedOf(join(work, "head.gguf")), seedOf(join(work, "head.gguf"))];
		},
		change: changedFields,
		read(path, work) {
			const scoreModel = {
				body: join(work, "body.gguf"),
				head: join(work, "head.gguf"),
				[path.endsWith("head.gguf") ? "head" : "body"]: path,
			};
			return using({ model: table, cost: { scoreModel, template: dialogue, selfTest: false } }, tabularAsked);
		},
	},
	"split-model": {
		seeds(work) {
			const shape = { dim: 32, layers: 2, heads: 2, ffn: 32, vocab: 300, context: 64, type: "f32", parts: 3 };
			return writeRandomLlama(join(work, "split.gguf"), shape).map(seedOf);
		},
		change: changedFields,
		async read(path, work) {
			const folder = join(work, "changed-parts");
			mkdirSync(folder, { recursive: true });
			const parts = [1, 2, 3].map((part) => `split-0000${part}-of-00003.gguf`);
			for (const part of parts) copyFileSync(join(work, part), join(folder, part));
			copyFileSync(path, join(folder, basename(path)));
			await using({ model: join(folder, parts[0]), cost: { lexicon: ["zzz"] } }, asked);
		},
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
		share: 3,
		seeds: () => seedsIn("lexicon"),
		change: changedLines,
		read: (lexicon) => using({ model: table, cost: { lexicon } }, tabularAsked),
	},
	table: {
		share: 3,
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
		read: readTable,
	},
	"packed-table": {
		share: 3,
		seeds: () => seedsIn("table").map(({ name, bytes }) => ({ name: `${name}.gz`, bytes })),
		change(random, { bytes }) {
			const packed = gzipSync(below(random, 2) === 0 ? changedText(random, bytes) : bytes);
			return below(random, 3) === 0 ? packed : changedBytes(random, packed);
		},
		read: readTable,
	},
	config: {
		share: 3,
		seeds(work) {
			writeFileSync(join(work, "prompts.txt"), "a\nb\n");
			return seedsIn("config");
		},
		change: changedLines,
		read: (path) => checkConfig(path),
	},
	journal: { share: 3, seeds: () => seedsIn("journal"), change: changedLines, read: (path) => readJournal(path) },
	certificate: { share: 3, seeds: () => seedsIn("certificate"), change: changedLines, read: async (path) => readCertificate(path) },
	...callTargets,
	...processTargets,
};

/** The sound files of a target, in a folder of its own. */
export async function preparedSeeds(target, work) {
	mkdirSync(work, { recursive: true });
	return await target.seeds(work);
}
