export { createHandler } from "./handler.js";
export type { HandlerOptions } from "./options.js";
