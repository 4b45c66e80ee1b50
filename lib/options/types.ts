import type { ScoreFunction } from "../candidates.js";
import type { GraniteRisk, GuardTemplateName } from "../costs/guard-templates.js";
import type { SelfTestPair } from "../costs/self-test.js";
import type { LexiconTerm } from "../files/lexicon.js";
import type { LexiconMatch } from "../native/protocol.js";
import type { Prompt } from "../prompt/chat.js";
import type { SearchSettings } from "../search-settings.js";
import type { StrategySpelling } from "./strategies.js";

/**
 * How prompt and response become one text: `before`, the prompt, `between`, the response, `after`. Control tokens of the model are
 * spelled out (`<|im_end|>`, `</s>`); prompt and response are plain text, whatever they spell. If the template does not begin with the token
 * that begins every text of the model, that token is added.
 */
export interface ConversationTemplate {
	before?: string;
	between?: string;
	after?: string;
}

/** The question to a guard LLM and its answers. The first label of each side is one token; others count by their first token. */
export interface GuardModelTemplate extends ConversationTemplate {
	safe: string | readonly string[];
	unsafe: string | readonly string[];
	/** Categories of unsafe text, and the text between the template's end and a category's name, such as `"unsafe\n"`. */
	categories?: { before: string; names: readonly string[] };
}

/**
 * A guard LLM (GGUF) as a cost model. Cost: the probability of its unsafe answers against its safe ones, at the place of its answer;
 * default budget 0.5. `template` is recognised from the file (Llama Guard 3 8B, ShieldGemma, Qwen3Guard-Gen, Granite Guardian 3.0 to 3.2)
 * or given. ShieldGemma judges four policies, and the worst counts; Qwen3Guard's "controversial" counts as unsafe. Each entry of
 * `reply.safety.constraints` has its categories. `risk` is the risk that Granite Guardian looks for, default `harm`.
 */
export interface GuardModelCost {
	guardModel: string;
	template?: GuardTemplateName | GuardModelTemplate;
	risk?: GraniteRisk;
	/** Pairs that the model has to order when it is loaded; default five mild ones about harm in general, `false` for none. */
	selfTest?: false | readonly SelfTestPair[];
}

/**
 * A classifier with a head of its own (GGUF of bert, which includes RoBERTa and DistilBERT, modern-bert, neo-bert or qwen3;
 * `convertClassifier` makes one) as a cost model. Cost: the probability of `unsafeLabels` (default: labels such as unsafe, toxic,
 * harmful; a head with one output needs none), default budget 0.5. With `link: "excess"` the cost is the excess of its log-odds over
 * `threshold` (default 0, default budget 0). It reads the response alone, unless `template` puts the prompt before it.
 */
export interface SequenceClassifierCost {
	sequenceClassifier: string;
	unsafeLabels?: readonly string[];
	/**
	 * Whether the labels are independent of one another (a sigmoid each, as in toxic-bert) rather than a choice (softmax). The cost is
	 * then the largest probability of an unsafe label. Default: the value in the file, which `convert` writes; otherwise a choice.
	 */
	multiLabel?: boolean;
	template?: ConversationTemplate;
	link?: "probability" | "excess";
	threshold?: number;
	/** As for a guard LLM. */
	selfTest?: false | readonly SelfTestPair[];
}

/**
 * A language model (`body`, GGUF) with a linear head (`head`, a GGUF with `score.weight` [n_embd, 1] and perhaps `score.bias`) over
 * the final-norm hidden state of the last token. `template`: default the body's own chat template; `"beaver"` is that of PKU's
 * Beaver models.
 */
export interface ScoreModel {
	scoreModel: { body: string; head: string };
	template?: "beaver" | ConversationTemplate;
}

/** A {@link ScoreModel} as a cost: the excess of its score over `threshold` (default 0); default budget 0. */
export interface ScoreModelCost extends ScoreModel {
	threshold?: number;
	/** As for a guard LLM. */
	selfTest?: false | readonly SelfTestPair[];
}

/**
 * A probe that {@link trainCost} trained on the generating model's own latent state, as a cost model. Cost: the probability of "unsafe"
 * (default budget: the threshold in its file), or with `link: "excess"` the excess of its log-odds over `threshold` (default: the file's).
 * It belongs to one model; another is refused with COST_MODEL_MISMATCH.
 *
 * A probe on means reads the mean of the residual stream after some layers over the tokens of prefill and response, which the search keeps
 * with every path. The last sampled token does not count, because no step has read it yet (it does if the critic was asked). Streams emit
 * text at the ends of blocks. Of a steered model the probe reads the steered stream. UNSUPPORTED_MODEL for recurrent architectures and for
 * those that do not name the outputs of their layers.
 */
