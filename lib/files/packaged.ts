import { fileURLToPath } from "node:url";

/** The path of a file in this package's folder of models. */
export const packaged = (file: string) => fileURLToPath(new URL(`../../models/${file}`, import.meta.url));
