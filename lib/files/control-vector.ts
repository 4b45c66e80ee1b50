import { ControlVectorMismatchError } from "../errors.js";
import { callAddon } from "../native/addon.js";

/** The kind of file, the error for a damaged one, and the key of the model that it belongs to. */
export const controlVectorFile = { kind: "control-vector", error: "INVALID_CONTROL_VECTOR", modelKey: "model_hash" };

/** Checks that a control vector was made for this model. Errors: INVALID_CONTROL_VECTOR, CONTROL_VECTOR_MISMATCH. */
export function checkControlVector(path: string, modelHash: string): void {
	const { kind, error, modelKey } = controlVectorFile;
	const made = callAddon((native) => native.readTensors(path, kind, error, [modelKey], [])).texts[modelKey];
	if (made === modelHash) return;
	throw new ControlVectorMismatchError(
		`expected a control vector that was made for this model (${modelHash}), got one for ${made}; make one with inferenceguard steer-vector`,
	);
}
