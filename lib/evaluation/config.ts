// The configuration of an evaluation: the file is the experiment.

import { createHash } from "node:crypto";
import { dirname, extname, resolve } from "node:path";
import { z } from "zod";
import { below, check, expected, flag, integer, now, Problems, parted, real, text } from "../base/check.js";
import { costPaths } from "../costs/index.js";
import { expectShallow } from "../data/json.js";
import { parseApart } from "../data/parse-apart.js";
import { isRecord } from "../data/records.js";
import { linesOf, readText, withoutControls } from "../data/text-file.js";
import { InvalidOptionError } from "../errors.js";
import { checkGenerateOptions } from "../options/generate.js";
import { checkLoadOptions, constraint } from "../options/load.js";
import { resolveSearch } from "../options/resolve.js";
import { strategyName, strategyNamed } from "../options/strategies.js";
import type { ConstraintOptions, CostModel, LoadOptions, SearchOptions } from "../options/types.js";
import { type PromptSource, promptSourceSchema } from "./datasets.js";

/** A method: the options of its search, and the load options that differ from the other methods (`steering`, another critic). */
export interface EvaluationMethod extends Omit<SearchOptions, "seed" | "trace"> {
	/** Name of its row in the results; every name once. */
	name: string;
	/** A system message before the prompt's own messages; only with `chat`. Models that judge responses do not see it. */
	system?: string;
	/**
	 * Options of `InferenceGuard.load` that differ from the configuration's `guard`. A method with cost models of its own searches under them
	 * (without the configuration's critic), and is measured under the configuration's cost models like every other.
	 */
	guard?: Pick<LoadOptions, "steering" | "critic" | "constraints">;
}

/** A cost model that no search sees. It judges whole texts, without discount. */
export interface EvaluationJudge extends Pick<ConstraintOptions, "budget" | "costFloor"> {
	name: string;
	cost: CostModel;
}

/**
 * The experiment of `evaluate`. In a file, paths are relative to the file. A cost or reward function has no fingerprint: a resumed run is
 * trusted to have the same one.
 */
export interface EvaluationConfig {
	name: string;
	/** Options of `InferenceGuard.load` for all methods. */
	guard: LoadOptions;
	data: PromptSource;
	/** Whether a prompt is a user's message for the model's chat template; default false, as raw text. */
	chat?: boolean;
	/**
	 * The date for chat templates, as for a generation; default the date of the resumed journal, otherwise the day on which the run begins. The
	 * journal records it.
	 */
	now?: string | Date;
	/** Independent judges; the first one is the judge of the table. Default none. */
	judges?: readonly EvaluationJudge[];
	/** Search options of all methods. */
	defaults?: Omit<SearchOptions, "strategy" | "seed" | "trace">;
	methods: readonly EvaluationMethod[];
	/** Default `[1]`. Every method answers every prompt once per seed. */
	seeds?: readonly number[];
	/**
	 * Prompts that are answered at once, 1..64; default 1. Several share the model's steps and take less time in total, but each answer takes
	 * longer than alone, and rounding differs from run to run.
	 */
	concurrency?: number;
	/**
	 * Number of the first prompts whose search trees are kept for the report, at the first seed; default 3. Methods that expand single tokens
	 * keep none, because their trees have a node per token and candidate; nor do responses that the journal has without a tree.
	 */
	traces?: number;
	/** The largest size of the responses in the report, 0..1000; default 20. First prompts come first; the journal has all of them. */
	reportMegabytes?: number;
	/** Paragraphs for the report, an empty line between them. */
	notes?: string;
}

const name = text("a name");
const record = (what: string) => z.record(z.string(), z.unknown(), expected(what));

const never = (instead: string) => z.undefined({ error: `expected no such option here; give ${instead}` }).optional();

/** Options of a generation that an experiment sets elsewhere. */
const decidedElsewhere = {
	seed: never("seeds, for all methods"),
	trace: never("traces, for all methods"),
	prompt: never("data"),
	messages: never("data"),
	prefill: never("nothing: a response is the model's own from its first token"),
	continueFinal: never("nothing: a response is the model's own from its first token"),
	onRefusal: never("nothing: a refusal is a result"),
	now: never("it for all methods"),
	signal: never("nothing"),
};

