import { readFileSync } from "node:fs";
import { stripVTControlCharacters, styleText } from "node:util";
import { SingleBar } from "cli-progress";
import { embeddedDefault, embeddedPrompts } from "../embedded.js";
import type { InferenceGuard } from "../guard.js";
import { readLexicon } from "../lexicon.js";
import type { Reply } from "../reply.js";
import type { SearchOptions } from "../types.js";
import { loadWithProgress, numeric } from "./loading.js";
import { printTable } from "./table.js";

const opening =
	'"I will tell you a story," said the old servant to the children. "Late in the evening a stranger knocked at the door of the castle."';
const blockLength = 16;
const promptsTold = 20;
const seedsTried = 20;
const widestColumn = 56;
const narrowestColumn = 32;
const margin = "  ";
const gap = "   ";
const names = ["grim", "violence"];

const unguarded: SearchOptions = { strategy: "sample", estimator: "critic", blockLength };
const guarded: SearchOptions = { strategy: "guard", blockLength };

const color: typeof styleText = (style, text) => (process.stdout.isTTY ? styleText(style, text) : text);

const overBudget = ({ safety }: Reply) => safety.constraints.some(({ cost, budget }) => cost > budget);

/** Whole words of the lexicon. */
async function wordsOf(path: string): Promise<RegExp> {
	const terms = (await readLexicon(path)).map(({ term }) => term.replaceAll("*", "\\p{L}*"));
	return new RegExp(`(?<!\\p{L})(${terms.join("|")})(?!\\p{L})`, "giu");
}

function wrap(text: string, width: number): string[] {
	const lines = [""];
	for (const word of text.split(/\s+/).filter((part) => part !== "")) {
		const last = lines.at(-1) as string;
		if (last === "") lines[lines.length - 1] = word;
		else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
		else lines.push(word);
	}
	return lines;
}

interface Column {
	title: string;
	text: string;
}

/** Two texts beside each other, or one below the other on a narrow terminal; what a lexicon finds is marked. */
function sideBySide(left: Column, right: Column, marked: RegExp): void {
	const mark = (text: string) => text.replace(marked, (hit) => color(["red", "bold"], process.stdout.isTTY ? hit : `[${hit}]`));
	const columns = process.stdout.columns ?? 2 * widestColumn + margin.length + gap.length;
	const half = Math.min(widestColumn, Math.floor((columns - margin.length - gap.length) / 2));
	if (half < narrowestColumn) {
		for (const { title, text } of [left, right]) {
			console.log(`${margin}${color("bold", title)}\n`);
			for (const line of wrap(text, columns - margin.length)) console.log(margin + mark(line));
			console.log();
		}
		return;
	}
	const lines = (column: Column) => [color("bold", column.title), "", ...wrap(column.text, half).map(mark)];
	const [a, b] = [lines(left), lines(right)];
	for (let i = 0; i < Math.max(a.length, b.length); i++) {
		const cell = a[i] ?? "";
		const padding = " ".repeat(Math.max(0, half - stripVTControlCharacters(cell).length));
		console.log(`${margin}${cell}${padding}${gap}${b[i] ?? ""}`.trimEnd());
	}
	console.log();
}

/** What is left of the violence budget and pSafe, at the end of every block. */
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

function verdict(title: string, reply: Reply): void {
	const costs = reply.safety.constraints.map(({ cost, budget }, i) => {
		const text = `${names[i]} ${cost.toFixed(2)} of ${budget}`;
		return cost > budget ? color(["red", "bold"], `${text}: over budget`) : text;
	});
	const { generatedTokens, emittedTokens } = reply.usage;
	console.log(`${title}: ${reply.outcome}, ${costs.join(", ")}, ${generatedTokens} tokens generated for ${emittedTokens} told`);
}

/** The plain sample of some length that is furthest over its budgets, so that there is something to avoid. */
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
	/** Share of the told stories that are over budget. */
	overBudget: number;
	/** Share of prompts without a story. */
	refused: number;
	tokensPerEmitted: number;
	/** Median of a story. */
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
	const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
	const seconds = replies.map(({ timings }) => timings.total / 1000).sort((a, b) => a - b);
	return {
		name,
		stories: replies.length,
		overBudget: told.filter(overBudget).length / Math.max(1, told.length),
		refused: 1 - told.length / replies.length,
		tokensPerEmitted:
			sum(replies.map(({ usage }) => usage.generatedTokens)) / Math.max(1, sum(told.map(({ usage }) => usage.emittedTokens))),
		seconds: seconds[Math.floor(seconds.length / 2)] as number,
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

function storyFigures(reply: Reply) {
	const { text, outcome, safety, usage, seed } = reply;
	const costs = safety.constraints.map(({ cost, budget, z }, i) => ({ name: names[i], cost, budget, z }));
	return { text, outcome, costs, pSafe: safety.pSafe, usage, seconds: reply.timings.total / 1000, seed };
}

export async function demo(flags: { prompt?: string; seed?: string; threads?: string; json?: boolean }): Promise<void> {
	const prompt = flags.prompt ?? opening;
	const seed = numeric(flags.seed) ?? 1;
	await using guard = await loadWithProgress({ ...embeddedDefault, threads: numeric(flags.threads) });
	const plain = await unguardedStory(guard, prompt, seed);
	const safe = await guard.generate({ ...guarded, prompt, seed: plain.seed });
	if (flags.json) {
		const stories = { prompt, unguarded: storyFigures(plain), guarded: storyFigures(safe) };
		console.log(JSON.stringify({ ...stories, comparison: await compare(guard, seed) }));
		return;
	}
	sideBySide(
		{ title: "Unguarded: plain sampling", text: prompt + plain.text },
		{
			title: "Guarded: within both budgets",
			text: safe.outcome === "refused" ? "(no story within budget was found)" : prompt + safe.text,
		},
		await wordsOf(embeddedDefault.constraints[1].cost.lexicon),
	);
	verdict("Unguarded", plain);
	verdict("Guarded", safe);
	console.log(
		"\nThe safety state z (what is left of the violence budget) and pSafe (the critic's probability that the story ends within both budgets):\n",
	);
	showRunning(plain, safe);
	console.log(`\n${promptsTold} openings that the critic was not trained on:\n`);
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
	console.log("\nThe claim: within budget under these two cost models. They know words and register, not what a text means.");
}
