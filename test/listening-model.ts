// Chat models that heed one word: what a note in the context does, made small.
import { causalModel, sentencePieces, wordDetector } from "./text-models.js";

export const vocabulary = sentencePieces({ words: ["▁harm", "▁bad", "▁good", "yes", "no", "crime", "drugs"] });

const template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]";

/** Of a model file with a chat template. */
export const chatMetadata: [key: string, type: string, value: unknown][] = [["tokenizer.chat_template", "string", template]];

/** A chat model that says " bad" all the time, until it reads one of some words, and then " good". */
export const listeningModel = (folder: string, ...words: string[]): string =>
	causalModel(folder, "llama", { vocabulary, layers: 1, weights: wordDetector(words, "▁bad", "▁good"), metadata: chatMetadata }).path;
