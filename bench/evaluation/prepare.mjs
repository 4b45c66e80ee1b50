// Makes what the configurations beside it need and the package does not carry, into bench/.cache/evaluation/: control vectors for both
// models, and a critic for stories260K. The contrastive prompts are texts that the model itself told, over budget and within it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddedDefault, embeddedPrompts, InferenceGuard } from "../../dist/index.js";
import { collectRollouts, steerVector, trainCritic } from "../../dist/training/index.js";
import { storyOpenings } from "../story-openings.mjs";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const cache = path("../.cache/evaluation");
const made = (name) => join(cache, name);
mkdirSync(cache, { recursive: true });

const storiesModel = path("../../../shared/models/stories260K/stories260K-ctx512.gguf");
const stories = { model: storiesModel, cost: { lexicon: path("frightening.txt") }, budget: 0, threads: 1 };

/** Texts that the model told, by whether they are over budget. */
async function contrastivePrompts(options, prompts) {
	const guard = await InferenceGuard.load(options);
	const sides = { positive: [], negative: [] };
	for (const [seed, prompt] of prompts.entries()) {
		const { text, safety } = await guard.generate({ prompt, strategy: "sample", maxTokens: 64, seed });
		const over = safety.constraints.some(({ cost, budget }) => cost > budget);
		if (text.trim() !== "") sides[over ? "positive" : "negative"].push(text);
	}
	await guard.dispose();
	const even = Math.min(sides.positive.length, sides.negative.length);
	return { positive: sides.positive.slice(0, even), negative: sides.negative.slice(0, even) };
}

async function controlVectors(name, options, prompts) {
	const sides = await contrastivePrompts(options, prompts);
	for (const method of ["mean", "pca"]) {
		const report = await steerVector({ model: options.model, ...sides, out: made(`${name}-${method}.gguf`), method, threads: 1 });
		const { layer, accuracy } = report.gate;
		console.log(
			`${name}, ${method}: ${report.prompts.positive} + ${report.prompts.negative} texts, gate at layer ${layer}, accuracy ${accuracy}`,
		);
	}
}

if (existsSync(storiesModel)) {
	const prompts = made("stories-prompts.jsonl");
	writeFileSync(prompts, storyOpenings.map((prompt) => `${JSON.stringify({ prompt })}\n`).join(""));
	const rollouts = made("stories-rollouts");
	await collectRollouts({ ...stories, prompts, responses: 20, stride: 16, batch: 20, out: rollouts });
	const report = await trainCritic({ rollouts, out: made("stories-critic.gguf"), threads: 1 });
	console.log(`stories260K: critic of AUC ${report.test.pSafe.auc}`);
	await controlVectors("stories", stories, [...storyOpenings, ...storyOpenings, ...storyOpenings]);
} else console.error(`left out: ${storiesModel} is not there`);

const trainingPrompts = readFileSync(embeddedPrompts, "utf8").trim().split("\n").map(JSON.parse);
const embedded = { model: embeddedDefault.model, constraints: embeddedDefault.constraints, threads: 1 };
const train = trainingPrompts.filter(({ split }) => split === "train").map(({ prompt }) => prompt);
await controlVectors("embedded", embedded, train.slice(0, 400));
