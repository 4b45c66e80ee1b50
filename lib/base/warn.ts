import { printable } from "./printable.js";

/** Warns through `process.emitWarning`, which prints to standard error where nothing else is arranged. */
export function warn(code: string, message: string): void {
	process.emitWarning(printable(message), { type: "InferenceGuardWarning", code });
}