export interface ProbeCost {
	probe: string;
	link?: "probability" | "excess";
	threshold?: number;
	/** As for a guard LLM. A probe on means has none: it judges only text of the model itself, as in its training and measurement. */
	selfTest?: false | readonly SelfTestPair[];
}

/**
 * An encoder that was trained to judge unfinished responses to a prompt, as a cost model (made by `trainCost` with `kind: "encoder"`). Cost:
 * the probability of "unsafe" (default budget: the threshold in the file). It reads the prompt's end (100 word pieces) in both directions and
 * the response from left to right, so a token is read once, however many candidates share it. A response that does not fit into its
 * positions is read in overlapping windows, and the worst counts. It runs on the CPU. Its members' log-odds count as mean +
 * `uncertaintyPenalty` (κ, at least 0, default: the file's) · standard deviation, an upper confidence bound. Each entry of
 * `reply.safety.constraints` has the probabilities of its categories.
 */
export interface EncoderCost {
	encoder: string;
	/**
	 * Path of a probe on means (`trainCost` with `kind: "probe"`) of the generating model: one more member of the ensemble, with as much weight
	 * as the encoder's members together. Errors: COST_MODEL_MISMATCH for another model, INVALID_COST_MODEL for a probe that reads no means.
	 */
	probe?: string;
	uncertaintyPenalty?: number;
	/** As for a guard LLM. */
	selfTest?: false | readonly SelfTestPair[];
}

/**
 * A cost model.
 *
 * - `"harm"`: the judge in this package, an {@link EncoderCost} for English (`models/harm.md` describes its training data and its quality).
 *   It is the default for a model file.
 * - `{ lexicon }`: terms with weights (default 1) from an array or a file: one term per line (`#` begins a comment line), a JSON array as
 *   in code, or a JSON object of weights by term; UTF-8, or UTF-16 with a byte order mark. Terms are whole words, with `*` at either end for
 *   any continuation; in scripts without spaces between words a term is found anywhere. Spellings that Unicode data equate do not hide a
 *   term (letter case, compatibility forms, invisible characters, other dashes…). With `match: "loose"` (default `"strict"`) neither do
 *   digits and signs for letters, letters of other scripts, accents, letters apart, markup and character references. `docs/lexicons.md` has
 *   the tables. Each hit is charged to the token that decides it: for a whole word the token that brings the next character, or the last
 *   one. A response to a raw prompt is read as a continuation of the prompt's text; hits entirely within the prompt cost nothing. Terms that
 *   would match nothing (regular expressions, separated values, quotes, `*` inside) are INVALID_LEXICON. So is a term with two different
 *   weights; equal ones count once.
 * - `{ tokenCosts }`: one cost per token id; ids beyond the array cost 0.
 * - `{ classifier }`: the path of a cost model that {@link trainCost} made; it judges whole texts. Its cost is the probability
 *   of "unsafe" (`link: "probability"`, default; the default budget is the threshold in its file), or the excess of the log-odds
 *   over `threshold` (`link: "excess"`; default: the file's threshold).
 * - `{ guardModel }`, `{ sequenceClassifier }`, `{ scoreModel }`: models that run next to the generating one; see
 *   {@link GuardModelCost}, {@link SequenceClassifierCost}, {@link ScoreModelCost}.
 * - `{ encoder }`: a small model that reads a response as it grows, with its prompt; see {@link EncoderCost}.
 * - `{ probe }`: reads the generating model's own latent state; see {@link ProbeCost}.
 * - a function: judges all candidates of a block in one call, and returns a finite number for each, in order; anything else
 *   (`null`, `"0.5"`, `true`…) is CALLBACK_FAILED. Its value for a finished response is the cost of the whole text, charged at the last
 *   token. For an unfinished one it is an estimate that guides the search. A text that `stream` is about to emit is judged as a finished
 *   one.
 */
export type CostModel =
	| "harm"
	| { lexicon: string | readonly LexiconTerm[]; match?: LexiconMatch }
	| { tokenCosts: readonly number[] | Float64Array }
	| { classifier: string; link?: "probability" | "excess"; threshold?: number }
	| GuardModelCost
	| SequenceClassifierCost
	| ScoreModelCost
	| ProbeCost
	| EncoderCost
	| ScoreFunction;

/**
 * The ranking of responses within budget: mean log-likelihood under the base model, a lexicon's weights, a sequence classifier's log-odds
 * of `label` (a head with one output needs none: its score), a score model's score, or a function. When a model is loaded, it has to prefer
 * the safe response of each pair of `selfTest` (default: five mild ones; errors as for a guard LLM).
 */
