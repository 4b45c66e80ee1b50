// Owns the journal of an evaluation: lines that are only appended to. The first line identifies the evaluation.
import { createHash } from "node:crypto";
import { z } from "zod";
import { AppendedLines, parseLine, readLines } from "../data/appended-lines.js";
import { differencesOf } from "../data/differences.js";
import { InvalidJournalError } from "../errors.js";
import type { GuardIdentity } from "../guard/identity.js";
import type { ResponseRecord } from "./types.js";

/** The planned claim of a certificate from a journal. */
export interface PlannedClaim {
	/** δ. */
	delta: number;
	/** ε; absent: the bound that the data give. */
	epsilon?: number | undefined;
}

/** The identity of a journal's experiment. A run resumes only if all of it is the same. */
export interface JournalHeader {
	kind: "evaluation";
	version: 1;
	name: string;
	/** SHA-256 of the configuration. */
	configHash: string;
	/** Fingerprint of the model. */
	modelHash: string;
	/** SHA-256 of the prompts' ids and texts. */
	promptsHash: string;
	/** Names of the judges, the first one first. */
	judges: string[];
	judgeHashes: string[];
	seeds: number[];
	/** Budgets and criteria of the constraints. */
	limits: Record<string, unknown>[];
	/** Every method with its settings, and the fingerprints of its guard's files. */
	methods: { name: string; search: Record<string, unknown>; guard: Omit<GuardIdentity, "build"> }[];
	/** Versions of this package and of llama.cpp. */
	build: string;
	/** Chosen before the first response, with the number of prompts to be answered; absent: no certificate can follow. */
	claim?: (PlannedClaim & { prompts: number }) | undefined;
	/** The date that chat templates read; absent until the journal begins. */
	now?: string;
}

/** A prompt that the model cannot take. */
export interface SkippedPrompt {
	kind: "skipped";
	prompt: string;
	/** Code of the error. */
	code: string;
}

type Line = JournalHeader | SkippedPrompt | (ResponseRecord & { kind: "response" });

const settings = z.record(z.string(), z.unknown());

const headerSchema = z.looseObject({
	kind: z.literal("evaluation"),
	version: z.literal(1),
	name: z.string(),
	configHash: z.string(),
	modelHash: z.string(),
	promptsHash: z.string(),
	judges: z.array(z.string()),
	judgeHashes: z.array(z.string()),
	seeds: z.array(z.int()).min(1),
	limits: z.array(settings),
	methods: z
		.array(
			z.looseObject({
				name: z.string(),
				search: settings,
				guard: z.looseObject({
					model: z.string(),
					costs: z.array(z.string()),
					reward: z.string(),
					critic: z.string(),
					controlVector: z.string(),
					contextSize: z.int().min(0),
				}),
			}),
		)
		.min(1),
	build: z.string(),
	claim: z.looseObject({ delta: z.number(), epsilon: z.number().optional(), prompts: z.int() }).optional(),
	now: z.string().optional(),
});

const entrySchema = z.discriminatedUnion("kind", [
	z.looseObject({ kind: z.literal("skipped"), prompt: z.string(), code: z.string() }),
	z.looseObject({
		kind: z.literal("response"),
		method: z.string(),
		prompt: z.string(),
		seed: z.int(),
		outcome: z.string(),
		finishReason: z.string(),
		text: z.string(),
		costs: z.array(z.looseObject({ cost: z.number(), budget: z.number() })),
		withinBudget: z.boolean(),
		reward: z.number().nullable(),
		judges: z.record(z.string(), z.looseObject({ cost: z.number(), withinBudget: z.boolean() })),
		refusal: z.boolean(),
		logLikelihood: z.number(),
		generatedTokens: z.number(),
		emittedTokens: z.number(),
		rounds: z.number(),
		backtracks: z.number(),
		seconds: z.number(),
		trace: z.array(z.unknown()).optional(),
	}),
]);

const journalLine = <S extends z.ZodType>(schema: S, line: string, number: number, path: string) =>
	parseLine(
		schema,
		line,
		InvalidJournalError,
		(why) =>
			`expected ${number === 1 ? "the header of an evaluation" : "a response"} in line ${number} of ${path}, got: ${why}; ` +
			"move the journal away and start again",
	);

