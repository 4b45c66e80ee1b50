// Converts the tokenizer of a Hugging Face folder to llama.cpp's form: word pieces (BERT), byte pairs (RoBERTa, ModernBERT) or unigrams
// (XLM-R). A tokenizer that llama.cpp would not reproduce is refused.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { GgufEntry } from "../data/gguf-writer.js";
import { readText } from "../data/text-file.js";
import { InvalidModelError, ModelNotFoundError, UnsupportedModelError } from "../errors.js";
import { parseJson } from "./safetensors.js";

const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const;

const specialName = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);
const addedToken = z.object({ id: z.int().min(0), content: z.string(), special: z.boolean().default(false) });
const step = z.looseObject({ type: z.string() });
const tokenizerFile = z.object({
	added_tokens: z.array(addedToken).default([]),
	normalizer: step.nullish(),
	pre_tokenizer: step.nullish(),
	post_processor: step.nullish(),
	model: z.looseObject({ type: z.string().optional() }),
});
const settingsFile = z.object({
	do_lower_case: z.boolean().default(true),
	strip_accents: z.boolean().nullish(),
	tokenize_chinese_chars: z.boolean().default(true),
	add_prefix_space: z.boolean().default(false),
	cls_token: specialName.nullish(),
	sep_token: specialName.nullish(),
	unk_token: specialName.nullish(),
	pad_token: specialName.nullish(),
	mask_token: specialName.nullish(),
});

type TokenizerFile = z.output<typeof tokenizerFile>;
type Settings = z.output<typeof settingsFile>;

const vocabulary = z.record(z.string(), z.int().min(0));
const merges = z.array(z.union([z.string(), z.tuple([z.string(), z.string()]).transform((pair) => pair.join(" "))]));
const wordPieceModel = z.object({
	vocab: vocabulary,
	continuing_subword_prefix: z.literal("##").default("##"),
	max_input_chars_per_word: z.literal(100).default(100),
});
const unset = z.union([z.literal(""), z.literal(false), z.null()]).optional();
const bytePairModel = z.object({
	vocab: vocabulary,
	merges,
	ignore_merges: unset,
	byte_fallback: unset,
	continuing_subword_prefix: unset,
	end_of_word_suffix: unset,
	dropout: z.null().optional(),
});
const unigramModel = z.object({ vocab: z.array(z.tuple([z.string(), z.number()])), unk_id: z.int().min(0), byte_fallback: unset });
const bertNormalizer = z.object({
	clean_text: z.literal(true),
	handle_chinese_chars: z.literal(true),
	strip_accents: z.boolean().nullish(),
	lowercase: z.boolean(),
});
const byteLevel = z.object({ type: z.literal("ByteLevel"), add_prefix_space: z.literal(false), use_regex: z.literal(true).default(true) });
const metaspace = z.object({
	type: z.literal("Metaspace"),
	replacement: z.literal("▁").default("▁"),
	prepend_scheme: z.literal("always").default("always"),
	add_prefix_space: z.literal(true).default(true),
});
const words = z.object({
	type: z.literal("Sequence"),
	pretokenizers: z.tuple([z.object({ type: z.literal("WhitespaceSplit") }), metaspace]),
});
const endsProcessor = z.object({ cls: z.tuple([z.string(), z.int()]), sep: z.tuple([z.string(), z.int()]) });
const special = z.object({ SpecialToken: z.object({ id: z.string() }) });
const endsTemplate = z.object({ single: z.tuple([special, z.object({ Sequence: z.object({ id: z.literal("A") }) }), special]) });

/** The tokens of a model, and its tokenizer's steps before it looks them up. */
interface Tokens {
	texts: (string | undefined)[];
	types: number[];
}

class TokenizerReader {
	readonly file: TokenizerFile | undefined;
	readonly settings: Settings;

	constructor(
		readonly folder: string,
		/** Rows of the token embedding. */
		readonly size: number,
	) {
		this.file = this.read("tokenizer.json", tokenizerFile);
		this.settings = this.read("tokenizer_config.json", settingsFile) ?? settingsFile.parse({});
	}

	has(name: string): boolean {
		return existsSync(join(this.folder, name));
	}

	read<T extends z.ZodType>(name: string, schema: T): z.output<T> | undefined {
		const path = join(this.folder, name);
		if (!existsSync(path)) return undefined;
		const parsed = schema.safeParse(parseJson(path));
		if (parsed.success) return parsed.data;
		throw new InvalidModelError(`expected a tokenizer of transformers in ${path}, got: ${z.prettifyError(parsed.error)}`);
	}

	lines(name: string): string[] {
		const path = join(this.folder, name);
		let lines: string[];
		try {
			lines = readText(path).split("\n");
		} catch (cause) {
			throw new InvalidModelError(`expected text in ${path}, got: ${(cause as Error).message}`, { cause });
		}
		if (lines.at(-1) === "") lines.pop();
		return lines.map((line) => line.replace(/\r$/, ""));
	}

