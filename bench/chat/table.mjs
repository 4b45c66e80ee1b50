// The tables of the bench, from what stands in its folder and what readers said.
import { wilsonInterval } from "../../dist/data/statistics.js";
import { atBudget, plain, reference, widths } from "./experiments.mjs";
import { unsafeShare } from "./reading.mjs";

function share(rows, holds) {
	const count = rows.filter(holds).length;
	return { value: rows.length === 0 ? null : count / rows.length, interval: wilsonInterval(count, rows.length) };
}

const isRefused = ({ outcome }) => outcome === "refused";
const isUnsafeTo = (judge) => (row) => !isRefused(row) && !row.judges[judge].withinBudget;
const overall = ({ rows }) => [...rows.values()];
const judgedBy = (one) => Object.fromEntries(one.judges.map((judge) => [judge, share(overall(one), isUnsafeTo(judge))]));
const named = (results, name) => results.find((one) => one.name === name);

/** Answers that are not the plain ones to the same prompts with the same seeds; a refusal is none. */
function changed({ rows }, unguarded) {
	const both = [...rows].filter(([prompt]) => unguarded.rows.has(prompt));
	return share(both, ([prompt, { text }]) => text !== unguarded.rows.get(prompt).text);
}

const readUnsafe = (verdicts) => (verdicts === undefined ? null : unsafeShare(verdicts.values()));

function rowOf(harmful, benign, unguarded, reading) {
	const { estimates } = harmful;
	return {
		name: harmful.name,
		prompts: { harmful: harmful.rows.size, benign: benign?.rows.size ?? 0 },
		unsafe: readUnsafe(reading?.verdicts.get(harmful.name)),
		judged: judgedBy(harmful),
		withinBudget: estimates.safetyRate,
		refused: share(overall(harmful), isRefused),
		repaired: harmful.repaired,
		reward: estimates.reward,
		distinct: [estimates.distinct1, estimates.distinct2, estimates.distinct3],
		tokensPerEmitted: estimates.tokensPerEmitted,
		seconds: estimates.seconds,
		benign: benign && {
			changed: unguarded && changed(benign, unguarded),
			refused: share(overall(benign), isRefused),
			tokensPerEmitted: benign.estimates.tokensPerEmitted,
			seconds: benign.estimates.seconds,
		},
	};
}

/** Results cut down to the prompts that all of them have. */
function onSharedPrompts(results) {
	const shared = [...(results[0]?.rows.keys() ?? [])].filter((prompt) => results.every(({ rows }) => rows.has(prompt)));
	return results.map((one) => ({ ...one, rows: new Map(shared.map((prompt) => [prompt, one.rows.get(prompt)])) }));
}

/** What a search over more candidates finds that its judge does not see. */
function unsafeAgainstWidth(harmful, reading) {
	const ofWidths = widths.map((name) => named(harmful, name)).filter((one) => one !== undefined);
	return onSharedPrompts(ofWidths).map((one) => ({
		name: one.name,
		prompts: one.rows.size,
		unsafe: readUnsafe(reading?.verdicts.get(one.name)),
		judged: judgedBy(one),
	}));
}

const isAtBudget = ({ name }) => name.startsWith(atBudget(""));
const budgetOf = (one) => overall(one)[0]?.costs[0].budget;
const isOver = (budget) => (row) => row.costs[0].cost > budget;

function tokensPerEmitted(one) {
	const total = (count) => overall(one).reduce((sum, row) => sum + count(row), 0);
	return total(({ generatedTokens }) => generatedTokens) / total(({ emittedTokens }) => emittedTokens);
}

/** Of plain answers what a filter at this budget would do with them. */
function filterAt(budget, harmful, benign, verdicts) {
	const passing = ([prompt, verdict]) => (!harmful.rows.has(prompt) || isOver(budget)(harmful.rows.get(prompt)) ? 0 : verdict);
	const stopped = benign && share(overall(benign), isOver(budget));
	return {
		name: "filter",
		unsafe: verdicts === undefined ? null : unsafeShare([...verdicts].map(passing)),
		refused: share(overall(harmful), isOver(budget)),
		tokensPerEmitted: null,
		benign: benign && { changed: stopped, refused: stopped, tokensPerEmitted: null },
	};
}

function guardAt(harmful, benign, unguarded, verdicts) {
	return {
		name: reference,
		unsafe: readUnsafe(verdicts),
		refused: share(overall(harmful), isRefused),
		tokensPerEmitted: tokensPerEmitted(harmful),
		benign: benign && {
			changed: changed(benign, unguarded),
			refused: share(overall(benign), isRefused),
			tokensPerEmitted: tokensPerEmitted(benign),
		},
	};
}

/** The guard and a filter of plain answers by budget, on the prompts that all budgets have. */
function budgetCurve(results, reading) {
	const isOfCurve = (one) => one.name === reference || one.name === plain || isAtBudget(one);
	const [harmful, benign] = [results.harmful, results.benign].map((all) => onSharedPrompts(all.filter(isOfCurve)));
	const [unguarded, unguardedBenign] = [named(harmful, plain), named(benign, plain)];
	if (unguarded === undefined || !harmful.some(isAtBudget)) return [];
	return harmful
		.filter(({ name }) => name !== plain)
		.sort((a, b) => budgetOf(a) - budgetOf(b))
		.flatMap((guard) => {
			const budget = budgetOf(guard);
			const verdicts = (name) => reading?.verdicts.get(name);
			return [
				{ budget, ...filterAt(budget, unguarded, unguardedBenign, verdicts(plain)) },
				{ budget, ...guardAt(guard, unguardedBenign && named(benign, guard.name), unguardedBenign, verdicts(guard.name)) },
			];
		});
}

/** The guard gives the plain answer wherever it rejects nothing: how many such answers there are, and how many are others. */
function whereNothingIsRejected(results) {
	const unguarded = named(results, plain);
	const guards = results.filter((one) => (widths.includes(one.name) && one.name !== plain) || isAtBudget(one));
	const safe = guards.flatMap(({ rows }) => [...rows].filter(([prompt, { outcome }]) => outcome === "safe" && unguarded?.rows.has(prompt)));
	return { answers: safe.length, notPlain: safe.filter(([prompt, { text }]) => text !== unguarded.rows.get(prompt).text).length };
}

/** All tables, from the results by kind of prompt and from a reading, if there is one. */
export function tablesOf(results, reading) {
	const { harmful, benign } = results;
	const unguarded = named(benign, plain);
	return {
		methods: harmful.filter((one) => !isAtBudget(one)).map((one) => rowOf(one, named(benign, one.name), unguarded, reading)),
		widths: unsafeAgainstWidth(harmful, reading),
		budgets: budgetCurve(results, reading),
		nothingRejected: whereNothingIsRejected(benign),
		readers: reading && { names: reading.readers, agreement: reading.agreement },
	};
}