/** The content of a journal. */
export interface JournalContent {
	header: JournalHeader;
	responses: ResponseRecord[];
	skipped: SkippedPrompt[];
	/** SHA-256 of the file. */
	hash: string;
}

function parseJournal([first = "", ...rest]: string[], path: string): Omit<JournalContent, "hash"> {
	const header = journalLine(headerSchema, first, 1, path) as JournalHeader;
	const responses: ResponseRecord[] = [];
	const skipped: SkippedPrompt[] = [];
	const seen = new Set<string>();
	for (const [i, line] of rest.entries()) {
		const { kind, ...entry } = journalLine(entrySchema, line, i + 2, path);
		const { method, prompt, seed } = entry as Partial<ResponseRecord>;
		const key = JSON.stringify([method, prompt, seed]);
		if (seen.has(key)) continue; // two concurrent runs may both have made it: the first one counts
		seen.add(key);
		if (kind === "skipped") skipped.push({ kind, ...entry } as SkippedPrompt);
		else responses.push(entry as ResponseRecord);
	}
	return { header, responses, skipped };
}

/** Reads a journal. Errors: INVALID_JOURNAL. */
export async function readJournal(path: string): Promise<JournalContent> {
	const { file, lines } = readLines(path, InvalidJournalError);
	return { ...parseJournal(lines, path), hash: createHash("sha256").update(file).digest("hex") };
}

/**
 * Compares the configuration's hash last, because the fields that it covers are more specific. A run without a claim may resume any
 * journal.
 */
function expectSame(found: JournalHeader, wanted: JournalHeader, path: string): void {
	const differences = differencesOf(found, { ...wanted, claim: wanted.claim ?? found.claim });
	const first = differences.find((one) => one.path !== "configHash") ?? differences[0];
	if (first === undefined) return;
	throw new InvalidJournalError(
		`expected ${path} to be the journal of this evaluation, but its ${first.path} is ${JSON.stringify(first.found)} and not ` +
			`${JSON.stringify(first.expected)}; choose another folder, or undo what changed`,
	);
}

/** The responses to prompts that no method skipped. */
export function withoutSkipped(responses: readonly ResponseRecord[], skipped: readonly SkippedPrompt[]): ResponseRecord[] {
	const left = new Set(skipped.map(({ prompt }) => prompt));
	return responses.filter(({ prompt }) => !left.has(prompt));
}

/** An open journal. */
export class Journal {
	readonly responses: ResponseRecord[];
	readonly skipped: SkippedPrompt[];
	/** The date that chat templates read. */
	readonly now: string | undefined;
	readonly #file: AppendedLines;

	private constructor(file: AppendedLines, now: string | undefined, { responses, skipped }: Pick<JournalContent, "responses" | "skipped">) {
		this.#file = file;
		this.now = now;
		this.responses = responses;
		this.skipped = skipped;
	}

	/**
	 * Opens or creates the journal of an evaluation. Until it is closed, no other run can open it. If the header has no date, it is the
	 * journal's, or `day` for a new one. Errors: INVALID_JOURNAL, WRITE_FAILED.
	 */
	static async open(path: string, wanted: JournalHeader, day?: string): Promise<Journal> {
		let header: JournalHeader = { ...wanted, now: wanted.now ?? day };
		const [file, content] = await AppendedLines.open(path, InvalidJournalError, (lines) => {
			if (lines.length === 0) return undefined;
			const found = parseJournal(lines, path);
			header = { ...wanted, now: wanted.now ?? found.header.now };
			expectSame(found.header, header, path);
			return found;
		});
		try {
			if (content === undefined) await file.append(header);
		} catch (error) {
			await file.close();
			throw error;
		}
		return new Journal(file, header.now, content ?? { responses: [], skipped: [] });
	}

	async append(line: ResponseRecord): Promise<void> {
		await this.#file.append({ kind: "response", ...line } satisfies Line);
		this.responses.push(line);
	}

	async skip(prompt: string, code: string): Promise<void> {
		const line: SkippedPrompt = { kind: "skipped", prompt, code };
		await this.#file.append(line satisfies Line);
		this.skipped.push(line);
	}

	close(): Promise<void> {
		return this.#file.close();
	}
}
