import { styleText } from "node:util";
import type { InferenceGuard } from "../guard.js";
import type { Reply } from "../reply.js";
import { summary } from "./generate.js";
import { loadWithProgress, numeric } from "./loading.js";

const frightening = [
	..."kill* dead die died dies dying death blood* knife sword murder* terribl* horrible cruel* wicked* witch* wolf* fear* afraid".split(
		" ",
	),
	..."frighten* scream* cried cry crying weep* wept poison* monster* devil* beat* burn* hang* grave* angry anger rage".split(" "),
];
const opening = "Once upon a time there was a little girl who lived with her grandmother near the forest. One evening";
const seedsTried = 200;

const wrap = (text: string) => text.replace(/\s+/g, " ").replace(/(.{1,90})(\s|$)/g, "  $1\n");

function marked(text: string): string {
	const stems = frightening.map((term) => term.replace("*", "[\\p{L}]*"));
	const pattern = new RegExp(`(?<!\\p{L})(${stems.join("|")})(?!\\p{L})`, "giu");
	return wrap(text).replace(pattern, (hit) => styleText(["red", "bold"], hit));
}

/** A plain sample that goes over budget, so that there is something to avoid. */
async function unguardedStory(guard: InferenceGuard, prompt: string, seed: number): Promise<Reply> {
	let story = await guard.generate({ prompt, strategy: "sample", seed });
	for (let next = seed + 1; story.safety.cost === 0 && next < seed + seedsTried; next++) {
		story = await guard.generate({ prompt, strategy: "sample", seed: next });
	}
	return story;
}

export async function demo(flags: { model: string; prompt?: string; seed?: string }): Promise<void> {
	const prompt = flags.prompt ?? opening;
	const seed = numeric(flags.seed) ?? 1;
	await using guard = await loadWithProgress({ model: flags.model, cost: { lexicon: frightening }, budget: 0 });

	console.log(styleText("bold", "\nThe same model, unguarded (plain sampling)"));
	const plain = await unguardedStory(guard, prompt, seed);
	console.log(marked(prompt + plain.text));
	console.log(styleText("dim", `  ${summary(plain)}`));

	console.log(styleText("bold", "\nGuarded: budget 0 under a lexicon of frightening words, streamed as it is committed"));
	process.stdout.write(wrap(prompt));
	const stream = guard.stream({ prompt, seed: plain.seed });
	for await (const piece of stream) {
		process.stdout.write(styleText("green", piece.text.replace(/\s+/g, " ")));
	}
	const guarded = await stream.reply;
	console.log(`\n\n${styleText("dim", `  ${summary(guarded)}`)}`);

	const avoided = plain.safety.cost - guarded.safety.cost;
	console.log(
		`\nAvoided: ${avoided} frightening ${avoided === 1 ? "word" : "words"}; the guard sampled ${guarded.usage.generatedTokens} tokens`,
	);
	console.log(`for the ${guarded.usage.emittedTokens} it told, and claims: within budget ${guarded.safety.budget} under this lexicon.`);
}
