// Finds the differences between two values of plain JSON.

/** A leaf in which two values differ; undefined if one lacks it. */
export interface Difference {
	/** Keys from the root, joined by full stops. */
	path: string;
	found: unknown;
	expected: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Every leaf in which two values differ, including those that only one has. */
export function differencesOf(found: unknown, expected: unknown, path: readonly string[] = []): Difference[] {
	if (isObject(found) && isObject(expected) && Array.isArray(found) === Array.isArray(expected)) {
		const keys = new Set([...Object.keys(expected), ...Object.keys(found)]);
		return [...keys].flatMap((key) => differencesOf(found[key], expected[key], [...path, key]));
	}
	return JSON.stringify(found) === JSON.stringify(expected) ? [] : [{ path: path.join("."), found, expected }];
}
