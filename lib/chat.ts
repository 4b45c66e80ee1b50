import { Template } from "@huggingface/jinja";
import { ChatTemplateError, InvalidPromptError, SpecialTokenTextError } from "./errors.js";
import type { NativeInfo, NativePrompt } from "./native.js";

/** One turn of a conversation. */
export interface ChatMessage {
	/** `system`, `user`, `assistant`, or whatever else the model's template knows. */
	role: string;
	content: string;
}

/** What the model continues: raw text, token ids as they are, or a conversation. */
export type Prompt = { prompt: string | readonly number[] | Int32Array } | { messages: readonly ChatMessage[] };

/** What a response answers, for models that judge it: the prompt's text, or the last message; undefined for token ids, whose text the addon knows. */
export function questionOf(asked: Prompt): string | undefined {
	if ("messages" in asked) return asked.messages.at(-1)?.content ?? "";
	return typeof asked.prompt === "string" ? asked.prompt : undefined;
}

function checkText(text: string, what: string, info: NativeInfo): void {
	if (text === "") throw new InvalidPromptError(`expected ${what} to hold text, got an empty string`);
	if (!text.isWellFormed()) {
		throw new InvalidPromptError(`expected ${what} to be well-formed Unicode, got a lone surrogate; try text.toWellFormed()`);
	}
	const spelled = info.controlTexts.find((control) => control !== "" && text.includes(control));
	if (spelled !== undefined) {
		throw new SpecialTokenTextError(
			`expected ${what} to be plain text, but it spells out the model's control token ${JSON.stringify(spelled)}; ` +
				"remove it, or give token ids as the prompt where you mean it",
		);
	}
}

function render(messages: readonly ChatMessage[], info: NativeInfo): string {
	if (info.chatTemplate === "") {
		throw new ChatTemplateError("expected a model with a chat template for messages, but this one has none; use prompt instead");
	}
	try {
		return new Template(info.chatTemplate).render({
			messages: messages.map(({ role, content }) => ({ role, content })),
			add_generation_prompt: true,
			bos_token: info.bosText,
			eos_token: info.eosText,
		});
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new ChatTemplateError(`the model's chat template rejected the messages: ${reason}`, { cause });
	}
}

const placeholders = { user: "\u{e000}", assistant: "\u{e001}" };

/** A chat template cut where the prompt and where the response of one turn stand; undefined where it does not write both once. */
export function conversationPieces(chatTemplate: string): { before: string; between: string; after: string } | undefined {
	const messages = Object.entries(placeholders).map(([role, content]) => ({ role, content }));
	let text: string;
	try {
		text = new Template(chatTemplate).render({ messages, add_generation_prompt: false, bos_token: "", eos_token: "" });
	} catch {
		return undefined; // it rejects this conversation
	}
	const [before, rest, ...more] = text.split(placeholders.user);
	const [between, after, ...others] = rest?.split(placeholders.assistant) ?? [];
	if (before === undefined || between === undefined || after === undefined || more.length + others.length > 0) return undefined;
	return { before, between, after };
}

/** Checks a prompt and brings it into the form the addon takes. */
export function nativePrompt(given: Prompt, info: NativeInfo): NativePrompt {
	if ("messages" in given) {
		if (given.messages.length === 0) throw new InvalidPromptError("expected at least one message, got none");
		given.messages.forEach(({ role, content }, i) => {
			checkText(role, `the role of message ${i}`, info);
			checkText(content, `the content of message ${i}`, info);
		});
		return { text: render(given.messages, info), special: true };
	}
	const { prompt } = given;
	if (typeof prompt !== "string") {
		if (prompt.length === 0) throw new InvalidPromptError("expected a prompt of at least one token, got none");
		const largest = info.vocabularySize - 1;
		for (const token of prompt) {
			if (!Number.isInteger(token) || token < 0 || token > largest) {
				throw new InvalidPromptError(`expected token ids from 0 to ${largest}, got ${token}`);
			}
		}
		return { tokens: Int32Array.from(prompt) };
	}
	checkText(prompt, "the prompt", info);
	return { text: prompt, special: false };
}
