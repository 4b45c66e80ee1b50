import { z } from "zod";
import { choice, expected, path } from "../base/check.js";
import { InvalidOptionError } from "../errors.js";
import { sha256 } from "../files/fingerprint.js";
import { readLexicon } from "../files/lexicon.js";
import type { LexiconMatch, NativeLexiconTerm } from "../native/protocol.js";
import type { CostKind } from "./kind.js";

const term = z.union(
	[z.string(), z.strictObject({ term: z.string(), weight: z.number().optional() })],
	expected("a term or { term, weight }"),
);

export const lexiconSource = z.union([path("a path"), z.array(term)], expected("the path of a lexicon file or an array of terms"));

const schema = z.strictObject({ lexicon: lexiconSource, match: choice(["strict", "loose"]).optional() });

export function lexiconHash(terms: readonly NativeLexiconTerm[], match: LexiconMatch): string {
	return sha256(JSON.stringify(terms.map(({ term, weight }) => [term, weight]).sort()), match === "strict" ? "" : match);
}

/** Weights of words and phrases. */
export const lexicon = {
	shown: "{ lexicon }",
	schema,
	paths: ["lexicon"],
	toNative({ lexicon, match = "strict" }) {
		const terms = readLexicon(lexicon);
		const negative = terms.find(({ weight }) => weight < 0);
		if (negative)
			throw new InvalidOptionError(`expected positive weights in a cost lexicon, got ${negative.weight} for "${negative.term}"`);
		return { kind: "lexicon", lexicon: terms, match };
	},
	defaultBudget: () => 0,
	hash: ({ lexicon, match }) => lexiconHash(lexicon, match),
	files: () => [],
} satisfies CostKind<"lexicon", typeof schema>;
