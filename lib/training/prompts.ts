// Reads prompts from a file or an array.

import { columnOf, readRecords, textOf } from "../data/records.js";
import { type Split, splitNamed } from "../data/split.js";
import type { NativeInfo, NativePrompt } from "../native/protocol.js";
import { type ChatMessage, type PromptReading, type ReadPrompt, readPrompt } from "../prompt/chat.js";

/** A prompt as text, token ids or a conversation. */
export type RolloutPrompt = string | readonly number[] | readonly ChatMessage[];

const promptColumns = ["prompt", "question", "text", "instruction", "messages"];

export interface PromptList {
	prompts: RolloutPrompt[];
	/** Only if the prompt file names them. */
	splits?: Split[];
}

export function isConversation(value: unknown): value is ChatMessage[] {
	const isMessage = (one: unknown) => {
		const { role, content } = (one ?? {}) as Record<string, unknown>;
		return typeof role === "string" && typeof content === "string";
	};
	return Array.isArray(value) && value.length > 0 && value.every(isMessage);
}

/** Reads prompts and, if the file names them, their splits. Errors: INVALID_DATA. */
export async function readPrompts(source: string | readonly RolloutPrompt[], field: string | undefined): Promise<PromptList> {
	if (typeof source !== "string") return { prompts: [...source] };
	const records = await readRecords(source);
	const column = columnOf(records, field, promptColumns, "the prompt", "field (--field)");
	const prompts = records.map((record, row) => {
		const value = record[column];
		return isConversation(value) ? value : textOf(record, column, row);
	});
	if (!records.some((record) => "split" in record)) return { prompts };
	const splits = records.map(({ split }, row) => splitNamed(split, row));
	return { prompts, splits };
}

/** The text that cost models read as context; undefined for token ids, whose text only the addon knows. */
export function questionOf(prompt: RolloutPrompt): string | undefined {
	const last = prompt.at(-1);
	return typeof prompt === "string" ? prompt : typeof last === "object" ? last.content : undefined;
}

/** A prompt in the addon's form. An error names the prompt. */
export async function readPromptOf(
	prompt: RolloutPrompt,
	number: number,
	chat: boolean,
	info: NativeInfo,
	reading: PromptReading,
): Promise<ReadPrompt> {
	const messages = chat && typeof prompt === "string" ? [{ role: "user", content: prompt }] : isConversation(prompt) ? prompt : undefined;
	try {
		return await readPrompt(messages ? { messages } : { prompt: prompt as string | number[] }, info, reading);
	} catch (error) {
		if (error instanceof Error) error.message = `prompt ${number + 1}: ${error.message}`;
		throw error;
	}
}

/** Prompts in the addon's form, in order, and the date that their chat template read. */
export async function readPromptsOf(
	prompts: readonly RolloutPrompt[],
	chat: boolean,
	info: NativeInfo,
	reading: PromptReading,
): Promise<{ native: NativePrompt[]; readNow?: string }> {
	const read: ReadPrompt[] = [];
	for (const [number, prompt] of prompts.entries()) read.push(await readPromptOf(prompt, number, chat, info, reading));
	return { native: read.map(({ native }) => native), readNow: read.find(({ readNow }) => readNow)?.readNow };
}
