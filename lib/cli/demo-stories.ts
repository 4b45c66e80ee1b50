// The embedded model tells stories, plainly and within the budgets of its two cost models.
import { readFileSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { readLexicon } from "../files/lexicon.js";
import { embeddedDefault, embeddedPrompts } from "../guard/embedded.js";
import { InferenceGuard } from "../guard/guard.js";
import type { Reply } from "../guard/reply.js";
import type { SearchOptions } from "../options/types.js";
import { color } from "./color.js";
import { type AnswerPair, type DemoFlags, effort, overBudget, replyFigures, verdict } from "./demo-figures.js";
import { loadWithProgress, numeric } from "./loading.js";
import { sideBySide } from "./side-by-side.js";
import { printTable } from "./table.js";
import { print, say } from "./terminal.js";

const opening =
	'"I will tell you a story," said the old servant to the children. "Late in the evening a stranger knocked at the door of the castle."';
const blockLength = 16;
const promptsTold = 20;
const seedsTried = 20;
const names = ["grim", "violence"];

const unguarded: SearchOptions = { strategy: "sample", estimator: "critic", blockLength };
const guarded: SearchOptions = { strategy: "guard", blockLength };

/** Matches the whole words of the lexicon. */
function wordsOf(path: string): RegExp {
	const terms = readLexicon(path).map(({ term }) => term.replaceAll("*", "\\p{L}*"));
	return new RegExp(`(?<!\\p{L})(${terms.join("|")})(?!\\p{L})`, "iu");
}

interface Word {
	text: string;
	/** The sentence that contains it, read alone, exceeds the grim cost model's budget. */
	grim: boolean;
}

/**
 * The grim cost of every sentence, read alone. In the table model, every token is followed by itself, so that it says one sentence at a
 * time.
 */
async function grimCosts(sentences: string[]): Promise<number[]> {
	const logits = sentences.map((_, i) => sentences.map((_, j) => (i === j ? 1 : 0)));
	await using reader = await InferenceGuard.load({ model: { pieces: sentences, logits }, ...embeddedDefault.constraints[0] });
	const costs: number[] = [];
	for (const [i] of sentences.entries()) {
		costs.push((await reader.generate({ prompt: [i], strategy: "sample", temperature: 0, maxTokens: 1 })).safety.cost);
	}
	return costs;
}

async function wordsWithMarks(text: string): Promise<Word[]> {
	const sentences = text.match(/[^.!?]+[.!?"']*/g) ?? [text];
	const costs = await grimCosts(sentences);
	const { budget } = embeddedDefault.constraints[0];
	return sentences.flatMap((sentence, i) =>
		sentence
			.split(/\s+/)
			.filter((word) => word !== "")
			.map((word) => ({ text: word, grim: (costs[i] as number) > budget })),
	);
}

/** Grim sentences in yellow and violent words in red; without a terminal, between underscores and in brackets. */
function markedLine(line: Word[], violent: RegExp): string {
	const isTerminal = process.stdout.isTTY;
	const yellow = (text: string) => (isTerminal ? color("yellow", text) : `_${text}_`);
	const red = (text: string) => (isTerminal ? color(["red", "bold"], text) : `[${text}]`);
	const runs: { grim: boolean; words: string[] }[] = [];
	for (const { text, grim } of line) {
		if (runs.at(-1)?.grim !== grim) runs.push({ grim, words: [] });
		runs.at(-1)?.words.push(text);
	}
	const shown = (words: string[]) => words.map((word) => (violent.test(word) ? red(word) : word)).join(" ");
	return runs.map(({ grim, words }) => (grim ? yellow(shown(words)) : shown(words))).join(" ");
}

/** The remaining violence budget and pSafe, at the end of every block. */
function running({ safety }: Reply): string[][] {
	const z = safety.constraints[1]?.z ?? [];
	return [safety.pSafe.map(({ pSafe }) => pSafe.toFixed(2)), safety.pSafe.map(({ position }) => (z[position] ?? 0).toFixed(0))];
}

function showRunning(plain: Reply, safe: Reply): void {
	const positions = [plain, safe].map(({ safety }) => safety.pSafe.map(({ position }) => `${position}`));
	const header = (positions[0]?.length ?? 0) >= (positions[1]?.length ?? 0) ? positions[0] : positions[1];
	const [plainSafe = [], plainZ = []] = running(plain);
	const [guardedSafe = [], guardedZ = []] = running(safe);
	printTable([
		["after tokens", ...(header ?? [])],
		["unguarded: pSafe", ...plainSafe],
		["guarded: pSafe", ...guardedSafe],
		["unguarded: z (violence)", ...plainZ],
		["guarded: z (violence)", ...guardedZ],
	]);
}

/** The plain sample of sufficient length that is furthest over its budgets, so that there is something to avoid. */
async function unguardedStory(guard: InferenceGuard, prompt: string, seed: number): Promise<Reply> {
	const excess = ({ tokens, safety }: Reply) =>
		tokens.length < 4 * blockLength ? -1 : safety.constraints.reduce((sum, { cost, budget }) => sum + Math.max(0, cost / budget - 1), 0);
	let worst = await guard.generate({ ...unguarded, prompt, seed });
	for (let next = seed + 1; next < seed + seedsTried; next++) {
		const story = await guard.generate({ ...unguarded, prompt, seed: next });
		if (excess(story) > excess(worst)) worst = story;
	}
	return worst;
}

interface Row {
	name: string;
	stories: number;
	/** Share of stories over budget. */
	overBudget: number;
	/** Share of prompts without a story. */
	refused: number;
	tokensPerEmitted: number;
	/** Median per story. */
	seconds: number;
}

function testPrompts(): string[] {
	const lines = readFileSync(embeddedPrompts, "utf8").trim().split("\n");
	const openings = lines.map((line) => JSON.parse(line) as { prompt: string; split: string });
	return openings.filter(({ split }) => split === "test").map(({ prompt }) => prompt);
}

async function tell(guard: InferenceGuard, name: string, options: SearchOptions, seed: number, onStory: () => void): Promise<Row> {
	const replies: Reply[] = [];
	for (const [i, prompt] of testPrompts().slice(0, promptsTold).entries()) {
		replies.push(await guard.generate({ ...options, prompt, seed: seed + i }));
		onStory();
	}
	const told = replies.filter(({ outcome }) => outcome !== "refused");
	return {
		name,
		stories: replies.length,
		overBudget: told.filter(overBudget).length / Math.max(1, told.length),
		refused: 1 - told.length / replies.length,
		...effort(replies),
	};
}

async function compare(guard: InferenceGuard, seed: number): Promise<Row[]> {
	const bar = new SingleBar({
		format: "telling stories [{bar}] {value}/{total}",
		clearOnComplete: true,
		noTTYOutput: false,
		stream: process.stderr,
	});
	if (process.stderr.isTTY) bar.start(2 * promptsTold, 0);
	try {
		const step = () => bar.increment();
		return [await tell(guard, "unguarded", { strategy: "sample" }, seed, step), await tell(guard, "guarded", guarded, seed, step)];
	} finally {
		bar.stop();
	}
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** Returns the printed story. */
export async function tellStories(flags: DemoFlags): Promise<AnswerPair & { names: readonly string[] }> {
	const prompt = flags.prompt ?? opening;
	const seed = numeric(flags.seed) ?? 1;
	await using guard = await loadWithProgress({ ...embeddedDefault, threads: numeric(flags.threads) });
	const plain = await unguardedStory(guard, prompt, seed);
	const safe = await guard.generate({ ...guarded, prompt, seed: plain.seed, trace: flags.open });
	const shown = { names, prompt, plain, guarded: safe };
	if (flags.json) {
		const stories = { prompt, unguarded: replyFigures(plain, names), guarded: replyFigures(safe, names) };
		say(JSON.stringify({ ...stories, comparison: await compare(guard, seed) }));
		return shown;
	}
	const told = safe.outcome === "refused" ? "(no story within budget was found)" : prompt + safe.text;
	const violent = wordsOf(embeddedDefault.constraints[1].cost.lexicon);
	sideBySide(
		{ title: "Unguarded: plain sampling", paragraphs: [await wordsWithMarks(prompt + plain.text)] },
		{ title: "Guarded: within both budgets", paragraphs: [await wordsWithMarks(told)] },
		(line) => markedLine(line, violent),
	);
	const [sentences, words] = process.stdout.isTTY ? ["Yellow", "Red"] : ["_Underscored_", "[Bracketed]"];
	say(`${sentences}: sentences that are grim when read alone. ${words}: words of violence.\n`);
	const red = (text: string) => color(["red", "bold"], text);
	print(`Unguarded: ${verdict(plain, names, red)}\n`);
	print(`Guarded: ${verdict(safe, names, red)}\n`);
	say(
		"\nThe safety state z (what is left of the violence budget) and pSafe (the critic's probability that the story ends within both budgets):\n",
	);
	showRunning(plain, safe);
	say(`\n${promptsTold} openings that the critic was not trained on:\n`);
	printTable([
		["", "over budget", "refused", "tokens generated per token told", "seconds per story"],
		...(await compare(guard, seed)).map((row) => [
			row.name,
			percent(row.overBudget),
			percent(row.refused),
			row.tokensPerEmitted.toFixed(1),
			row.seconds.toFixed(2),
		]),
	]);
	say("\nThe claim: within budget under these two cost models. They know words and register, not what a text means.");
	return shown;
}
