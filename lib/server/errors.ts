// How a request fails on the wire: the shape of OpenAI's errors, and the status of every failure. Codes of the library keep their names, in
// small letters.
import { AbortedError, InferenceGuardError } from "../errors.js";

interface Kind {
	status: number;
	type: string;
	headers?: Readonly<Record<string, string>>;
}

const invalid: Kind = { status: 400, type: "invalid_request_error" };
const forbidden: Kind = { status: 403, type: "permission_error" };
const unknown: Kind = { status: 404, type: "not_found_error" };
const busy: Kind = { status: 429, type: "rate_limit_error" };
/** The server is to blame. The same request would fail again. */
const failed: Kind = { status: 500, type: "server_error", headers: { "x-should-retry": "false" } };

const unavailable = (seconds: number): Kind => ({ status: 503, type: "unavailable_error", headers: { "retry-after": `${seconds}` } });

const kinds = {
	invalid_request: invalid,
	unsupported_parameter: invalid,
	unsupported_content: invalid,
	guard_option_forbidden: invalid,
	invalid_option: invalid,
	invalid_prompt: invalid,
	special_token_text: invalid,
	chat_template: invalid,
	text_too_long: invalid,
	kv_capacity: invalid,
	critic_mismatch: invalid,
	content_filter: invalid,
	context_length_exceeded: { ...invalid, type: "exceed_context_size_error" },
	invalid_api_key: { status: 401, type: "authentication_error", headers: { "www-authenticate": "Bearer" } },
	host_not_allowed: forbidden,
	origin_not_allowed: forbidden,
	certificate_mismatch: forbidden,
	model_not_found: unknown,
	unknown_url: unknown,
	method_not_allowed: { ...invalid, status: 405 },
	request_too_large: { ...invalid, status: 413 },
	queue_full: busy,
	queue_timeout: busy,
	/** Nobody reads this answer. */
	client_left: { ...invalid, status: 499 },
	out_of_memory: unavailable(5),
	shutting_down: unavailable(2),
	deadline: { status: 504, type: "timeout_error", headers: { "x-should-retry": "false" } },
	callback_failed: failed,
	decode_failed: failed,
	internal: failed,
} satisfies Record<string, Kind>;

type ErrorCode = keyof typeof kinds;

/** Failures of the library that have another name on the wire. */
const renamed: Record<string, ErrorCode | undefined> = {
	PROMPT_TOO_LONG: "context_length_exceeded",
	REFUSED: "content_filter",
	DISPOSED: "shutting_down",
	ABORTED: "client_left",
};

function codeOf(thrown: unknown): ErrorCode {
	if (!InferenceGuardError.isInstance(thrown)) return "internal";
	const code = renamed[thrown.code] ?? thrown.code.toLowerCase();
	return code in kinds ? (code as ErrorCode) : "internal";
}

/** A request that ends with an error. */
export class RequestError extends Error {
	readonly code: ErrorCode;
	/** The field of the request that is to blame. */
	readonly param: string | null;
	readonly #kind: Kind;
	readonly #headers: Record<string, string>;

	constructor(code: ErrorCode, message: string, details: { param?: string; headers?: Record<string, string> } = {}) {
		super(message);
		this.code = code;
		this.param = details.param ?? null;
		this.#kind = kinds[code];
		this.#headers = { ...this.#kind.headers, ...details.headers };
	}

	/** The request's failure in whatever was thrown. Reasons of failures of the server may quote what it rejected, and are not for clients. */
	static of(thrown: unknown): RequestError {
		if (thrown instanceof RequestError) return thrown;
		if (thrown instanceof AbortedError && thrown.cause instanceof RequestError) return thrown.cause;
		const failure = new RequestError(codeOf(thrown), "the server failed; its operator was warned of the reason");
		return failure.isOfServer ? failure : new RequestError(failure.code, (thrown as InferenceGuardError).message);
	}

	/** Whether the server is to blame, and not the request. */
	get isOfServer(): boolean {
		return this.#kind === failed;
	}

	get body() {
		const { message, param, code } = this;
		return { error: { message, type: this.#kind.type, param, code } };
	}

	get response(): Response {
		return Response.json(this.body, { status: this.#kind.status, headers: this.#headers });
	}
}
