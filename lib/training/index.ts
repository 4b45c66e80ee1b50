// `inferenceguard/training`: cost models, critics and control vectors, and their training data: labelled answers, rollouts.
export type * from "../base/globals.js";
export { type ConvertedClassifier, type ConvertOptions, convertClassifier } from "../convert/convert-classifier.js";
export type { CalibrationBin, Interval } from "../data/metrics.js";
export type { Split } from "../data/split.js";
export type { AnswerMethod, AnswerOptions } from "../labelling/answer-plan.js";
export { type Answer, type AnswerSummary, sampleAnswers } from "../labelling/answers.js";
export { type JoinOptions, type JoinReport, joinLabels, type ReaderAgreement } from "../labelling/join-labels.js";
export { type LabelOptions, type LabelServer, serveLabels } from "../labelling/label-server.js";
export type { AnswerProgress, EpochProgress, RolloutProgress } from "../progress.js";
export type { BaselineAucs, CriticReport, PositionReport } from "./critic-report.js";
export type { RolloutPrompt } from "./prompts.js";
export { collectRollouts, type RolloutOptions } from "./rollouts.js";
export { type SteeringReport, type SteerVectorOptions, steerVector } from "./steer-vector.js";
export { type CostMetrics, type CostReport, type TrainCostOptions, trainCost } from "./train-cost.js";
export { type CriticInput, type TrainCriticOptions, trainCritic } from "./train-critic.js";
export type { ProbeInputReport, ProbeReport } from "./train-probe.js";