const wholeText = z.undefined({ error: "expected none for a judge, which judges whole texts" }).optional();

const configSchema = z.strictObject({
	name,
	guard: record("the options of InferenceGuard.load"),
	data: promptSourceSchema,
	chat: flag.default(false),
	now: now.optional(),
	judges: z
		.array(z.looseObject({ name, discount: wholeText, criterion: wholeText }), expected("an array of { name, cost, budget }"))
		.default([]),
	defaults: z.looseObject({ ...decidedElsewhere, strategy: never("it to every method") }, expected("search options")).default({}),
	methods: z
		.array(
			z.looseObject({
				name,
				system: text("the text of a system message").optional(),
				strategy: strategyName.optional(),
				...decidedElsewhere,
				guard: z
					.strictObject(
						{ steering: z.unknown(), critic: z.unknown(), constraints: z.unknown() },
						expected("steering, critic or constraints"),
					)
					.partial()
					.default({}),
			}),
			expected("an array of methods"),
		)
		.min(1, expected("at least one method")),
	seeds: z
		.array(integer(0, 2 ** 32 - 1), expected("an array of seeds"))
		.min(1, expected("at least one seed"))
		.refine((seeds) => new Set(seeds).size === seeds.length, { error: "expected every seed once" })
		.default([1]),
	concurrency: integer(1, 64).default(1),
	traces: integer(0, 10_000).default(3),
	reportMegabytes: real(0, 1000).default(20),
	notes: z.string(expected("text")).optional(),
});

/** A checked configuration. */
export interface CheckedConfig extends z.output<typeof configSchema> {
	/** SHA-256 of the given configuration, without the parts that only the report needs. */
	hash: string;
	judgeConstraints: z.output<typeof constraint>[];
}

/** The load options of a method's guard. */
export function loadOptionsOf({ guard }: Pick<z.output<typeof configSchema>, "guard">, method: { guard: object }): LoadOptions {
	const { cost, budget, discount, costFloor, criterion, constraints, critic, ...shared } = guard;
	return { ...("constraints" in method.guard ? shared : guard), ...method.guard } as unknown as LoadOptions;
}

/** Keys whose values are paths, at any depth of a configuration. */
const pathKeys = new Set(["model", "critic", "vector", "certificate", "file", ...costPaths]);

function withPathsFrom(folder: string, value: unknown, key = ""): unknown {
	if (typeof value === "string") return pathKeys.has(key) ? resolve(folder, value) : value;
	if (Array.isArray(value)) return value.map((one) => withPathsFrom(folder, one, typeof one === "string" && key === "file" ? key : ""));
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withPathsFrom(folder, one, name)]));
}

/** Of YAML, whose parsers are slow on large texts. */
const mostCharacters = 2 ** 16;

async function parsed(source: string, path: string): Promise<unknown> {
	if (extname(path).toLowerCase() === ".json") return JSON.parse(source);
	if (source.length > mostCharacters) {
		throw new Error(`${source.length} characters of YAML, more than ${mostCharacters}; name files instead, or write it as JSON`);
	}
	return parseApart({ kind: "yaml", text: linesOf(source).join("\n") }, source.length);
}

