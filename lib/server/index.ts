export { createHandler, type Handler } from "./handler.js";
export type { HandlerOptions } from "./options.js";
