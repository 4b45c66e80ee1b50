// Measures the quality of a critic on prompts that it was not trained on, and compares it with simpler predictors.

import {
	auc,
	type CalibrationBin,
	calibrationCurve,
	correlation,
	expectedCalibrationError,
	fewestGroups,
	finite,
	groupedShareInterval,
	type Interval,
	type IntervalMethod,
	intervalMethod,
	meanSquaredError,
} from "../data/metrics.js";
import type { Split } from "../data/split.js";
import type { NativeCritic } from "../native/protocol.js";
import type { RolloutManifest } from "./rollout-files.js";

/** AUCs of simpler predictors of safety; null if they distinguish no states. */
export interface BaselineAucs {
	/** The share of safe responses among the others to the same prompt. */
	promptRate: number | null;
	/** The cost charged so far. */
	costSoFar: number | null;
	/** The whole-text cost models' score of the partial text; null without such models. */
	costModel: number | null;
}

/** pSafe on some states. AUC: null if only one outcome occurs. */
export interface PositionReport {
	/** Response tokens; 0 is the prompt's last token. */
	position: number;
	states: number;
	/** Share of states that are still feasible. */
	feasibleShare: number;
	/** Share of states whose response ended within budget. */
	safeShare: number;
	auc: number | null;
	/** Among states that are still feasible. */
	aucFeasible: number | null;
	/** 95 % over prompts; null if fewer than 10 have such states. */
	aucFeasibleInterval: Interval | null;
	/** Method of the interval: Student's t with the jackknife's standard error (fewer than 30 prompts), or percentiles of a bootstrap. */
	aucFeasibleIntervalMethod: IntervalMethod;
	ece: number;
	brier: number;
	valueCorrelation: number | null;
	valueRmse: number;
	/** Among states that are still feasible. */
	baselines: BaselineAucs;
}

/** The quality of a critic of the same shape with fewer inputs. AUC: among states that are still feasible. */
export interface CriticAblation {
	inputs: string[];
	validationLoss: number;
	aucFeasible: number | null;
	aucFeasibleInterval: Interval | null;
	aucFeasibleIntervalMethod: IntervalMethod;
	byPosition: { position: number; aucFeasible: number | null }[];
}

/** The measurements of {@link trainCritic}. */
export interface CriticReport {
	rollouts: { prompts: Record<Split, number>; missingBatches: number; modelHash: string; maxTokens: number; stride: number };
	training: {
		/** States in the training split. */
		examples: number;
		/** Epochs until the lowest validation loss. */
		epochs: number;
		validationLoss: number;
		parameters: number;
		inputs: string[];
		layers: number;
		width: number;
		members: number;
		seed: number;
		/** Ranges from which budgets were drawn, one per constraint. */
		budgets: [lowest: number, highest: number][];
		seconds: number;
	};
	/** Under the budgets of the rollouts. */
	test: {
		prompts: number;
		states: number;
		budgets: number[];
		pSafe: {
			auc: number | null;
			/** 95 % over prompts; null if there are fewer than 10. */
			aucInterval: Interval | null;
			/** As in {@link PositionReport}. */
			aucIntervalMethod: IntervalMethod;
			aucFeasible: number | null;
			aucFeasibleInterval: Interval | null;
			aucFeasibleIntervalMethod: IntervalMethod;
			ece: number;
			eceFeasible: number;
			brier: number;
			brierFeasible: number;
			calibration: CalibrationBin[];
		};
		/**
		 * A share {@link interventionRate} of the responses that ended within budget has a lower pSafe at some position after the prompt
		 * (conformal quantile): with this `satisfiedPSafe` a search changes no larger share of them. 0 if there are too few of them.
		 */
		satisfiedPSafe: number;
		value: { correlation: number | null; rmse: number };
		baselines: BaselineAucs & {
			/** A constant prediction: the share of safe states. */
			constantRate: { rate: number; brier: number };
			promptRateBrier: number | null;
		};
		byPosition: PositionReport[];
	};
	/** Without the mean of the residual stream, and without the last state, if the critic reads both. */
	ablations: CriticAblation[];
	/** The interval of the AUC among feasible states at the same position includes 0.5, or is unknown: the critic may have learned nothing. */
	learnedNothing: boolean;
}

/** A subset of the predictions. */
class States {
	readonly #columns: NativeCritic;
	readonly #rates: Float64Array;
	readonly rows: number[];

