// The table of settings: every setting of a search is one row here, and one documented line of the interface.
import { z } from "zod";
import { choice, expected, flag, integer, type OptionRow, range, real, texts } from "../base/check.js";
import type { SearchSettings } from "../search-settings.js";

/** The settings of a strategy that reports look at. */
type Row = Omit<SearchSettings, "blockLength">;

/** A setting of a search. Without a default it depends on other settings (resolve.ts), or is absent. */
interface Setting<T> extends OptionRow {
	check: z.ZodType<T, unknown>;
	/** For strategies that do not set it. */
	default?: T;
	/** Its symbol in the literature, used in reports. */
	symbol?: string;
	/** Whether it is essential to a strategy's row, so that reports show even its default. */
	isEssential?: (row: Row) => boolean;
}

const isLagrangian = ({ objective }: Row) => objective === "lagrangian";
const editsStates = ({ latentSteps = 0 }: Row) => latentSteps > 0;

export const settings = {
	maxTokens: { check: integer(1, 1_048_576), default: 128, symbol: "T", shortFlag: "t", help: "longest response in tokens (T)" },
	stop: { check: texts(16, 256), takes: "text", repeats: true, help: "text that ends a response, which ends before it; may be repeated" },
	blockLength: { check: integer(1, 1_048_576), default: 32, symbol: "d", shortFlag: "d", help: "tokens per block (d)" },
	candidates: { check: integer(1, 1024), default: 16, symbol: "N", shortFlag: "n", help: "candidates per round (N)" },
	startCandidates: { check: integer(1, 1024), help: "candidates at the start of a block" },
	candidateGrowth: { check: integer(2, 1024), default: 2, help: "factor by which a block widens" },
	satisfiedPSafe: { check: real(0, 1), help: "with a critic: pSafe from which a candidate satisfies" },
	beams: { check: integer(1, 1024), symbol: "K", shortFlag: "k", help: "beams kept per block (K)" },
	retries: { check: integer(0, 100), default: 0, symbol: "M", help: "extra rounds for a block that is over budget (M)" },
	expansion: { check: choice(["sample", "token"]), default: "sample", help: "blocks of sampled tokens, or the most probable next tokens" },
	estimator: { check: choice(["models", "critic", "both", "logLikelihood"]), help: "judge of unfinished candidates" },
	objective: {
		check: choice(["augmented", "reward", "lagrangian", "cost"]),
		default: "reward",
		help: "ranking of candidates; only augmented enforces the budget",
	},
	selection: { check: choice(["top", "soft"]), default: "top", help: "the K best, or K drawn" },
	softness: {
		check: real(1e-9, 1e9),
		default: 0.1,
		symbol: "b",
		isEssential: ({ selection }: Row) => selection === "soft",
		help: "of soft selection (b)",
	},
	scoreRange: { check: range(-Number.MAX_VALUE), takes: "low:high", help: "range to which soft selection clips scores" },
	rewardWeight: {
		check: real(0, 1e9),
		symbol: "ω",
		isEssential: ({ rewardWeight }: Row) => rewardWeight !== undefined,
		help: "of the objective, added to the log-probability of the last token (ω)",
	},
	latentSteps: {
		check: integer(0, 10_000),
		default: 0,
		isEssential: editsStates,
		help: "gradient steps on the hidden state before every token",
	},
	latentStepSize: { check: real(0, 1e6), default: 0.5, isEssential: editsStates, help: "size of a gradient step" },
	temperature: {
		check: z.union([z.literal(0), real(0.01, 100)], expected("0 or a number from 0.01 to 100")),
		default: 1,
		symbol: "τ",
		help: "sampling temperature",
	},
	topK: { check: integer(0, 2 ** 31 - 1), default: 0, help: "keep the k most probable tokens; 0 keeps all" },
	topP: { check: real(Number.MIN_VALUE, 1), default: 1, help: "keep the most probable tokens up to this mass" },
	minP: { check: real(0, 1), default: 0, help: "keep tokens of at least this share of the most probable one's probability" },
	diversityPenalty: { check: real(0, 1e6), default: 0.5, symbol: "β", help: "on tokens of failed candidates in retries (β)" },
	lambda: { check: real(0, 1e9), default: 5, symbol: "λ", isEssential: isLagrangian, help: "weight of the cost in the Lagrangian (λ)" },
	pSafeThreshold: { check: real(0, 1), symbol: "η", help: "with a critic: candidates with a pSafe above it continue first (η)" },
	ranksByValue: {
		check: flag,
		default: true,
		turnsOff: true,
		help: "with a critic: rank unfinished candidates by the reward of the partial text, not by its value",
	},
	uncertaintyPenalty: { check: real(0, 1e6), default: 0, symbol: "κ", help: "on the spread of the critic's members (κ)" },
	maxGeneratedTokens: { check: integer(1, Number.MAX_SAFE_INTEGER), help: "most tokens sampled in all" },
	maxBacktracks: { check: integer(0, Number.MAX_SAFE_INTEGER), default: 0, help: "most returns to an earlier block or to the beginning" },
	repair: {
		check: flag,
		default: false,
		turnsOff: true,
		help: "refuse at once, without the attempt at repair that a chat has",
	},
} as const satisfies { [K in keyof SearchSettings]-?: Setting<NonNullable<SearchSettings[K]>> };

type Settings = typeof settings;

/** Settings that every strategy has. */
export type DefaultedSetting = { [K in keyof Settings]: Settings[K] extends { default: unknown } ? K : never }[keyof Settings];

const settingNames = Object.keys(settings) as (keyof Settings)[];

/** Defaults of settings that a strategy leaves open. */
export const defaultSettings = Object.fromEntries(
	Object.entries(settings).flatMap(([name, row]) => ("default" in row ? [[name, row.default]] : [])),
) as Required<Pick<SearchSettings, DefaultedSetting>>;

/** The check of each setting, if it is given. */
export const optionalSettings = Object.fromEntries(Object.entries(settings).map(([name, { check }]) => [name, check.optional()])) as {
	[K in keyof Settings]: z.ZodOptional<Settings[K]["check"]>;
};

export const symbolOf = (name: string): string => (settings as Record<string, Setting<unknown>>)[name]?.symbol ?? name;

/** The settings that are essential to a strategy's row. */
export const essentialSettings = (row: Row): string[] =>
	settingNames.filter((name) => (settings as Record<string, Setting<unknown>>)[name]?.isEssential?.(row));
