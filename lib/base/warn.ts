import { printable } from "./printable.js";

/** Warns through `process.emitWarning`, which by default prints to standard error. */
export function warn(code: string, message: string): void {
	process.emitWarning(printable(message), { type: "InferenceGuardWarning", code });
}
