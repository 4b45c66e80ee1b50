// Describes what functions of the caller throw and return. That can be anything, including an object that throws when it is read.
import { inspect } from "node:util";

export const inspected = (value: unknown) =>
	inspect(value, { depth: 0, customInspect: false, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 60, maxArrayLength: 3 });

/** The reason of a thrown value. It never throws itself. */
export function reasonOf(thrown: unknown): string {
	try {
		const message: unknown = thrown instanceof Error ? thrown.message : undefined;
		return typeof message === "string" ? message : inspected(thrown);
	} catch {
		return "what was thrown cannot be shown";
	}
}
