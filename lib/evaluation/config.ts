// The configuration of an evaluation: the file is the experiment.
import { createHash } from "node:crypto";
import { dirname, extname, resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { expectShallow } from "../data/json.js";
import { linesOf, readText, withoutControls } from "../data/text-file.js";
import { InvalidOptionError } from "../errors.js";
import { check, checkLoadOptions, constraint, expected, integer, now, text } from "../options.js";
import type { ConstraintOptions, CostModel, LoadOptions, SearchOptions } from "../types.js";
import { type PromptSource, promptSourceSchema } from "./datasets.js";

/** A method: how to search, and what is loaded otherwise than for the others (`steering`, another critic). */
export interface EvaluationMethod extends Omit<SearchOptions, "seed" | "trace"> {
	/** Its row in the results; every name once. */
	name: string;
	/** A system message before the prompt's own messages; only with `chat`. Models that judge responses do not see it. */
	system?: string;
	/**
	 * Options of `InferenceGuard.load` that differ from the configuration's `guard`. A method with cost models of its own searches under
	 * those (without the configuration's critic), and is measured under the configuration's like every other.
	 */
	guard?: Pick<LoadOptions, "steering" | "critic" | "constraints">;
}

/** A cost model that no search sees. It judges whole texts, without discount. */
export interface EvaluationJudge extends Pick<ConstraintOptions, "budget" | "costFloor"> {
	name: string;
	cost: CostModel;
}

/**
 * What `evaluate` runs. In a file, paths are relative to the file. A cost or reward function has no fingerprint: that a run which goes on
 * has the same one is taken on trust.
 */
export interface EvaluationConfig {
	name: string;
	/** Options of `InferenceGuard.load` for all methods. */
	guard: LoadOptions;
	data: PromptSource;
	/** Whether a prompt is a user's message for the model's chat template; default false, as raw text. */
	chat?: boolean;
	/**
	 * The date that chat templates read, as for a generation; default that of the journal which goes on, otherwise the day on which it
	 * begins. The journal records it.
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
	 * Prompts that are answered at once, 1..64; default 1. Several share the model's steps and take less time in all, but the seconds of an
	 * answer are then longer than alone, and rounding differs from run to run.
	 */
	concurrency?: number;
	/**
	 * So many of the first prompts keep the search's tree, at the first seed, for the report; default 3. Not of methods that expand
	 * single tokens, whose trees have a node per token and candidate; nor of responses that the journal has without one.
	 */
	traces?: number;
	/** So many of the first prompts have their responses in the report; default 20. The journal has all of them. */
	reportPrompts?: number;
	/** Paragraphs for the report, an empty line between them. */
	notes?: string;
}

const name = text("a name");
const record = (what: string) => z.record(z.string(), z.unknown(), expected(what));

const never = (instead: string) => z.undefined({ error: `expected no such option here; give ${instead}` }).optional();

/** Options of a generation that an experiment decides elsewhere. */
const decidedElsewhere = {
	seed: never("seeds, for all methods"),
	trace: never("traces, for all methods"),
	prompt: never("data"),
	messages: never("data"),
	onRefusal: never("nothing: a refusal is a result"),
	now: never("it for all methods"),
	signal: never("nothing"),
};

const wholeText = z.undefined({ error: "expected none for a judge, which judges whole texts" }).optional();

const configSchema = z
	.strictObject({
		name,
		guard: record("the options of InferenceGuard.load"),
		data: promptSourceSchema,
		chat: z.boolean(expected("true or false")).default(false),
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
			.default([1]),
		concurrency: integer(1, 64).default(1),
		traces: integer(0, 10_000).default(3),
		reportPrompts: integer(0, 1_000_000).default(20),
		notes: z.string(expected("text")).optional(),
	})
	.check((context) => {
		for (const list of ["judges", "methods"] as const) {
			const names = context.value[list].map((one) => one.name);
			const twice = names.find((one, i) => names.indexOf(one) !== i);
			if (twice === undefined) continue;
			context.issues.push({ code: "custom", message: `expected every name once, got ${twice} twice`, path: [list], input: context.value });
		}
		const { seeds, chat, methods } = context.value;
		const instructed = methods.findIndex(({ system }) => system !== undefined);
		if (instructed >= 0 && !chat) {
			const message = "expected a system message with chat: true only, since raw prompts have none";
			context.issues.push({ code: "custom", message, path: ["methods", instructed, "system"], input: context.value });
		}
		if (new Set(seeds).size !== seeds.length) {
			context.issues.push({ code: "custom", message: "expected every seed once", path: ["seeds"], input: context.value });
		}
	});

/** A configuration that was checked: what belongs together stands together. */
export interface CheckedConfig extends z.output<typeof configSchema> {
	/** SHA-256 of the configuration as it was given, without what only the report needs. */
	hash: string;
	judgeConstraints: z.output<typeof constraint>[];
}

/** What a method's guard is loaded with. */
export function loadOptionsOf({ guard }: Pick<z.output<typeof configSchema>, "guard">, method: { guard: object }): LoadOptions {
	const { cost, budget, discount, costFloor, criterion, constraints, critic, ...shared } = guard;
	return { ...("constraints" in method.guard ? shared : guard), ...method.guard } as unknown as LoadOptions;
}

/** Keys whose values are paths, wherever they stand in a configuration. */
const pathKeys = new Set([
	"model",
	"critic",
	"lexicon",
	"classifier",
	"guardModel",
	"encoder",
	"sequenceClassifier",
	"body",
	"head",
	"probe",
	"vector",
	"certificate",
	"file",
]);

function withPathsFrom(folder: string, value: unknown, key = ""): unknown {
	if (typeof value === "string") return pathKeys.has(key) ? resolve(folder, value) : value;
	if (Array.isArray(value)) return value.map((one) => withPathsFrom(folder, one, typeof one === "string" && key === "file" ? key : ""));
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withPathsFrom(folder, one, name)]));
}

function readConfig(path: string): unknown {
	let source: string;
	try {
		source = withoutControls(readText(path));
	} catch (cause) {
		throw new InvalidOptionError(`config: expected a configuration at ${path}, got: ${(cause as Error).message}`, { cause });
	}
	try {
		return extname(path).toLowerCase() === ".json" ? JSON.parse(source) : parseYaml(linesOf(source).join("\n"));
	} catch (cause) {
		throw new InvalidOptionError(`config: expected JSON or YAML in ${path}, got: ${(cause as Error).message}`, { cause });
	}
}

/**
 * Reads and checks a configuration, without loading anything.
 *
 * Errors: INVALID_OPTION.
 */
export async function checkConfig(given: string | EvaluationConfig): Promise<CheckedConfig> {
	const source = typeof given === "string" ? readConfig(given) : given;
	try {
		expectShallow(source);
	} catch (cause) {
		throw new InvalidOptionError(`config: expected a configuration, got ${(cause as Error).message}`, { cause });
	}
	const located = typeof given === "string" ? withPathsFrom(dirname(resolve(given)), source) : source;
	const config = check(configSchema, located);
	for (const method of config.methods) checkLoadOptions(loadOptionsOf(config, method));
	const judgeConstraints = config.judges.map(({ name, ...judge }) => check(constraint, judge));
	const { notes, concurrency, traces, reportPrompts, ...experiment } = source as EvaluationConfig;
	const hash = createHash("sha256").update(JSON.stringify(experiment, functionNames)).digest("hex");
	return { ...config, hash, judgeConstraints };
}

/** A function of the configuration has no text of its own that could be compared. */
const functionNames = (_: string, value: unknown) => (typeof value === "function" ? "function" : value);
