export type * from "../base/globals.js";
export { createHandler, type Handler } from "./handler.js";
export { listen, type RunningServer } from "./listen.js";
export type { HandlerOptions, ListenOptions } from "./options.js";
