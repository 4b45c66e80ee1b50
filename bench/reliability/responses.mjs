// Guarded responses of random small models under random costs, settings and ways of asking, and what is wrong with them by arithmetic of its own.
import { randomNumbers } from "../../dist/data/random.js";
import { InferenceGuard } from "../../dist/index.js";

const perGuard = 50;
const atOnce = 5;
const strategies = ["guard", "guard", "guard", "filter", "bestOfNAugmented", "beamAugmented"]; // that keep to the budget
const words = ["ka", "ti", "so", "ne", "ra", "lu"];
const separators = [" ", ", ", "-"];
const tolerance = 1e-9; // of sums of floating-point numbers; other sums are of whole numbers

const picker = (seed) => {
	const random = randomNumbers(seed);
	const below = (n) => Math.floor(random() * n);
	return { random, below, from: (some) => some[below(some.length)] };
};

/** Costs of single letters, in tenths; what a text spends, discounted, at every letter. */
function letterCosts({ below, from }) {
	const pieces = [..."abcdef"].slice(0, 3 + below(4));
	const tenths = pieces.map(() => from([0, 0, 1, 2, 3, 5, 10]));
	const discount = from([1, 1, 0.999, 0.9]);
	const budget = below(20);
	const spent = (text) => [...text].reduce((sum, letter, t) => sum + discount ** t * tenths[pieces.indexOf(letter)], 0);
	return {
		pieces,
		cost: { tokenCosts: tenths.map((cost) => cost / 10) },
		budget: budget / 10,
		discount,
		isOver: (text) => spent(text) > budget + (discount === 1 ? 0 : tolerance),
	};
}

/** Terms of a lexicon, which pieces build across their borders; what a text contains of them. */
function lexiconCosts({ below, from }) {
	const pieces = [...words, ...separators.slice(0, 1 + below(3))];
	const terms = new Map(
		Array.from({ length: 1 + below(4) }, () => [Array.from({ length: 1 + below(2) }, () => from(words)).join(""), 1 + below(3)]),
	);
	const budget = below(4);
	const isIn = (text, term) => [...text.matchAll(/[a-z]+/g)].filter(([word]) => word === term).length;
	return {
		pieces,
		cost: { lexicon: [...terms].map(([term, weight]) => ({ term, weight })) },
		prompt: words.length, // a space
		budget,
		discount: 1,
		isOver: (text) => [...terms].reduce((sum, [term, cost]) => sum + cost * isIn(text, term), 0) > budget,
	};
}

/** A function that charges every third letter of a kind. */
function functionCosts({ below, from }) {
	const pieces = [..."abcd"];
	const [letter, budget] = [from(pieces), below(4)];
	const costOf = (text) => Math.floor([...text].filter((one) => one === letter).length / 3);
	return {
		pieces,
		cost: (candidates) => candidates.map(({ text }) => costOf(text)),
		budget,
		discount: 1,
		isOver: (text) => costOf(text) > budget,
	};
}

const kinds = { letters: letterCosts, lexicon: lexiconCosts, function: functionCosts };

function settingsOf({ random, below, from }, prompt) {
	const candidates = 1 + below(12);
	const strategy = from(strategies);
	const settings = { strategy, prompt: [prompt], maxTokens: 1 + below(24), seed: below(1e6), temperature: from([0, 0.5, 1, 2]) };
	if (strategy === "filter") return settings;
	const wide = { ...settings, candidates, maxGeneratedTokens: 1 + below(2000) };
	if (strategy !== "guard") return wide;
	const searching = { blockLength: 1 + below(6), startCandidates: 1 + below(candidates), beams: 1 + below(candidates), retries: below(3) };
	return { ...wide, ...searching, diversityPenalty: 3 * random(), ...(below(4) === 0 && { maxBacktracks: below(4) }) };
}

/** What a caller sees: the reply, or undefined where it was aborted, and the texts that streamed before. */
async function ask(guard, settings, streams, abortAfter) {
	if (!streams) return { reply: await guard.generate(settings), streamed: [] };
	const abort = new AbortController();
	const stream = guard.stream({ ...settings, signal: abort.signal });
	const streamed = [];
	try {
		for await (const { text } of stream) {
			streamed.push(text);
			if (streamed.length === abortAfter) abort.abort();
		}
		return { reply: await stream.reply, streamed };
	} catch (error) {
		if (error.code !== "ABORTED") throw error;
		await stream.reply.catch(() => {});
		return { streamed };
	}
}

/** Responses by outcome, and how many of them were over budget or streamed what is not of an answer within budget. */
export async function checkResponses(count, seed) {
	const found = { responses: 0, aborted: 0, refused: 0, streamed: 0, overBudget: 0, leaked: 0 };
	for (let g = 0; found.responses < count; g++) {
		const pick = picker(seed * 1_000_003 + g);
		const { pieces, prompt = 0, cost, budget, discount, isOver } = kinds[Object.keys(kinds)[g % 3]](pick);
		const logits = pieces.map(() => pieces.map(() => 6 * pick.random() - 3));
		const model = { pieces, logits, ends: pick.from([[], [], [pieces.length - 1]]) };
		const guard = await InferenceGuard.load({ model, cost, budget, discount });
		for (let i = 0; i < perGuard; i += atOnce) {
			const asked = Array.from({ length: atOnce }, () => [settingsOf(pick, prompt), pick.below(2) === 0, pick.from([0, 0, 0, 1, 3])]);
			for (const { reply, streamed } of await Promise.all(asked.map((one) => ask(guard, ...one)))) {
				const prefixes = streamed.map((_, n) => streamed.slice(0, n + 1).join(""));
				found.responses++;
				if (streamed.length > 0) found.streamed++;
				if (reply === undefined) found.aborted++;
				else if (reply.outcome === "refused") found.refused++;
				else if (reply.outcome === "unguarded" || isOver(reply.text)) found.overBudget++;
				const isWhole = reply === undefined || streamed.length === 0 || streamed.join("") === reply.text;
				if (!isWhole || prefixes.some(isOver)) found.leaked++;
			}
		}
		await guard.dispose();
	}
	return found;
}
