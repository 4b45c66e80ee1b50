// `inferenceguard/evaluation`: experiments, certificates and their reports.
export type * from "../base/globals.js";
export type { Interval } from "../data/metrics.js";
export type { EvaluationProgress } from "../progress.js";
export { type CalibrateOptions, calibrate, type Verification, verify } from "./calibrate.js";
export type { EvaluationConfig, EvaluationJudge, EvaluationMethod } from "./config.js";
export type { EvaluationPrompt, PromptSource } from "./datasets.js";
export { type EvaluateOptions, evaluate } from "./evaluate.js";
export type { PresetName } from "./presets.js";
export type { Estimate, EvaluationSummary, MethodSummary, ResponseRecord, Verdict } from "./types.js";
