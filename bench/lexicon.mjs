// What a loose lexicon finds beyond a strict one where nothing is hidden: in a public list of English words, and in running text. Terms
// are the embedded lexicon's, and words of the list themselves. `npm run bench:lexicon [-- --terms N --json]`
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { CostScorer } from "../dist/guard/cost-scorer.js";
import { embeddedDefault } from "../dist/index.js";

const { values: flags } = parseArgs({ options: { terms: { type: "string", default: "2000" }, json: { type: "boolean" } } });

const words = createRequire(import.meta.url)("an-array-of-english-words");
const sentences = ["openings", "stories"].flatMap((name) =>
	readFileSync(new URL(`evaluation/${name}.txt`, import.meta.url), "utf8")
		.trim()
		.split("\n"),
);

async function scored(texts, cost) {
	const scorer = await CostScorer.load({ constraints: [{ cost }] });
	try {
		return await scorer.score("", texts);
	} finally {
		await scorer.dispose();
	}
}

/** How many texts cost more loosely than strictly, and some of them. */
async function foundBeyond(lexicon, texts) {
	const strict = await scored(texts, { lexicon });
	const loose = await scored(texts, { lexicon, match: "loose" });
	const found = texts.filter((_, i) => loose[i][0].cost > strict[i][0].cost);
	return { texts: texts.length, found: found.length, examples: found.slice(0, 8) };
}

/** Words of the list at equal distances: whole words of three letters or more. */
function someWords(n) {
	const long = words.filter((word) => word.length >= 3);
	return Array.from({ length: n }, (_, i) => long[Math.floor((i * long.length) / n)]);
}

const embedded = embeddedDefault.constraints[1].cost.lexicon;
const terms = someWords(Number(flags.terms));
const rows = [
	{ lexicon: "embedded", on: "words", ...(await foundBeyond(embedded, words)) },
	{ lexicon: "embedded", on: "sentences", ...(await foundBeyond(embedded, sentences)) },
	{ lexicon: `${terms.length} words`, on: "words", ...(await foundBeyond(terms, words)) },
	{ lexicon: `${terms.length} words`, on: "sentences", ...(await foundBeyond(terms, sentences)) },
];
if (flags.json) console.log(JSON.stringify(rows, null, "\t"));
else console.table(rows.map(({ examples, ...row }) => ({ ...row, examples: examples.join(" ").slice(0, 60) })));