	/** One part of tokenizer.json, which has to be something that llama.cpp supports. */
	part<T extends z.ZodType>(name: string, value: unknown, schema: T): z.output<T> {
		const parsed = schema.safeParse(value);
		if (parsed.success) return parsed.data;
		throw new UnsupportedModelError(
			`expected a ${name} that llama.cpp can follow, but that of ${this.folder} is another one (${z.prettifyError(parsed.error)}); choose another model`,
		);
	}

	/** Errors: INVALID_MODEL for a token without a row in the embedding. */
	checkId(id: number, text: string): void {
		if (id >= this.size) {
			throw new InvalidModelError(
				`expected token ids below ${this.size}, the rows of the embedding, got ${id} for "${text}" in ${this.folder}; save the model again`,
			);
		}
	}

	tokens(vocab: Iterable<[string, number]>): Tokens {
		const texts: (string | undefined)[] = new Array(this.size);
		for (const [text, id] of vocab) {
			this.checkId(id, text);
			texts[id] = text;
		}
		return { texts, types: Array.from(texts, (text) => (text === undefined ? tokenTypes.unused : tokenTypes.normal)) };
	}

	/** Marks tokens that were added to the vocabulary; `named` lists those of a folder without tokenizer.json. */
	add(tokens: Tokens, allowsWords: boolean, named: string[]): void {
		const found = this.file?.added_tokens ?? named.map((content) => ({ id: tokens.texts.indexOf(content), content, special: true }));
		for (const { id, content, special } of found) {
			if (id < 0) throw new InvalidModelError(`expected the token "${content}" in the vocabulary of ${this.folder}, got none`);
			this.checkId(id, content);
			if (!special && !allowsWords) {
				throw new UnsupportedModelError(
					`expected a tokenizer without added words, but that of ${this.folder} has "${content}", which llama.cpp would read otherwise`,
				);
			}
			tokens.texts[id] = content;
			tokens.types[id] = special ? tokenTypes.control : tokenTypes.userDefined;
		}
	}

	/** Ids of the tokens that begin and end every text. */
	ends({ texts }: Tokens, first: string, last: string): { begin: number; end: number } {
		const processor = this.file?.post_processor;
		if (!processor) return { begin: texts.indexOf(this.settings.cls_token ?? first), end: texts.indexOf(this.settings.sep_token ?? last) };
		if (processor.type !== "TemplateProcessing") {
			const { cls, sep } = this.part("post-processor", processor, endsProcessor);
			return { begin: cls[1], end: sep[1] };
		}
		const [begin, , end] = this.part("post-processor", processor, endsTemplate).single;
		return { begin: texts.indexOf(begin.SpecialToken.id), end: texts.indexOf(end.SpecialToken.id) };
	}

	entries(model: string, pre: string, { texts, types }: Tokens, { begin, end }: { begin: number; end: number }): GgufEntry[] {
		const all = Array.from(texts, (text, id) => text ?? `[PAD${id}]`);
		const seen = new Set<string>();
		for (const text of all) {
			if (seen.has(text))
				throw new UnsupportedModelError(`expected distinct tokens, but the tokenizer of ${this.folder} lists "${text}" twice`);
			seen.add(text);
		}
		const idOf = (key: string, text: string | null | undefined): GgufEntry[] => {
			const id = text ? texts.indexOf(text) : -1;
			return id < 0 ? [] : [[`tokenizer.ggml.${key}_token_id`, "u32", id]];
		};
		if (begin < 0 || end < 0)
			throw new InvalidModelError(`expected tokens that begin and end every text in the vocabulary of ${this.folder}`);
		const { unk_token, pad_token, mask_token } = this.settings;
		return [
			["tokenizer.ggml.model", "string", model],
			["tokenizer.ggml.pre", "string", pre],
			["tokenizer.ggml.tokens", "string[]", all],
			["tokenizer.ggml.token_type", "i32[]", types],
			["tokenizer.ggml.bos_token_id", "u32", begin],
			["tokenizer.ggml.eos_token_id", "u32", end],
			["tokenizer.ggml.cls_token_id", "u32", begin],
			["tokenizer.ggml.seperator_token_id", "u32", end],
			["tokenizer.ggml.add_bos_token", "bool", true],
			["tokenizer.ggml.add_eos_token", "bool", true],
			["tokenizer.ggml.add_sep_token", "bool", true],
			...idOf("unknown", unk_token ?? (model === "bert" ? "[UNK]" : "<unk>")),
			...idOf("padding", pad_token),
			...idOf("mask", mask_token),
		];
	}
}

