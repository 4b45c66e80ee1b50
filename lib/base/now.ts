// The date and time that chat templates read.

const twoDigits = (value: number) => String(value).padStart(2, "0");

/** The date of a moment in this process's time zone, with its time if `withTime`: `2026-11-28T09:30`. */
function localTime(moment: Date, withTime: boolean): string {
	const date = [moment.getFullYear(), twoDigits(moment.getMonth() + 1), twoDigits(moment.getDate())].join("-");
	return withTime ? `${date}T${twoDigits(moment.getHours())}:${twoDigits(moment.getMinutes())}` : date;
}

/** Default of `now`: the day, without a time, so that all prompts of a day are the same. */
export const today = () => localTime(new Date(), false);

const written = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?Z?)?$/;

/** A date, perhaps with a time, as recorded: without the parts that templates do not read. Undefined if it is not a date. */
export function recordedNow(given: string | Date): string | undefined {
	if (given instanceof Date) return Number.isNaN(given.getTime()) ? undefined : localTime(given, true);
	const [, date = "", time] = written.exec(given) ?? [];
	const moment = new Date(`${date}T${time ?? "00:00"}Z`);
	const exists = !Number.isNaN(moment.getTime()) && moment.toISOString().startsWith(date);
	return exists ? (time === undefined ? date : `${date}T${time}`) : undefined;
}
