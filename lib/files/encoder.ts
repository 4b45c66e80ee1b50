// The header of a judging encoder's file.
import { InvalidCostModelError } from "../errors.js";
import { callAddon } from "../native/addon.js";

interface EncoderHeader {
	/** Names of its categories. */
	categories: string[];
	/** Recommended: responses with a higher probability are unsafe. */
	threshold: number;
}

/** Errors: INVALID_COST_MODEL. */
export function readEncoder(path: string): EncoderHeader {
	const { numbers, lists } = callAddon((native) =>
		native.readTensors(path, "encoder", "INVALID_COST_MODEL", [], ["threshold"], ["categories"]),
	);
	const [threshold = Number.NaN] = numbers.threshold ?? [];
	if (!(threshold >= 0 && threshold < 1)) {
		throw new InvalidCostModelError(`expected a probability below 1 as the threshold of ${path}, got ${threshold}; make the file again`);
	}
	return { categories: lists.categories ?? [], threshold };
}
