import { styleText } from "node:util";

/** `styleText` on a terminal; otherwise the unchanged text. */
export const color: typeof styleText = (style, text) => (process.stdout.isTTY ? styleText(style, text) : text);
