const marker = Symbol.for("inferenceguard.error");

/** Base class of every error this package throws. `code` is stable; messages may change. */
export class InferenceGuardError extends Error {
	/** Stable identifier of the failure. */
	readonly code: string;
	readonly [marker] = true;

	constructor(code: string, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
		this.name = new.target.name;
	}

	/** Like `instanceof`, but also true for errors of another copy or version of this package. */
	static isInstance(value: unknown): value is InferenceGuardError {
		return typeof value === "object" && value !== null && marker in value;
	}
}

/** The constructor type of one error class, as the declarations show it: an unnamed class would pull in Node's types. */
interface Failure {
	readonly code: string;
	new (message: string, options?: ErrorOptions): InferenceGuardError;
	isInstance(value: unknown): value is InferenceGuardError;
}

function failure(code: string): Failure {
	return class extends InferenceGuardError {
		static readonly code = code;

		constructor(message: string, options?: ErrorOptions) {
			super(code, message, options);
		}
	};
}

/** An option has the wrong type, is out of its limits, unknown, or contradicts another. */
export class InvalidOptionError extends failure("INVALID_OPTION") {}
/** The prompt is empty, not valid Unicode, or not tokens of this model. */
export class InvalidPromptError extends failure("INVALID_PROMPT") {}
/** A text could produce one of the model's control tokens: in a role, or because chat template or tokenizer change it. */
export class SpecialTokenTextError extends failure("SPECIAL_TOKEN_TEXT") {}
/** The prompt leaves no room for a response in the context. */
export class PromptTooLongError extends failure("PROMPT_TOO_LONG") {}
/** `messages` were given, but the model has no chat template, or the template rejected them or exceeded its limits of steps, time or output. */
export class ChatTemplateError extends failure("CHAT_TEMPLATE") {}
/** The lexicon cannot be read as text, or has terms that match nothing or contradict one another. */
export class InvalidLexiconError extends failure("INVALID_LEXICON") {}
/** The file of a trained cost model is missing, damaged, or written by an incompatible version. */
export class InvalidCostModelError extends failure("INVALID_COST_MODEL") {}
/** A cost model scores safe texts higher than unsafe ones: its labels or the sign of its head are exchanged. */
export class CostModelFlippedError extends failure("COST_MODEL_FLIPPED") {}
/** A cost model gives its template's answers no probability, or does not tell safe from unsafe texts. */
export class CostModelTemplateError extends failure("COST_MODEL_TEMPLATE") {}
/** A template's control token or label is not a token of the cost model's vocabulary. */
export class CostModelTokenizerError extends failure("COST_MODEL_TOKENIZER") {}
/** A probe was trained on another model. */
export class CostModelMismatchError extends failure("COST_MODEL_MISMATCH") {}
/** Prompt and response are longer than the context of a cost or reward model. */
export class TextTooLongError extends failure("TEXT_TOO_LONG") {}
/** A file of training data or prompts is missing, cannot be read, or lacks a requested column, split or label. */
export class InvalidDataError extends failure("INVALID_DATA") {}
/** A folder of rollouts is damaged, or was made with another model, cost model or other options. */
export class InvalidRolloutsError extends failure("INVALID_ROLLOUTS") {}
/** The file of a critic is missing, damaged, or written by an incompatible version. */
export class InvalidCriticError extends failure("INVALID_CRITIC") {}
/** A critic was trained for another model, other cost models, another reward or another single budget. */
export class CriticMismatchError extends failure("CRITIC_MISMATCH") {}
/** The file of a control vector is missing, damaged, or written by an incompatible version. */
export class InvalidControlVectorError extends failure("INVALID_CONTROL_VECTOR") {}
/** A control vector was made for another model. */
export class ControlVectorMismatchError extends failure("CONTROL_VECTOR_MISMATCH") {}
/** Python, a module that a training recipe imports, or the recipe itself failed. */
export class PythonError extends failure("PYTHON_FAILED") {}
/** The loss of a training became infinite. */
export class TrainingDivergedError extends failure("TRAINING_DIVERGED") {}
/** The journal of an evaluation is damaged, or belongs to another evaluation. */
export class InvalidJournalError extends failure("INVALID_JOURNAL") {}
/** The file of a certificate is missing, damaged, or written by an incompatible version. */
export class InvalidCertificateError extends failure("INVALID_CERTIFICATE") {}
/** The guard or its settings differ from those that a certificate was issued for. */
export class CertificateMismatchError extends failure("CERTIFICATE_MISMATCH") {}
/** No configuration of a ladder can be certified at the requested level. */
export class NotCertifiedError extends failure("NOT_CERTIFIED") {}
/** A result could not be written. */
export class WriteError extends failure("WRITE_FAILED") {}
/** There is no file at the model's path, or a folder to convert lacks one. */
export class ModelNotFoundError extends failure("MODEL_NOT_FOUND") {}
/** The model file is empty, damaged, truncated or not GGUF; in a folder to convert, a file is damaged or does not match the others. */
export class InvalidModelError extends failure("INVALID_MODEL") {}
/** The model file is sound, but not a model for this purpose: an embedding model, a vocabulary, an unknown architecture, half a head. */
export class UnsupportedModelError extends failure("UNSUPPORTED_MODEL") {}
/** The requested device or GPU does not exist in this build or on this machine. */
export class DeviceNotFoundError extends failure("DEVICE_NOT_FOUND") {}
/** The KV cache for prompt and live tree does not fit into memory. */
export class KvCapacityError extends failure("KV_CAPACITY") {}
/** Memory ran out during a generation. */
export class OutOfMemoryError extends failure("OUT_OF_MEMORY") {}
/** The engine failed to compute a step. */
export class DecodeError extends failure("DECODE_FAILED") {}
/** A cost or reward function threw, or returned something other than one finite number per candidate; see `cause`. */
export class CallbackError extends failure("CALLBACK_FAILED") {}
/** A second loop asked for the pieces of a stream. */
export class StreamUsedError extends failure("STREAM_USED") {}
/** The guard was disposed. */
export class DisposedError extends failure("DISPOSED") {}
/** No native binary for this platform could be loaded. */
export class AddonNotFoundError extends failure("ADDON_NOT_FOUND") {}
/** The native binary needs CPU features that this machine lacks. */
export class CpuUnsupportedError extends failure("CPU_UNSUPPORTED") {}
/** A defect of this package: please report it. */
export class InternalError extends failure("INTERNAL") {}

/** The operation was aborted; `cause` is the signal's reason. */
export class AbortedError extends failure("ABORTED") {
	override readonly name = "AbortError";
}
