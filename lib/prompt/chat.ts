import { today } from "../base/now.js";
import { ChatTemplateError, InvalidPromptError, SpecialTokenTextError } from "../errors.js";
import { type NativeInfo, type NativePrompt, rawPrompt } from "../native/protocol.js";
import { addsApart, anyOf, markupIn, partsOf, veiled } from "./chat-parts.js";
import { type Rendering, renderingTime, renderTemplate } from "./templates.js";

/** One turn of a conversation. */
export interface ChatMessage {
	/** `system`, `user`, `assistant`, or any other role of the model's template. */
	role: string;
	/** Plain text, whatever it spells. The text of an assistant may be empty: a refused answer. */
	content: string;
}

/** The input that the model continues: raw text, token ids, or a conversation. */
export type Prompt = { prompt: string | readonly number[] | Int32Array } | { messages: readonly ChatMessage[] };

/** A text without a template. */
type TextOrTokens = string | readonly number[] | Int32Array;

/** A prompt, and what its response begins with. */
interface BegunPrompt {
	asked: Prompt;
	prefill?: TextOrTokens | undefined;
}

/** The last message of an assistant may be the beginning of the response. */
export function begunPrompt(given: {
	prompt?: TextOrTokens | undefined;
	messages?: readonly ChatMessage[] | undefined;
	prefill?: TextOrTokens | undefined;
	continueFinal: boolean;
}): BegunPrompt {
	const { prompt = "", messages, prefill, continueFinal } = given;
	if (messages === undefined) return { asked: { prompt }, prefill };
	if (!continueFinal) return { asked: { messages }, prefill };
	return { asked: { messages: messages.slice(0, -1) }, prefill: messages.at(-1)?.content };
}

/** Options of reading a prompt. */
export interface PromptReading {
	/** Date, perhaps with a time, that the chat template reads; default today. */
	now?: string;
	/** The text of a refused answer, if the chat template insists on one. */
	refusal?: string;
	signal?: AbortSignal;
}

/** A prompt in the form the addon takes. */
export interface ReadPrompt {
	native: NativePrompt;
	/** The date that its chat template read; undefined if it read none. */
	readNow?: string | undefined;
}

export const usualRefusal = "I cannot help with that.";

/**
 * The question for models that judge a response: the prompt's text, or the last message of the user, or the last message if there is no
 * user; undefined for token ids, whose text only the addon knows.
 */
export function questionOf(asked: Prompt): string | undefined {
	if ("messages" in asked) return (asked.messages.findLast(({ role }) => role === "user") ?? asked.messages.at(-1))?.content ?? "";
	return typeof asked.prompt === "string" ? asked.prompt : undefined;
}

function checkText(text: string, what: string): void {
	if (text === "") throw new InvalidPromptError(`expected ${what} to hold text, got an empty string`);
	if (!text.isWellFormed()) {
		throw new InvalidPromptError(`expected ${what} to be well-formed Unicode, got a lone surrogate; try text.toWellFormed()`);
	}
}

function checkMessage({ role, content }: ChatMessage, number: number, info: NativeInfo): void {
	checkText(role, `the role of message ${number}`);
	if (content !== "" || role !== "assistant") checkText(content, `the content of message ${number}`);
	const spelled = info.markupTexts.find((markup) => role.includes(markup));
	if (spelled !== undefined) {
		throw new SpecialTokenTextError(
			`expected the role of message ${number} to be a name, but it spells out the model's control token ${JSON.stringify(spelled)}; remove it`,
		);
	}
}

/** Renders a conversation in several forms. */
type Render = (...forms: readonly ChatMessage[][]) => Promise<Rendering>;

const textOf = (rendered: Rendering["texts"][number] | undefined) => (rendered && "text" in rendered ? rendered.text : "");

/** The template's texts and the contents in turn, the template's first. */
const inTurn = (texts: string[]): NativePrompt => ({ parts: texts.map((text, i) => ({ text, fromTemplate: i % 2 === 0 })) });

/**
 * The text of a conversation, separated into template and contents. If the template searches the contents for texts of its own
 * (`</think>`), these stay unveiled, and must not contribute to any markup: spelled twice, they add none, or what they add is elsewhere. If
 * the contents cannot be located, they must not have changed the markup at all.
 */
