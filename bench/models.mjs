// The models that are compared on, and a critic for each: made where they are missing.
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddedDefault } from "../dist/index.js";
import { collectRollouts, trainCritic } from "../dist/training/index.js";
import { step } from "../scripts/tools.mjs";
import { benchCache, lexicon, promptOf, randomModel } from "./subject.mjs";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** `file()`: path of the GGUF; `context`: what the model was trained with; `rollouts`: prompts that its critic learns from. */
export const models = {
	stories260K: {
		file: () => path("../../shared/models/stories260K/stories260K-ctx512.gguf"),
		vocabulary: 512,
		context: 512,
		rollouts: 40,
	},
	"two-shelves": { file: () => embeddedDefault.model, vocabulary: 3072, context: 512, rollouts: 40 },
	"44M": { file: () => randomModel("random-44m-q8_0.gguf"), vocabulary: 32000, context: 4096, rollouts: 40 },
	"1B": { file: () => randomModel("random-1b-q8_0.gguf", shapeOfLlama1B), vocabulary: 128256, context: 131072, rollouts: 16 },
};

/** Llama 3.2 1B, without its scaled rope. */
const shapeOfLlama1B = {
	dim: 2048,
	layers: 16,
	heads: 32,
	kvHeads: 8,
	ffn: 8192,
	vocab: 128256,
	context: 131072,
	ropeBase: 500000,
};

/** A critic of the default size; what it learned does not change its speed. */
export async function criticOf(name, threads) {
	const { vocabulary, rollouts: count } = models[name];
	const file = join(benchCache, `${name}-critic.gguf`);
	if (existsSync(file)) return file;
	step(`Making a critic for ${name}`);
	const folder = `${file}.making`;
	rmSync(folder, { recursive: true, force: true });
	const rollouts = join(folder, "rollouts");
	const made = join(folder, "critic.gguf");
	const prompts = Array.from({ length: count }, (_, i) => promptOf(8 + i, vocabulary).slice(i));
	const guarded = { model: models[name].file(), threads, cost: { lexicon }, budget: 0 };
	await collectRollouts({ ...guarded, prompts, responses: 4, maxTokens: 64, out: rollouts });
	await trainCritic({ rollouts, out: made, epochs: 1 });
	renameSync(made, file);
	rmSync(folder, { recursive: true });
	return file;
}
