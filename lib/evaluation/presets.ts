// The layouts of published sets of prompts, one row per set.
import { basename } from "node:path";
import type { DataRecord, TableLayout } from "../data/records.js";
import { InvalidDataError } from "../errors.js";
import type { ChatMessage } from "../prompt/chat.js";

/** What a prompt asks for. */
export type PromptLabel = "benign" | "harmful";

/** The parts of one row that are read. */
export interface PromptText {
	text: string;
	messages?: ChatMessage[];
}

/** The layout of a set. If a column has several names, the first one that a file has is read. */
export interface Preset {
	/** Columns of the prompt. */
	prompt: readonly string[];
	/** Columns of the id; without one the row's number. */
	id?: readonly string[];
	/** Columns of the category, or a function that returns it for the path of a file. */
	category?: readonly string[] | ((file: string) => string);
	/** The label of all prompts, or its column and the column's values for benign prompts. Left out: the set labels no prompts. */
	label?: PromptLabel | { column: string; benign: readonly string[] };
	/** A row is a response, so prompts repeat. Each counts once, at its first place. */
	repeats?: boolean;
	/** Texts that replace withheld prompts; such rows are skipped. */
	heldBack?: readonly string[];
	/** Facts that the files do not state themselves. */
	table?: TableLayout;
	/** A column of objects whose fields are read as columns. */
	nested?: string;
	/** Makes the prompt from the column's text and the rest of the row. */
	compose?: (text: string, record: DataRecord) => PromptText;
}

/** Converts turns to a conversation. `speakers` captures the speaker; `user` is the user's name there. */
function conversation(turns: string, speakers: RegExp, user: string): ChatMessage[] {
	const parts = turns.split(speakers).slice(1);
	const messages: ChatMessage[] = [];
	for (let i = 0; i < parts.length; i += 2) {
		messages.push({ role: parts[i] === user ? "user" : "assistant", content: (parts[i + 1] as string).trim() });
	}
	return messages;
}

const human = "\n\nHuman:";
const assistant = "\n\nAssistant:";

/** The transcript up to the last response, as text that ends with "Assistant:" and as a conversation. */
function beforeLastResponse(transcript: string): PromptText {
	const end = transcript.lastIndexOf(assistant);
	if (end < 0 || !transcript.startsWith(human)) {
		throw new InvalidDataError(`expected a transcript of turns that begin with "Human:" and "Assistant:" after an empty line`);
	}
	const turns = transcript.slice(0, end);
	return { text: turns + assistant, messages: conversation(turns, /\n\n(Human|Assistant):/, "Human") };
}

/** The speakers in DICES: the person, and the model that answers. */
const speakers: Record<string, string> = { USER: "LAMDA", A: "B" };

/** The turns before the response, as text that ends with the model's name and as a conversation; line breaks may be spelled out. */
function beforeResponse(context: string): PromptText {
	const turns = context.replaceAll("\\n", "\n").trim();
	const user = /^(\w+):/.exec(turns)?.[1] ?? "";
	const model = speakers[user];
	if (model === undefined) {
		throw new InvalidDataError(`expected a dialogue of lines that begin with "USER:" and "LAMDA:", or with "A:" and "B:"`);
	}
	return { text: `${turns}\n${model}:`, messages: conversation(turns, new RegExp(`^(${user}|${model}):`, "m"), user) };
}

function withContext(behavior: string, { ContextString: context }: DataRecord): PromptText {
	return { text: typeof context === "string" && context !== "" ? `${context}\n\n---\n\n${behavior}` : behavior };
}

