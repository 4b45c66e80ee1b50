// Guards against JSON and objects from elsewhere that are nested too deeply.

/** Deep enough for any meaningful value, and shallow enough for all recursive code. */
const usualDeepest = 500;

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

/** Errors: one for a value that is nested too deeply, or contains itself. */
export function expectShallow(value: unknown, deepest = usualDeepest): void {
	let level = new Set([value].filter(isObject));
	for (let depth = 0; level.size > 0; depth++) {
		if (depth === deepest) throw new Error(`lists or objects within one another more than ${deepest} deep; flatten them`);
		level = new Set([...level].flatMap<unknown>(Object.values).filter(isObject));
	}
}

/** Errors: one for text that is not JSON, or is nested too deeply. */
export function parseJson(text: string, deepest?: number): unknown {
	const value: unknown = JSON.parse(text);
	expectShallow(value, deepest);
	return value;
}