async function readConfig(path: string): Promise<unknown> {
	let source: string;
	try {
		source = withoutControls(readText(path));
	} catch (cause) {
		throw new InvalidOptionError(`config: expected a configuration at ${path}, got: ${(cause as Error).message}`, { cause });
	}
	try {
		return await parsed(source, path);
	} catch (cause) {
		throw new InvalidOptionError(`config: expected JSON or YAML in ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

function expectEveryNameOnce(list: string, names: readonly unknown[]): void {
	const twice = names.find((one, i) => one !== undefined && names.indexOf(one) !== i);
	if (twice !== undefined) throw new InvalidOptionError(`${list}: expected every name once, got ${twice} twice`);
}

const listOf = (value: unknown) => (Array.isArray(value) ? value : []).map((one) => (isRecord(one) ? one : {}));

/** The checks by the later users of each part: the load options, the search options, the judges. */
function checkParts(source: Record<string, unknown>, problems: Problems): void {
	const guard = isRecord(source.guard) ? source.guard : undefined;
	const defaults = isRecord(source.defaults) ? source.defaults : {};
	for (const list of ["methods", "judges"]) {
		const names = listOf(source[list]).map(({ name }) => name);
		problems.of(() => expectEveryNameOnce(list, names));
	}
	if (guard) problems.of(() => checkLoadOptions(guard), below("guard"));
	listOf(source.methods).forEach(({ name, system, guard: given, ...asked }, i) => {
		const own = isRecord(given) ? given : {};
		problems.of(() => {
			if (system === undefined || source.chat === true) return;
			throw new InvalidOptionError(`methods.${i}.system: expected a system message with chat: true only, since raw prompts have none`);
		});
		const loading = { ...loadOptionsOf({ guard: guard ?? {} }, { guard: own }) };
		const placeIn = (option: Record<string, unknown>, place: string, otherwise: string) => (line: string) =>
			below((line.match(/^\w+/)?.[0] ?? "") in option ? place : otherwise)(line);
		if (guard) problems.of(() => checkLoadOptions(loading), placeIn(own, `methods.${i}.guard`, "guard"));
		const [, search] = parted({ shape: decidedElsewhere }, asked);
		const [, common] = parted({ shape: { ...decidedElsewhere, ...asked } }, defaults);
		const place = placeIn(common, "defaults", `methods.${i}`);
		const settings = problems.of(() => checkGenerateOptions({ ...common, ...search, prompt: "" }), place);
		const hasCritic = loading.critic !== undefined || (isRecord(loading.model) && loading.model.oracle === true);
		if (settings) problems.of(() => resolveSearch(settings, hasCritic ? {} : undefined), place);
	});
	listOf(source.judges).forEach(({ name, ...judge }, i) => {
		problems.of(() => check(constraint, judge), below(`judges.${i}`));
	});
}

/** Checks that the configuration's cost models can measure the finished texts of a method with its own cost models. */
function checkCommon(config: z.output<typeof configSchema>): void {
	const own = config.methods.find(({ guard }) => guard.constraints);
	if (own === undefined) return;
	const { constraints } = checkLoadOptions(config.guard);
	const isOfFinishedText = ({ cost, discount, criterion, costFloor }: (typeof constraints)[number]) =>
		!(typeof cost === "object" && "tokenCosts" in cost) && discount === 1 && (criterion === "terminal" || costFloor === 0);
	if (constraints.length > 0 && constraints.every(isOfFinishedText)) return;
	throw new InvalidOptionError(
		`methods: ${own.name} searches under constraints of its own and is measured under the configuration's; expected some of those in ` +
			"guard, each of finished texts: without tokenCosts, without discount, and without signed costs that must hold at every token",
	);
}

/**
 * Reads and checks a configuration, without loading anything.
 *
 * Errors: INVALID_OPTION, with a line per problem.
 */
export async function checkConfig(given: string | EvaluationConfig): Promise<CheckedConfig> {
	const source = typeof given === "string" ? await readConfig(given) : given;
	try {
		expectShallow(source);
	} catch (cause) {
		throw new InvalidOptionError(`config: expected a configuration, got ${(cause as Error).message}`, { cause });
	}
	const located = typeof given === "string" ? withPathsFrom(dirname(resolve(given)), source) : source;
	const problems = new Problems();
	const config = problems.of(() => check(configSchema, located));
	checkParts(isRecord(located) ? located : {}, problems);
	problems.throwAny();
	const sound = config as NonNullable<typeof config>;
	checkCommon(sound);
	const judgeConstraints = sound.judges.map(({ name, ...judge }) => check(constraint, judge));
	const { notes, concurrency, traces, reportMegabytes, ...experiment } = source as EvaluationConfig;
	const hash = createHash("sha256").update(JSON.stringify(experiment, inOneSpelling)).digest("hex");
	return { ...sound, hash, judgeConstraints };
}

/** Brings a strategy's two spellings into one. A function of the configuration has no text to compare. */
function inOneSpelling(key: string, value: unknown): unknown {
	if (key === "strategy" && typeof value === "string") return strategyNamed(value) ?? value;
	return typeof value === "function" ? "function" : value;
}