	constructor(columns: NativeCritic, rates: Float64Array, rows: number[]) {
		this.#columns = columns;
		this.#rates = rates;
		this.rows = rows;
	}

	where(keep: (columns: NativeCritic, row: number) => boolean): States {
		return new States(
			this.#columns,
			this.#rates,
			this.rows.filter((row) => keep(this.#columns, row)),
		);
	}

	get feasible(): States {
		return this.where(({ feasible }, row) => feasible[row] === 1);
	}

	column(name: "prompt" | "safe" | "pSafe" | "value" | "trueValue" | "feasible"): number[] {
		return this.rows.map((row) => this.#columns[name][row] as number);
	}

	auc(score: (columns: NativeCritic, row: number) => number): number | null {
		return finite(
			auc(
				this.rows.map((row) => score(this.#columns, row)),
				this.column("safe"),
			),
		);
	}

	/** Interval of the AUC over pairs of states at the same position. */
	aucIntervalWithinPositions(): Interval | null {
		const { pSafe, safe, position } = this.#columns;
		const ofSample = (sample: number[]) => {
			const strata = new Map<number, number[]>();
			for (const i of sample) {
				const row = this.rows[i] as number;
				const at = position[row] as number;
				const stratum = strata.get(at);
				if (stratum) stratum.push(row);
				else strata.set(at, [row]);
			}
			let [won, pairs] = [0, 0];
			for (const rows of strata.values()) {
				const labels = rows.map((row) => safe[row] as number);
				const positives = labels.reduce((sum, label) => sum + label, 0);
				const weight = positives * (labels.length - positives);
				if (weight === 0) continue;
				won +=
					weight *
					auc(
						rows.map((row) => pSafe[row] as number),
						labels,
					);
				pairs += weight;
			}
			return won / pairs;
		};
		return groupedShareInterval(this.column("prompt"), ofSample);
	}

	get intervalMethod(): IntervalMethod {
		return intervalMethod(this.column("prompt"));
	}

	aucInterval(): Interval | null {
		const [pSafe, safe] = [this.column("pSafe"), this.column("safe")];
		const ofSample = (sample: number[]) =>
			auc(
				sample.map((i) => pSafe[i] as number),
				sample.map((i) => safe[i] as number),
			);
		return groupedShareInterval(this.column("prompt"), ofSample);
	}

	baselines(hasCostModel: boolean): BaselineAucs {
		const informed = (value: number | null) => (value === 0.5 ? null : value);
		const rated = this.where((_, row) => Number.isFinite(this.#rates[row]));
		return {
			promptRate: informed(rated.auc((_, row) => this.#rates[row] as number)),
			costSoFar: informed(this.auc(({ costShare }, row) => -(costShare[row] as number))),
			costModel: hasCostModel ? informed(this.auc(({ partialCostShare }, row) => -(partialCostShare[row] as number))) : null,
		};
	}

	promptRateBrier(): number | null {
		const rated = this.where((_, row) => Number.isFinite(this.#rates[row]));
		return finite(
			meanSquaredError(
				rated.rows.map((row) => this.#rates[row] as number),
				rated.column("safe"),
			),
		);
	}
}

/** For every row, the share of safe responses among the other ones to its prompt; NaN if there are no others. */
function promptRates({ prompt, response, safe }: NativeCritic): Float64Array {
	const responses = new Map<number, Map<number, number>>();
	prompt.forEach((p, row) => {
		const own = responses.get(p) ?? new Map<number, number>();
		responses.set(p, own.set(response[row] as number, safe[row] as number));
	});
	return Float64Array.from(prompt, (p, row) => {
		const own = responses.get(p) as Map<number, number>;
		const total = [...own.values()].reduce((sum, value) => sum + value, 0);
		return (total - (own.get(response[row] as number) as number)) / (own.size - 1);
	});
}

function positionReport(position: number, states: States, hasCostModel: boolean): PositionReport {
	const [pSafe, safe, feasible] = [states.column("pSafe"), states.column("safe"), states.feasible];
	const [value, trueValue] = [states.column("value"), states.column("trueValue")];
	return {
		position,
		states: states.rows.length,
		feasibleShare: feasible.rows.length / states.rows.length,
		safeShare: safe.reduce((sum, one) => sum + one, 0) / safe.length,
		auc: states.auc((columns, row) => columns.pSafe[row] as number),
		aucFeasible: feasible.auc((columns, row) => columns.pSafe[row] as number),
		aucFeasibleInterval: feasible.aucInterval(),
		aucFeasibleIntervalMethod: feasible.intervalMethod,
		ece: expectedCalibrationError(pSafe, safe),
		brier: meanSquaredError(pSafe, safe),
		valueCorrelation: finite(correlation(value, trueValue)),
		valueRmse: Math.sqrt(meanSquaredError(value, trueValue)),
		baselines: feasible.baselines(hasCostModel),
	};
}

/** The share of responses within budget that a critic's default may make a search change. */
export const interventionRate = 0.02;

/**
 * The lowest pSafe of each response that ended within budget; of these n values, the one at rank floor(rate (n + 1)), as in split conformal
 * prediction.
 */
function satisfyingPSafe({ prompt, response, position, safe, pSafe }: NativeCritic): number {
	const lowest = new Map<string, number>();
	for (const [row, p] of pSafe.entries()) {
		if (safe[row] !== 1 || position[row] === 0) continue;
		const key = `${prompt[row]} ${response[row]}`;
		lowest.set(key, Math.min(p, lowest.get(key) ?? 1));
	}
	const ranked = [...lowest.values()].sort((a, b) => a - b);
	return ranked[Math.floor(interventionRate * (ranked.length + 1)) - 1] ?? 0;
}

interface TrainingFacts {
	missing: number;
	seconds: number;
	options: { inputs: string[]; layers: number; width: number; members: number; seed: number };
	ablations: CriticAblation[];
}

const statesOf = (trained: NativeCritic) =>
	new States(
		trained,
		promptRates(trained),
		Array.from(trained.prompt, (_, row) => row),
	);

const positionsOf = ({ position }: NativeCritic) => [...new Set(position)].sort((a, b) => a - b);

/** The quality of a critic with these inputs. */
export function criticAblation(inputs: string[], trained: NativeCritic): CriticAblation {
	const { feasible } = statesOf(trained);
	const pSafe = (columns: NativeCritic, row: number) => columns.pSafe[row] as number;
	return {
		inputs,
		validationLoss: trained.validationLoss,
		aucFeasible: feasible.auc(pSafe),
		aucFeasibleInterval: feasible.aucInterval(),
		aucFeasibleIntervalMethod: feasible.intervalMethod,
		byPosition: positionsOf(trained).map((position) => ({
			position,
			aucFeasible: feasible.where((columns, row) => columns.position[row] === position).auc(pSafe),
		})),
	};
}

export function criticReport(trained: NativeCritic, manifest: RolloutManifest, facts: TrainingFacts): CriticReport {
	const { missing, seconds, options, ablations } = facts;
	const all = statesOf(trained);
	const feasible = all.feasible;
	const [pSafe, safe] = [all.column("pSafe"), all.column("safe")];
	const [feasiblePSafe, feasibleSafe] = [feasible.column("pSafe"), feasible.column("safe")];
	const rate = safe.reduce((sum, one) => sum + one, 0) / safe.length;
	const hasCostModel = manifest.constraints.some(({ kind }) => kind === "classifier" || kind === "function");
	const positions = positionsOf(trained);
	const withinPositions = feasible.aucIntervalWithinPositions();
	const count = (split: Split) => manifest.splits.filter((one) => one === split).length;
	const { inputs, layers, width, members, seed } = options;
	return {
		rollouts: {
			prompts: { train: count("train"), validation: count("validation"), test: count("test") },
			missingBatches: missing,
			modelHash: manifest.modelHash,
			maxTokens: manifest.maxTokens,
			stride: manifest.stride,
		},
		training: {
			examples: trained.examples,
			epochs: trained.epochs,
			validationLoss: trained.validationLoss,
			parameters: trained.tensors.reduce((sum, { name, values }) => sum + (name.startsWith("member.") ? values.length : 0), 0),
			inputs,
			layers,
			width,
			members,
			seed,
			budgets: Array.from(trained.budgetLowest, (lowest, c) => [lowest, trained.budgetHighest[c] as number] as [number, number]),
			seconds,
		},
		test: {
			prompts: new Set(trained.prompt).size,
			states: all.rows.length,
			budgets: manifest.constraints.map(({ budget }) => budget),
			pSafe: {
				auc: all.auc((columns, row) => columns.pSafe[row] as number),
				aucInterval: all.aucInterval(),
				aucIntervalMethod: all.intervalMethod,
				aucFeasible: feasible.auc((columns, row) => columns.pSafe[row] as number),
				aucFeasibleInterval: feasible.aucInterval(),
				aucFeasibleIntervalMethod: feasible.intervalMethod,
				ece: expectedCalibrationError(pSafe, safe),
				eceFeasible: expectedCalibrationError(feasiblePSafe, feasibleSafe),
				brier: meanSquaredError(pSafe, safe),
				brierFeasible: meanSquaredError(feasiblePSafe, feasibleSafe),
				calibration: calibrationCurve(feasiblePSafe, feasibleSafe),
			},
			satisfiedPSafe: satisfyingPSafe(trained),
			value: {
				correlation: finite(correlation(all.column("value"), all.column("trueValue"))),
				rmse: Math.sqrt(meanSquaredError(all.column("value"), all.column("trueValue"))),
			},
			baselines: {
				...feasible.baselines(hasCostModel),
				constantRate: { rate, brier: rate * (1 - rate) },
				promptRateBrier: all.promptRateBrier(),
			},
			byPosition: positions.map((position) =>
				positionReport(
					position,
					all.where((columns, row) => columns.position[row] === position),
					hasCostModel,
				),
			),
		},
		ablations,
		learnedNothing: withinPositions === null || withinPositions[0] <= 0.5,
	};
}

/** The first position from which on the cost model's score of the partial text predicts better than the critic, as far as known. */
function overtakenAt({ byPosition }: CriticReport["test"]): PositionReport | undefined {
	const isOvertaken = ({ baselines, aucFeasibleInterval }: PositionReport) =>
		baselines.costModel !== null && aucFeasibleInterval !== null && baselines.costModel > aucFeasibleInterval[1];
	return byPosition[byPosition.findLastIndex((at) => !isOvertaken(at)) + 1];
}

/** A remark on a critic that learned nothing, or predicts worse than the cost model; undefined for others. */
export function criticAdvice({ test, learnedNothing }: CriticReport): string | undefined {
	if (!learnedNothing) {
		const at = overtakenAt(test);
		return (
			at &&
			`From token ${at.position} on the cost model's opinion of the text so far tells more than the critic (AUC ${digits(at.baselines.costModel)} ` +
				`against ${digits(at.aucFeasible)}): use estimator "both".`
		);
	}
	if (test.pSafe.aucFeasible !== null && test.prompts < fewestGroups) {
		return (
			`Whether the critic has learned anything cannot be told from ${test.prompts} test prompts: make rollouts of more prompts, ` +
			`so that at least ${fewestGroups} of them test.`
		);
	}
	const reason =
		test.pSafe.aucFeasible === null
			? "all feasible states of the test prompts ended alike, so that there was nothing to tell apart"
			: "the 95 % interval of its AUC among feasible states at the same position includes 0.5";
	const advice =
		"What helps: more rollouts (more prompts first); a budget that some responses exceed and some do not; a cost that persists " +
		"through a text instead of single words that come by chance; or the guard without a critic " +
		'(estimator "models"), which needs none.';
	return `The critic has learned nothing: ${reason}. ${advice}`;
}

const digits = (value: number | null) => (value === null ? "–" : value.toFixed(3));
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** A dash without an interval; "by t" if it is not a bootstrap's. */
export function intervalText(interval: Interval | null, method: IntervalMethod): string {
	if (interval === null) return "–";
	return `${interval.map(digits).join("–")}${method === "t" ? ", by t" : ""}`;
}

/** The figures for every position, as a table with a header. */
export function positionTable({ test }: CriticReport): string[][] {
	const header = ["tokens", "states", "feasible", "end safe", "AUC", "AUC feasible", "95 % interval", "ECE", "Brier"];
	return [
		[...header, "prompt's rate", "cost so far", "cost model", "value r", "value RMSE"],
		...test.byPosition.map((at) => [
			`${at.position}`,
			`${at.states}`,
			percent(at.feasibleShare),
			percent(at.safeShare),
			digits(at.auc),
			digits(at.aucFeasible),
			intervalText(at.aucFeasibleInterval, at.aucFeasibleIntervalMethod),
			digits(at.ece),
			digits(at.brier),
			digits(at.baselines.promptRate),
			digits(at.baselines.costSoFar),
			digits(at.baselines.costModel),
			digits(at.valueCorrelation),
			digits(at.valueRmse),
		]),
	];
}
