// Makes text from elsewhere (files, file names, models) safe to show in a terminal or a log.

/** Control characters except tabs and line feeds, other line ends, and marks that change the direction of the text around them. */
const controls = /(?![\n\t])[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;

/**
 * The text with its control characters escaped as in JSON (`\u001b`), so that it cannot move the cursor, set a title or overwrite anything.
 * A line of JSON keeps its value.
 */
export const printable = (text: string): string => text.replace(controls, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** The same without line breaks and tabs. */
export const inOneLine = (text: string): string => printable(text.replace(/\s+/g, " "));
