// Made-up results of an evaluation, in the manner of the paper's tables; nothing here was measured.
import type { Estimate, EvaluationSummary, MethodSummary, ReportResponse } from "../lib/evaluation/types.js";
import type { PruneReason, TraceNode } from "../lib/trace.js";

/** Family, N, reward, its standard deviation, cost, safety, judge's safety, seconds, tokens sampled per response. */
type Row = [
	family: string,
	n: number,
	reward: number,
	sd: number,
	cost: number,
	safety: number,
	judged: number,
	seconds: number,
	tokens: number,
];

const rows: Row[] = [
	["Base", 1, 6.1, 1.5, 1.33, 0.295, 0.312, 1.1, 128],
	["Recontrol", 1, 6.2, 1.55, 1.32, 0.296, 0.31, 1.7, 128],
	["Best of N, Lagrangian", 100, 5.3, 1.6, -0.46, 0.48, 0.47, 29, 12_800],
	["Best of N, Lagrangian", 200, 5.2, 1.64, -0.72, 0.54, 0.51, 58, 25_600],
	["Best of N, Lagrangian", 500, 6.0, 1.85, -1.27, 0.52, 0.48, 145, 64_000],
	["Best of N, augmented", 200, 7.5, 1.9, 0.67, 0.6, 0.55, 58, 25_600],
	["Best of N, augmented", 500, 7.8, 2.1, 0.42, 0.66, 0.54, 145, 64_000],
	["Beam, Lagrangian", 128, 6.6, 1.95, -1.02, 0.5, 0.47, 32, 16_384],
	["Beam, Lagrangian", 256, 6.7, 2.08, -1.28, 0.52, 0.48, 60, 32_768],
	["Beam, augmented", 128, 8.3, 2.02, 0.64, 0.59, 0.52, 39, 16_384],
	["Beam, augmented", 256, 8.7, 2.15, 0.55, 0.62, 0.5, 82, 32_768],
	["ARGS", 1, 6.7, 1.7, 1.47, 0.28, 0.3, 82, 1280],
	["ARGS, cost model", 1, 0.2, 1.65, -2.21, 0.82, 0.79, 78, 1280],
	["InferenceGuard", 64, 7.2, 2.4, -0.4, 0.82, 0.8, 33, 11_200],
	["InferenceGuard", 128, 7.1, 2.5, -0.63, 0.88, 0.83, 65, 21_000],
	["InferenceGuard with critic", 128, 6.8, 2.7, -1.01, 0.91, 0.86, 71, 18_500],
];

const nothing: Estimate = { value: null, interval: null };
const around = (value: number, half: number): Estimate => ({ value, interval: [value - half, value + half] });
const share = (value: number): Estimate => ({ value, interval: [Math.max(0, value - 0.06), Math.min(1, value + 0.05)] });

function method([family, n, reward, sd, cost, safety, judged, seconds, tokens]: Row): MethodSummary {
	const responses = 300;
	const refused = family.startsWith("InferenceGuard") ? 21 : 0;
	const answered = responses - refused;
	return {
		name: n > 1 ? `${family}, N = ${n}` : family,
		settings: n > 1 ? `blockLength 32, candidates ${n}` : "",
		family,
		candidates: n,
		responses,
		answered,
		refused,
		truncated: refused > 0 ? 4 : 0,
		repaired: refused > 0 ? 7 : 0,
		overBudget: Math.round(answered * (1 - safety)),
		safetyRate: safety,
		judgeSafetyRate: judged,
		rewardMean: reward,
		secondsMean: seconds,
		tokensPerEmitted: tokens / 110,
		estimates: {
			safetyRate: share(safety),
			safeAnswerRate: share((safety * answered) / responses),
			refusalRate: share(refused / responses + 0.05),
			overRefusalRate: nothing,
			costs: [around(cost, 0.21)],
			reward: around(reward, 0.18),
			rewardSd: sd,
			seconds: around(seconds, seconds / 50),
			tokensPerEmitted: around(tokens / 110, tokens / 2000),
			generatedTokens: around(tokens, tokens / 40),
			perplexity: around(2.9 + reward / 10, 0.12),
			distinct1: around(0.11, 0.01),
			distinct2: around(0.46, 0.02),
			distinct3: around(0.72, 0.03),
			judges: { roberta: share(judged), "word list": share(judged - 0.03) },
		},
		categories: {},
	};
}

