import { styleText } from "node:util";

/** `styleText` on a terminal, elsewhere the text as it is. */
export const color: typeof styleText = (style, text) => (process.stdout.isTTY ? styleText(style, text) : text);