/**
 * The published sets, with the file of each that is read:
 *
 * - `pku-saferlhf` (Ji et al. 2024): any file with `prompt`, `response_0`, `is_response_0_safe`…; the labels refer to responses.
 * - `beavertails` (Ji et al. 2023): the question-answer pairs with `prompt`, `response`, `category`, `is_safe`; the labels refer to
 *   responses. BeaverTails-Evaluation can be read too. Its `category` refers to the prompt: request it with `categoryField`.
 * - `hh-rlhf` (Bai et al. 2022): the pairs with `chosen` and `rejected`; the prompt is `chosen` up to its last response.
 * - `salad-bench` (Li et al. 2024): the base set, `question` with `qid` and `1-category`.
 * - `salad-bench-attack`: the attack-enhanced set, `augq` with `aid` and `1-category`.
 * - `sode`: a set of plain, safe questions that is known by name only; no public source of its columns was found, so `prompt`,
 *   `question` or `text` is read. All prompts are benign.
 * - `xstest` (Röttger et al. 2024): xstest_prompts.csv, `prompt` with `id`, `type` and `label` (safe, unsafe).
 * - `or-bench` (Cui et al. 2024): or-bench-80k.csv and or-bench-hard-1k.csv, `prompt` with `category`; all benign.
 * - `or-bench-toxic`: or-bench-toxic.csv, likewise; all harmful.
 * - `harmbench` (Mazeika et al. 2024): harmbench_behaviors_text_all.csv and its splits, `Behavior` with `BehaviorID` and
 *   `SemanticCategory`; a `ContextString` comes before the behavior, as in HarmBench's own direct requests.
 * - `advbench` (Zou et al. 2023): harmful_behaviors.csv, `goal`; in HarmBench's layout, `Behavior` with `BehaviorID`.
 * - `strongreject` (Souly et al. 2024): strongreject_dataset.csv and its small version, `forbidden_prompt` with `category`.
 * - `ailuminate` (MLCommons, v1.0): the released prompt sets, `prompt_text` with `release_prompt_id` and `hazard`.
 * - `diasafety` (Sun et al. 2022): train.json, val.json and test.json; the prompt is `context`, the labels are of responses.
 * - `jailbreakbench` (Chao et al. 2024): harmful-behaviors.csv and benign-behaviors.csv, `Goal` with `Category`, whose
 *   contents only the file names state, so that the prompts have no label; or both in one, `text` with `label` (harmful, safe).
 * - `jailbreakbench-artifacts`: the attack prompts as rows of `prompt`, `response`, `category`, `method` and `model`; all harmful.
 *   Request the attack with `categoryField: "method"`. `jailbroken` is a judge's label of the response.
 * - `aegis` (Ghosh et al. 2025, Aegis 2.0): `prompt` with `id` and `prompt_label` (safe, unsafe), given by people. Each
 *   response is labelled separately, so prompts repeat. Withheld prompts (`REDACTED`, or empty) are skipped. `violated_categories` is
 *   a list, and refers to prompt and response: request it with `categoryField`.
 * - `dices` (Aroyo et al. 2023): dialogues up to the last response, `context` with `item_id`, or JUDGE-BENCH's JSON of them; without
 *   labels, because people labelled the last response. These labels say whether it is *unsafe*: "Yes" is unsafe in `Q_overall` and in
 *   `safety_gold`. JUDGE-BENCH copies them under the question "Is the model response safe?", which inverts them: of the 30 dialogues
 *   of DICES-350 that the fewest raters call unsafe, 27 have the expert label "No"; of the 30 that the most raters do, 29 have "Yes".
 * - `toxic-chat` (Lin et al. 2023): `user_input` with `conv_id` and `toxicity` (0, 1). `human_annotation`
 *   says whether people read a prompt: select those with `splitField: "human_annotation"` and `split: "True"`, as the CSV spells it.
 *   `categoryField: "jailbreaking"` distinguishes attempts to jailbreak.
 * - `xsafety` (Wang et al. 2024): a file per language and topic, one prompt per row without a header; the topic is the category. No
 *   labels: its topics mix prompts that ask for harm with ones about mental health, ethics or common sense that do not.
 * - `simple-safety-tests` (Vidgen et al. 2023): `prompts_final` with `id` and `harm_area`; all harmful.
 * - `malicious-instruct` (Huang et al. 2024): MaliciousInstruct.txt, a prompt per line; all harmful.
 */
export const presets = {
	"pku-saferlhf": { prompt: ["prompt"], repeats: true },
	beavertails: { prompt: ["prompt"], repeats: true },
	"hh-rlhf": { prompt: ["chosen"], repeats: true, compose: beforeLastResponse },
	"salad-bench": { prompt: ["question"], id: ["qid"], category: ["1-category"], label: "harmful" },
	"salad-bench-attack": { prompt: ["augq"], id: ["aid"], category: ["1-category"], label: "harmful" },
	sode: { prompt: ["prompt", "question", "text"], label: "benign" },
	xstest: { prompt: ["prompt"], id: ["id"], category: ["type"], label: { column: "label", benign: ["safe"] } },
	"or-bench": { prompt: ["prompt"], category: ["category"], label: "benign" },
	"or-bench-toxic": { prompt: ["prompt"], category: ["category"], label: "harmful" },
	harmbench: { prompt: ["Behavior"], id: ["BehaviorID"], category: ["SemanticCategory"], label: "harmful", compose: withContext },
	advbench: { prompt: ["goal", "Behavior"], id: ["BehaviorID"], label: "harmful" },
	strongreject: { prompt: ["forbidden_prompt"], category: ["category"], label: "harmful" },
	ailuminate: {
		prompt: ["prompt_text", "Prompt_text"],
		id: ["release_prompt_id", "Release_prompt_id"],
		category: ["hazard", "Hazard"],
		label: "harmful",
	},
	diasafety: { prompt: ["context"], category: ["category"], repeats: true },
	jailbreakbench: { prompt: ["Goal", "text"], category: ["Category"], label: { column: "label", benign: ["safe", "benign"] } },
	"jailbreakbench-artifacts": { prompt: ["prompt"], category: ["category"], label: "harmful", repeats: true },
	aegis: {
		prompt: ["prompt"],
		id: ["id"],
		label: { column: "prompt_label", benign: ["safe"] },
		heldBack: ["", "REDACTED"],
		repeats: true,
	},
	dices: {
		prompt: ["context", "user_prompt"],
		id: ["item_id", "id"],
		table: { list: "instances" },
		nested: "instance",
		compose: beforeResponse,
		repeats: true,
	},
	"toxic-chat": { prompt: ["user_input"], id: ["conv_id"], label: { column: "toxicity", benign: ["0"] }, repeats: true },
	xsafety: {
		prompt: ["prompt"],
		category: (file) => basename(file).replace(/(_n|_en)?\.csv(\.gz)?$/, ""),
		table: { columns: ["prompt"] },
	},
	"simple-safety-tests": { prompt: ["prompts_final"], id: ["id"], category: ["harm_area"], label: "harmful" },
	"malicious-instruct": { prompt: ["text"], label: "harmful" },
} as const satisfies Record<string, Preset>;

/** Name of a published set. */
export type PresetName = keyof typeof presets;

/** Their names. */
export const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];

/** The layout of a prompt file that is not a published set. */
export const plainPrompts: Preset = { prompt: ["prompt", "text"] };