export const summary: EvaluationSummary = {
	version: 1,
	name: "Made-up results",
	configHash: "3f".repeat(32),
	modelHash: "a7".repeat(32),
	prompts: 100,
	skipped: [],
	seeds: [1, 2, 3],
	judges: ["roberta", "word list"],
	methods: rows.map(method),
};

/** A method of which nothing could be measured. */
export function emptyMethod(name: string): MethodSummary {
	const made = method([name, 1, 0, 0, 0, 0, 0, 0, 0]);
	const { estimates } = made;
	return {
		...made,
		responses: 0,
		answered: 0,
		overBudget: 0,
		safetyRate: null,
		judgeSafetyRate: null,
		rewardMean: null,
		secondsMean: null,
		tokensPerEmitted: null,
		estimates: {
			...estimates,
			...{
				safetyRate: nothing,
				safeAnswerRate: nothing,
				refusalRate: nothing,
				costs: [nothing],
				reward: nothing,
				rewardSd: null,
				seconds: nothing,
			},
			...{
				tokensPerEmitted: nothing,
				generatedTokens: nothing,
				perplexity: nothing,
				distinct1: nothing,
				distinct2: nothing,
				distinct3: nothing,
				judges: {},
			},
		},
	};
}

const words = "the lamp on the table was warm and its light fell over old maps of rivers that nobody had walked along for years".split(" ");
const text = (from: number, count: number) =>
	Array.from({ length: count }, (_, i) => ` ${words[(from * 7 + i * 3) % words.length]}`).join("");

/** A search of blocks with one retry at its second block; the candidates that went on are `kept` of each block's `width`. */
export function trace({ blocks = 4, width = 8, kept = 2, answered = true } = {}): TraceNode[] {
	const nodes: TraceNode[] = [];
	let beams = [-1];
	const pruned: PruneReason[] = ["cost", "pSafe", "notSelected"];
	for (let block = 0; block < blocks; block++) {
		const last = block === blocks - 1;
		const next: number[] = [];
		for (const round of block === 1 ? [0, 1] : [0]) {
			for (let i = 0; i < width; i++) {
				const goesOn = i < kept && !(block === 1 && round === 0);
				const cost = block + i;
				nodes.push({
					parent: beams[i % beams.length]!,
					round,
					position: block * 32,
					tokens: 32,
					text: text(nodes.length, 18),
					z: [10 - cost],
					cost,
					reward: last ? i / 3 : null,
					pSafe: 0.98 - i / 20,
					value: 5 - i / 4,
					score: goesOn ? 5 - i / 4 : null,
					finished: last,
					pruned: last && goesOn ? (answered && i === 0 ? null : "recheck") : goesOn ? null : pruned[i % pruned.length]!,
					answer: answered && last && i === 0,
				});
				if (goesOn) next.push(nodes.length - 1);
			}
		}
		beams = next;
	}
	return nodes;
}

/** A search of the methods over some prompts; the sixth of them is refused by InferenceGuard, and one response in three has a trace. */
export function responses(prompts: number): ReportResponse[] {
	return rows.flatMap((row, m) =>
		Array.from({ length: prompts }, (_, p): ReportResponse => {
			const guarded = row[0].startsWith("InferenceGuard");
			const refused = guarded && p === 5;
			const cost = refused ? 0 : ((m * 5 + p * 3) % 17) - (guarded ? 7 : 2);
			return {
				method: summary.methods[m]!.name,
				prompt: `prompt-${p}`,
				promptText: `What lies${text(p, 12)}?`,
				category: p % 2 === 0 ? "lies" : null,
				label: p % 2 === 0 ? "harmful" : null,
				seed: 1,
				outcome: refused ? "refused" : guarded ? (p % 2 ? "steered" : "safe") : "unguarded",
				finishReason: refused ? "safety" : "length",
				text: refused ? "" : text(m + p, 80).trim(),
				costs: [{ cost, budget: 10 }],
				withinBudget: cost <= 10,
				reward: refused ? null : row[2] + (p % 3),
				judges: { roberta: { cost: cost / 2, withinBudget: cost < 5 }, "word list": { cost: cost / 3, withinBudget: cost < 9 } },
				refusal: refused,
				logLikelihood: -1.2,
				generatedTokens: row[8],
				emittedTokens: refused ? 0 : 128,
				rounds: 5,
				backtracks: refused ? 2 : 0,
				seconds: row[7],
				...((m + p) % 3 === 0 && row[1] > 1 ? { trace: trace({ width: Math.min(16, row[1]), answered: !refused }) } : {}),
			};
		}),
	);
}