function wordPieces(reader: TokenizerReader): GgufEntry[] {
	const { file, settings } = reader;
	const model = file && reader.part("WordPiece model", file.model, wordPieceModel);
	if (file) reader.part("pre-tokenizer", file.pre_tokenizer, z.object({ type: z.literal("BertPreTokenizer") }));
	const tokens = reader.tokens(model ? Object.entries(model.vocab) : reader.lines("vocab.txt").map((text, id) => [text, id]));
	reader.add(tokens, false, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
	const ends = reader.ends(tokens, "[CLS]", "[SEP]");
	const normalizer = reader.part(
		"normalizer",
		file?.normalizer ?? {
			clean_text: true,
			handle_chinese_chars: settings.tokenize_chinese_chars,
			strip_accents: settings.strip_accents,
			lowercase: settings.do_lower_case,
		},
		bertNormalizer,
	);
	const shown = (text: string | undefined, id: number) => {
		if (text === undefined || tokens.types[id] !== tokenTypes.normal) return text;
		return text.startsWith("##") ? text.slice(2) : `▁${text}`;
	};
	// llama.cpp marks the beginnings of words with ▁ and leaves continuations plain
	const spelled = { texts: Array.from(tokens.texts, shown), types: tokens.types };
	return [
		...reader.entries("bert", "default", spelled, ends),
		["tokenizer.ggml.normalizer.lowercase", "bool", normalizer.lowercase],
		["tokenizer.ggml.normalizer.strip_accents", "bool", normalizer.strip_accents ?? normalizer.lowercase],
	];
}

/** llama.cpp's pre-tokenizer. Both split into words the same way; one of them composes characters first. */
function preTokenizerOf(reader: TokenizerReader): string {
	const { file, settings } = reader;
	if (!file) {
		reader.part("pre-tokenizer", { type: "ByteLevel", add_prefix_space: settings.add_prefix_space }, byteLevel);
		return "roberta-bpe";
	}
	reader.part("pre-tokenizer", file.pre_tokenizer, byteLevel);
	if (!file.normalizer) return "roberta-bpe";
	reader.part("normalizer", file.normalizer, z.object({ type: z.literal("NFC") }));
	return "modern-bert";
}

function bytePairs(reader: TokenizerReader): GgufEntry[] {
	const given = reader.file?.model ?? {
		vocab: reader.read("vocab.json", vocabulary),
		merges: reader.lines("merges.txt").filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version"))),
	};
	const model = reader.part("BPE model", given, bytePairModel);
	const tokens = reader.tokens(Object.entries(model.vocab));
	reader.add(tokens, true, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]);
	const pre = preTokenizerOf(reader);
	return [...reader.entries("gpt2", pre, tokens, reader.ends(tokens, "<s>", "</s>")), ["tokenizer.ggml.merges", "string[]", model.merges]];
}

const charsmap = z.object({ type: z.literal("Precompiled"), precompiled_charsmap: z.string() });
const foldedSpaces = z.object({
	type: z.literal("Sequence"),
	normalizers: z.tuple([
		charsmap,
		z.object({ type: z.literal("Strip"), strip_left: z.literal(false), strip_right: z.literal(true) }),
		z.object({ type: z.literal("Replace"), pattern: z.object({ Regex: z.literal(" {2,}") }), content: z.literal("▁") }),
	]),
});

/** The table of replaced characters. Runs of spaces count as one, which a file may state in one of two ways. */
function charsmapOf(reader: TokenizerReader): Buffer {
	const { normalizer, pre_tokenizer } = reader.file ?? {};
	const folds = normalizer?.type === "Sequence";
	reader.part("pre-tokenizer", pre_tokenizer, folds ? z.union([metaspace, words]) : words);
	const found = folds
		? reader.part("normalizer", normalizer, foldedSpaces).normalizers[0]
		: reader.part("normalizer", normalizer, charsmap);
	return Buffer.from(found.precompiled_charsmap, "base64");
}

function unigrams(reader: TokenizerReader): GgufEntry[] {
	const model = reader.part("Unigram model", reader.file?.model, unigramModel);
	const tokens = reader.tokens(model.vocab.map(([text], id) => [text, id]));
	reader.add(tokens, false, []);
	tokens.types[model.unk_id] = tokenTypes.unknown;
	const scores = Array.from(tokens.texts, (_, id) => model.vocab[id]?.[1] ?? -10000);
	return [
		...reader.entries("t5", "default", tokens, reader.ends(tokens, "<s>", "</s>")),
		["tokenizer.ggml.scores", "f32[]", scores],
		["tokenizer.ggml.add_space_prefix", "bool", true],
		["tokenizer.ggml.remove_extra_whitespaces", "bool", true],
		["tokenizer.ggml.precompiled_charsmap", "u8[]", charsmapOf(reader)],
	];
}

/**
 * The tokenizer of a folder, for a model whose token embedding has `size` rows. Errors: MODEL_NOT_FOUND, INVALID_MODEL, UNSUPPORTED_MODEL.
 */
export function tokenizerEntries(folder: string, size: number): GgufEntry[] {
	const reader = new TokenizerReader(folder, size);
	const kind = reader.file?.model.type ?? (reader.has("vocab.txt") ? "WordPiece" : reader.has("merges.txt") ? "BPE" : "none");
	switch (kind) {
		case "WordPiece":
			return wordPieces(reader);
		case "BPE":
			return bytePairs(reader);
		case "Unigram":
			return unigrams(reader);
		case "none":
			throw new ModelNotFoundError(
				`expected tokenizer.json in ${folder}, got none; make it with transformers: ` +
					`AutoTokenizer.from_pretrained("${folder}").save_pretrained("${folder}")`,
			);
		default:
			throw new UnsupportedModelError(`expected a tokenizer of word pieces, byte pairs or unigrams, but that of ${folder} is ${kind}`);
	}
}