export type RewardModel =
	| "logLikelihood"
	| { lexicon: string | readonly LexiconTerm[] }
	| {
			sequenceClassifier: string;
			label?: string;
			/** As for a cost model. */
			multiLabel?: boolean;
			template?: ConversationTemplate;
			selfTest?: false | readonly SelfTestPair[];
	  }
	| (ScoreModel & { selfTest?: false | readonly SelfTestPair[] })
	| ScoreFunction;

/** The budget of a cost model, and how it applies. */
export interface ConstraintOptions {
	/**
	 * B, the largest cumulative cost of a response; at least 0. Default 0: with a lexicon, not one hit; for a classifier's
	 * probability or an encoder's (`"harm"` too), the threshold in its file; for the probability of a guard LLM or a sequence classifier 0.5.
	 */
	budget?: number;
	/**
	 * γ in z_{t+1} = (z_t − c_t) / γ; in (0, 1], default 1. The paper uses 0.999. It discounts the costs of tokens (lexicons, `tokenCosts`);
	 * a cost of the whole text is charged undiscounted. The first constraint's discount also applies to the reward.
	 */
	discount?: number;
	/** Costs below the floor count as 0 (default 0); `null` lets signed costs refill the budget. */
	costFloor?: 0 | null;
	/** With signed costs: the budget must hold at every token (`anytime`, default) or at the end (`terminal`). */
	criterion?: "anytime" | "terminal";
}

/** A model given as a table, for tests of your own cost functions without a model file. Prompts are token ids. */
export interface TabularModel {
	/** Text of each token. */
	pieces: string[];
	/** `logits[last][next]`, from -1e30 to 1e30. */
	logits: number[][];
	/** Token ids that end the response; default none. */
	ends?: number[];
	/** Use the exact critic, by enumeration; every cost must then be `{ tokenCosts }`. Default false. */
	oracle?: boolean;
	/** Sequences decoded at once, 3..4096; default 256. */
	maxSequences?: number;
}

/**
 * Activation steering: a direction is added to the residual stream after every layer while the model reads and writes. Made by
 * {@link steerVector}. It changes the model for all generations of the guard; the search runs on top of it.
 *
 * A constant `strength` with `gate` follows SCANS (Cao et al. 2024, arXiv 2408.11491): prompts that the gate finds on the positive
 * side are steered by +strength, the others by −strength. Differences: the gate is the projection of the prompt's hidden state at
 * one layer, not the similarity of its transition over the last layers; all layers of the vector are steered.
 * `sparsity` with `method: "pca"` follows Jailbreak Antidote (Shen et al. 2024, arXiv 2410.02298; it keeps about 0.05).
 * Difference: every token is steered, not only the prompt's last one.
 */
export interface SteeringOptions {
	/** Path of a control vector. */
	vector: string;
	/** α; 1 moves by the whole distance between the two classes of prompts, negative values the other way. */
	strength: number;
	/** Share of each layer's components that is kept, the largest first; in (0, 1], default 1. */
	sparsity?: number;
	/** Whether the prompt decides the sign; default false. */
	gate?: boolean;
}

