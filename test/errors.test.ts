import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as api from "../lib/index.js";

/** The contract: every code, and what it means to a caller. */
const codes = {
	ABORTED: "the signal was aborted",
	ADDON_NOT_FOUND: "no native binary loads here",
	CALLBACK_FAILED: "a cost or reward function misbehaved",
	CERTIFICATE_MISMATCH: "what runs is not what was certified",
	CHAT_TEMPLATE: "no chat template, or it rejected the messages",
	COST_MODEL_FLIPPED: "a cost model says the opposite of what it should",
	COST_MODEL_MISMATCH: "a probe belongs to another model",
	COST_MODEL_TEMPLATE: "a cost model does not answer, or not to the point",
	COST_MODEL_TOKENIZER: "a template and a vocabulary do not go together",
	CONTROL_VECTOR_MISMATCH: "the control vector belongs to another model",
	CPU_UNSUPPORTED: "the CPU lacks what the binary needs",
	CRITIC_MISMATCH: "the critic belongs to another guard",
	DECODE_FAILED: "the engine failed to compute",
	DEVICE_NOT_FOUND: "the device or GPU is not there",
	DISPOSED: "the guard was disposed",
	INTERNAL: "a defect of this package",
	INVALID_CERTIFICATE: "the file of a certificate is damaged",
	INVALID_CONTROL_VECTOR: "the file of a control vector is damaged",
	INVALID_COST_MODEL: "the file of a trained cost model is damaged",
	INVALID_CRITIC: "the file of a critic is damaged",
	INVALID_DATA: "training data or prompts cannot be read or used",
	INVALID_JOURNAL: "the journal of an evaluation is damaged or of another one",
	INVALID_LEXICON: "the lexicon cannot be read or used",
	INVALID_MODEL: "the model file is damaged",
	INVALID_OPTION: "an option is wrong",
	INVALID_PROMPT: "the prompt is empty or malformed",
	INVALID_ROLLOUTS: "rollouts are damaged or were made otherwise",
	KV_CAPACITY: "the KV cache does not fit",
	MODEL_NOT_FOUND: "there is no model file",
	NOT_CERTIFIED: "no configuration can be certified at this level",
	OUT_OF_MEMORY: "memory ran out",
	PROMPT_TOO_LONG: "the prompt leaves no room",
	PYTHON_FAILED: "Python, a module of it or the recipe of a training failed",
	REFUSED: "nothing within budget was found",
	STREAM_USED: "a stream was looped over twice",
	SPECIAL_TOKEN_TEXT: "a text means a control token in whatever way it is read",
	TEXT_TOO_LONG: "a cost model cannot read so long a text",
	TRAINING_DIVERGED: "the loss of a training became infinite",
	UNSUPPORTED_MODEL: "the model does not generate text",
	WRITE_FAILED: "a result could not be written",
};

type ErrorClass = { new (message: string): api.InferenceGuardError; code: string };

const classes = Object.values(api).filter(
	(value): value is ErrorClass & typeof value => typeof value === "function" && "code" in value && typeof value.code === "string",
);

describe("error codes", () => {
	test("every failure has one error class with its code", () => {
		expect(classes.map(({ code }) => code).sort()).toEqual(Object.keys(codes).sort());
	});

	test("every code that the native side uses is known", () => {
		const native = new URL("../native/", import.meta.url);
		const sources = readdirSync(native, { recursive: true, encoding: "utf8" }).filter((name) => /\.(cpp|h)$/.test(name));
		const used = new Set<string>();
		for (const name of sources) {
			const text = readFileSync(new URL(name, native), "utf8");
			for (const [, code] of text.matchAll(/(?:\berror\(|throw_js\(env, |send_failure\([\w>-]+, )(?:\w+ \? )?"([A-Z_]+)"/g))
				used.add(code as string);
		}
		expect(used.size).toBeGreaterThan(10);
		for (const code of used) expect(Object.keys(codes)).toContain(code);
	});

	test("errors are recognised across copies of the package, and keep their cause", () => {
		const cause = new Error("why");
		const error = new api.InvalidPromptError("expected something else", { cause });
		expect(api.InferenceGuardError.isInstance(error)).toBe(true);
		expect(api.InferenceGuardError.isInstance({ [Symbol.for("inferenceguard.error")]: true })).toBe(true);
		expect(api.InferenceGuardError.isInstance(cause)).toBe(false);
		expect(error).toMatchObject({ name: "InvalidPromptError", code: "INVALID_PROMPT", cause });
		expect(error).toBeInstanceOf(Error);
	});
});
