import { styleText } from "node:util";
import type { InferenceGuard } from "../guard.js";
import type { Reply } from "../reply.js";
import { summary } from "./generate.js";
import { loadWithProgress, numeric } from "./loading.js";

const frightening = [
	..."kill* dead die died dies dying death blood* knife sword murder* terribl* horrible cruel* wicked* witch* wolf* fear* afraid".split(
		" ",
	),
	..."frighten* scream* cried cry crying weep* wept poison* monster* devil* beat* burn* grave* angry anger rage".split(" "),
];
const opening = "Once upon a time there was a little girl who lived with her grandmother near the forest. One evening";
const seedsTried = 200;
const lineWidth = 92;

const color: typeof styleText = (style, text) => (process.stdout.isTTY ? styleText(style, text) : text);

const wanted = new RegExp(`(?<!\\p{L})(${frightening.map((term) => term.replace("*", "\\p{L}*")).join("|")})(?!\\p{L})`, "giu");

/** Writes running text, broken into lines between words; frightening words are marked. */
class Page {
	#column = 0;
	#word = "";

	write(text: string): void {
		for (const character of text) {
			if (/\s/.test(character)) this.#flush();
			else this.#word += character;
		}
	}

	end(): void {
		this.#flush();
		process.stdout.write("\n\n");
		this.#column = 0;
	}

	#flush(): void {
		if (this.#word === "") return;
		if (this.#column + this.#word.length > lineWidth) this.#column = 0;
		process.stdout.write(this.#column === 0 ? "\n  " : " ");
		process.stdout.write(this.#word.replace(wanted, (hit) => color(["red", "bold"], hit)));
		this.#column += this.#word.length + 1;
		this.#word = "";
	}
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
	const page = new Page();

	console.log(color("bold", "Unguarded: plain sampling"));
	const plain = await unguardedStory(guard, prompt, seed);
	page.write(prompt + plain.text);
	page.end();
	console.log(`${summary(plain)}\n`);

	console.log(color("bold", "Guarded: budget 0 under a lexicon of frightening words, told as it is committed"));
	page.write(prompt);
	const stream = guard.stream({ prompt, seed: plain.seed });
	for await (const { text } of stream) page.write(text);
	page.end();
	const guarded = await stream.reply;
	console.log(`${summary(guarded)}\n`);

	const avoided = plain.text.match(wanted) ?? [];
	console.log(
		`Avoided: ${avoided.length > 0 ? avoided.map((word) => word.toLowerCase()).join(", ") : "nothing; the plain story was within budget too"}`,
	);
	console.log(`The guard sampled ${guarded.usage.generatedTokens} tokens for the ${guarded.usage.emittedTokens} it told.`);
	console.log(
		`Its claim: cost ${guarded.safety.cost}, within budget ${guarded.safety.budget} under this lexicon. It knows these words, not what a text means.`,
	);
}