/** Options of {@link InferenceGuard.load}. */
export interface LoadOptions extends ConstraintOptions {
	/** Path of a GGUF file, or a tabular model. */
	model: string | TabularModel;
	/** The cost model that `budget` applies to. Default `"harm"`; none for a tabular model, where strategies that enforce a budget need one. */
	cost?: CostModel;
	/** Several cost models, each with its own budget, instead of `cost` and `budget`: all of them must hold. An empty array: none. */
	constraints?: readonly (ConstraintOptions & { cost: CostModel })[];
	/** Default `"logLikelihood"`. */
	reward?: RewardModel;
	/** Path of a critic that {@link trainCritic} made for this model, these cost models and this reward. */
	critic?: string;
	/** Steers the model itself; a critic that was trained without it extrapolates. */
	steering?: SteeringOptions;
	/**
	 * A certificate of {@link calibrate} for this guard. If the model, critic, cost models, budgets, context size, build (the native binary
	 * included), the settings of a generation, or the date that its chat template reads differ from the certificate's, `load` or `generate`
	 * rejects (`onMismatch: "refuse"`, default) or warns. `reply.certificate` has the claim that covers a reply.
	 */
	certificate?: string | { file: string; onMismatch?: "warn" | "refuse" };
	/** `"auto"` (default: every GPU of the build, otherwise the CPU), `"cpu"`, or a name from {@link listDevices}. */
	device?: string;
	/** Layers on the GPU: `"all"` (default) or a number; a number above 0 without a GPU is an error. */
	gpuLayers?: "all" | number;
	/**
	 * CPU threads, 1..512. Default: the physical cores that this process may use (affinity and the quotas of its control groups), minus one
	 * if there are more than two. A number above the usable logical CPUs is capped, with the warning `THREADS_CAPPED`;
	 * `reply.engine.threads` says how many ran.
	 */
	threads?: number;
	/**
	 * Whether model files are mapped into memory, if the device supports it; default true. A mapped file must not be changed in place: every
	 * generation after that fails with INVALID_MODEL. With `false` the whole file is read into memory, and may be changed once it is loaded.
	 */
	useMmap?: boolean;
	/** Whether the system is asked to keep the weights in memory and never to swap them out; default false. */
	useMlock?: boolean;
	/** Longest prompt and response together, in tokens; default and at most: the context that the model was trained with. */
	contextSize?: number;
	/**
	 * Most KV cells, in tokens: for prompts and live trees of all concurrent generations, and for the prompts that are kept for later ones.
	 * Default: as many as fit into free memory. Errors: KV_CAPACITY by a generation that alone needs more.
	 */
	kvCells?: number;
	/**
	 * Where a step's logits are reduced and the critic runs: inside the model's own graph (`"device"`), or on the host, on whole rows of logits
	 * (`"host"`). Both draw the same tokens from the same seed and search alike, within rounding. Default `"auto"`: on the device if a critic
	 * runs, the device is a GPU, and device and architecture support it; `reply.engine.outputs` says which. Errors: UNSUPPORTED_MODEL by a
	 * generation with `"device"` if they do not.
	 */
	outputs?: "auto" | "device" | "host";
	/**
	 * Whether all files are first loaded, and a first step taken (or a text scored), in a child process; default false. Use it for files from
	 * strangers. Files that are known to make llama.cpp end its process are refused in any case; any others end the child, which is
	 * INVALID_MODEL. So is a child that has not finished after two minutes, plus a second for every 10 MB of the files. It takes the time of
	 * another load and of a few tokens and, until the child has ended, the memory. This process reads only the files' metadata before.
	 */
	isolate?: boolean;
	/** Called with the share loaded, 0..1. If the model's fingerprint has to be computed, that is the first half. */
	onLoadProgress?: (share: number) => void;
	/** Aborts loading. */
	signal?: AbortSignal;
}

/** How a generation searches. */
export interface SearchOptions extends SearchSettings {
	/** Named settings, each with its source: see {@link strategies}; default `"guard"`. */
	strategy?: StrategySpelling;
	/** Keep every candidate of the search in `reply.trace`; default false. */
	trace?: boolean;
	/**
	 * Whether this generation reuses the beginning of a prompt that an earlier one has read (a system prompt, a chat that grows), and keeps
	 * its own prompt for later ones. It saves time, and changes logits by rounding. Default true without a `seed`, so a seeded generation
	 * does not depend on earlier ones. With sliding windows or a recurrent state a kept prompt is reused only as a whole.
	 */
	cachePrompt?: boolean;
	/** 0..2^53−1; default random, reported in the reply. A seeded generation that runs alone on one thread is repeatable. */
	seed?: number;
}

/** Options of {@link InferenceGuard.generate} and {@link InferenceGuard.stream}: exactly one of `prompt` and `messages`, and how to search. */
export type GenerateOptions = Prompt &
	SearchOptions & {
		/**
		 * Text, or after a prompt of token ids or messages token ids, with which the response begins. Cost and reward models, probes on means
		 * included, judge it with what follows; its costs of tokens are charged, undiscounted, before the first token: `z[0]` is B less them,
		 * and z is checked from there on. Nothing is generated if they alone are over budget (with `criterion: "terminal"` and costs that may
		 * be negative, later ones may still bring it back). The reply and the stream have what follows it. Log-likelihoods and `stop` begin
		 * behind it, and no certificate covers it. Default: none.
		 */
		prefill?: string | readonly number[] | Int32Array;
		/** Whether the last of `messages`, of the assistant, is the `prefill` rather than a turn of its own; default false. */
		continueFinal?: boolean;
		/**
		 * On a refusal that was not repaired: `"return"` the reply with empty text (default), `"throw"` a {@link RefusalError}, or return this
		 * text instead. A chat continues after a refusal with an empty assistant turn, or with none; a chat template that insists on a text
		 * there gets this one (otherwise `"I cannot help with that."`).
		 */
		onRefusal?: "return" | "throw" | { text: string };
		/**
		 * The date for a chat template that reads one, perhaps with a time: `"2026-11-28"`, `"2026-11-28T09:30"`, or a Date, in local time.
		 * Default: the day, without a time, so the prompts of a day are alike.
		 */
		now?: string | Date;
		/** Stops within one decode step, and within the rendering of a chat template. */
		signal?: AbortSignal;
	};