async function toldApart(
	messages: ChatMessage[],
	{ markupTexts }: NativeInfo,
	render: Render,
): Promise<ReadPrompt["native"] | { failure: string }> {
	const { texts, literals } = await render(messages, veiled(messages));
	const [rendered, hidden] = texts;
	if (rendered === undefined || "failure" in rendered) return { failure: rendered?.failure ?? "" };
	const { text } = rendered;
	const parts = partsOf(text, textOf(hidden));
	if (parts) return inTurn(parts);
	const markup = anyOf(markupTexts);
	const isSame = (a: string, b: string) => markupIn(a, markup).join("\0") === markupIn(b, markup).join("\0");
	const held = literals.filter((literal) => literal.length > 1 && messages.some(({ content }) => content.includes(literal)));
	const kept = anyOf(held);
	if (kept) {
		const [once = "", twice = ""] = (await render(veiled(messages, kept), veiled(messages, kept, 2))).texts.map(textOf);
		const some = partsOf(text, once);
		if (some && (isSame(once, twice) || addsApart(once, twice, kept))) return inTurn(some);
	}
	if (isSame(text, textOf(hidden))) return inTurn([text]);
	const spelled = markupIn(messages.map(({ content }) => content).join("\n"), markup)[0];
	throw new SpecialTokenTextError(
		"expected messages whose contents can be told from the chat template's own text, but the template changes them " +
			`${spelled === undefined ? "" : `and one spells out the model's control token ${JSON.stringify(spelled)} `}` +
			"so that they could open a turn of their own; remove what spells out control tokens",
	);
}

/** The conversation with an answer for every refusal: an empty answer, or none between two messages of a user. */
function withRefusals(messages: readonly ChatMessage[], refusal: string): ChatMessage[] {
	const answer = { role: "assistant", content: refusal };
	return messages.flatMap((message, i) => {
		if (message.role === "assistant" && message.content === "") return [answer];
		return message.role === "user" && messages[i - 1]?.role === "user" ? [answer, message] : [message];
	});
}

async function readMessages(given: readonly ChatMessage[], info: NativeInfo, reading: PromptReading): Promise<ReadPrompt> {
	if (given.length === 0) throw new InvalidPromptError("expected at least one message, got none");
	for (const [i, message] of given.entries()) checkMessage(message, i, info);
	if (info.chatTemplate === "") {
		throw new ChatTemplateError("expected a model with a chat template for messages, but this one has none; use prompt instead");
	}
	const { now = today(), refusal, signal } = reading;
	let readsClock = false;
	const left = renderingTime();
	const render: Render = async (...forms) => {
		const variables = { add_generation_prompt: true, bos_token: info.bosText, eos_token: info.eosText };
		const conversations = forms.map((messages) => ({ messages, ...variables }));
		const rendering = await renderTemplate({ source: info.chatTemplate, conversations, now }, signal, left);
		readsClock ||= rendering.readsClock;
		return rendering;
	};
	const messages = given.map(({ role, content }) => ({ role, content }));
	const found = await toldApart(messages, info, render);
	const filled = withRefusals(messages, (refusal || usualRefusal).toWellFormed());
	const isFilled = filled.some((message, i) => message !== messages[i]);
	const native = "failure" in found && isFilled ? await toldApart(filled, info, render) : found;
	if (!("failure" in native)) return { native, readNow: readsClock ? now : undefined };
	throw new ChatTemplateError(`the model's chat template rejected the messages: ${"failure" in found ? found.failure : ""}`);
}

const placeholders = { user: "\u{e000}", assistant: "\u{e001}" };
/** The date for models that judge texts, so that a text costs the same tomorrow as today. */
const judgesNow = "2025-01-01";

/** A chat template cut at the prompt and at the response of one turn; undefined if it does not write both exactly once. */
export async function conversationPieces(chatTemplate: string): Promise<{ before: string; between: string; after: string } | undefined> {
	const messages = Object.entries(placeholders).map(([role, content]) => ({ role, content }));
	const conversation = { messages, add_generation_prompt: false, bos_token: "", eos_token: "" };
	const { texts } = await renderTemplate({ source: chatTemplate, conversations: [conversation], now: judgesNow });
	const [before, rest, ...more] = textOf(texts[0]).split(placeholders.user);
	const [between, after, ...others] = rest?.split(placeholders.assistant) ?? [];
	if (before === undefined || between === undefined || after === undefined || more.length + others.length > 0) return undefined;
	return { before, between, after };
}

/**
 * Checks a prompt and brings it into the form the addon takes. Errors: INVALID_PROMPT, SPECIAL_TOKEN_TEXT, CHAT_TEMPLATE, ABORTED.
 */
export async function readPrompt(given: Prompt, info: NativeInfo, reading: PromptReading = {}): Promise<ReadPrompt> {
	if ("messages" in given) return readMessages(given.messages, info, reading);
	return { native: readRaw(given.prompt, "the prompt", info) };
}

/** The same for a text, or token ids, without a template. `what` is its name in messages. */
export function readRaw(given: TextOrTokens, what: string, info: NativeInfo): NativePrompt {
	if (typeof given === "string") {
		checkText(given, what);
		return rawPrompt(given);
	}
	if (given.length === 0) throw new InvalidPromptError(`expected ${what} to have at least one token, got none`);
	const largest = info.vocabularySize - 1;
	for (const token of given) {
		if (!Number.isInteger(token) || token < 0 || token > largest) {
			throw new InvalidPromptError(`expected token ids from 0 to ${largest}, got ${token}`);
		}
	}
	return { tokens: Int32Array.from(given) };
}
