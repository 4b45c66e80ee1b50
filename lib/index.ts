export { type ConvertedClassifier, type ConvertOptions, convertClassifier } from "./convert/convert-classifier.js";
export type { GraniteRisk, GuardTemplateName } from "./costs/guard-templates.js";
export type { LexiconTerm } from "./costs/lexicon.js";
export type { SelfTestPair } from "./costs/self-test.js";
export type { CalibrationBin, Interval } from "./data/metrics.js";
export type { Split } from "./data/split.js";
export * from "./errors.js";
export { type CalibrateOptions, calibrate, type Verification, verify } from "./evaluation/calibrate.js";
export type { EvaluationConfig, EvaluationJudge, EvaluationMethod } from "./evaluation/config.js";
export type { EvaluationPrompt, PromptSource } from "./evaluation/datasets.js";
export { type EvaluateOptions, evaluate } from "./evaluation/evaluate.js";
export type { PresetName } from "./evaluation/presets.js";
export type { Estimate, EvaluationSummary, MethodSummary, ResponseRecord, Verdict } from "./evaluation/types.js";
export type { Certificate, CertificateClaim } from "./guard/certificate.js";
export { type Device, listDevices } from "./guard/devices.js";
export { embeddedDefault, embeddedPrompts } from "./guard/embedded.js";
export { InferenceGuard } from "./guard/guard.js";
export { type ConstraintReport, type CriticNote, type Outcome, RefusalError, type Reply } from "./guard/reply.js";
export { GuardStream, type StreamPiece } from "./guard/stream.js";
export type { AnswerMethod, AnswerOptions } from "./labelling/answer-plan.js";
export { type Answer, type AnswerSummary, sampleAnswers } from "./labelling/answers.js";
export { type JoinOptions, type JoinReport, joinLabels, type ReaderAgreement } from "./labelling/join-labels.js";
export { type LabelOptions, type LabelServer, serveLabels } from "./labelling/label-server.js";
export type { LexiconMatch } from "./native/protocol.js";
export type { Candidate, ScoreFunction } from "./options/options.js";
export { type StrategyName, type StrategySettings, type StrategySpelling, strategies } from "./options/strategies.js";
export type {
	ConstraintOptions,
	ConversationTemplate,
	CostModel,
	EncoderCost,
	GenerateOptions,
	GuardModelCost,
	GuardModelTemplate,
	LoadOptions,
	ProbeCost,
	RewardModel,
	ScoreModel,
	ScoreModelCost,
	SearchOptions,
	SequenceClassifierCost,
	SteeringOptions,
	TabularModel,
} from "./options/types.js";
export type { AnswerProgress, EpochProgress, EvaluationProgress, RolloutProgress } from "./progress.js";
export type { ChatMessage, Prompt } from "./prompt/chat.js";
export type { PruneReason, TraceNode } from "./trace.js";
export type { BaselineAucs, CriticReport, PositionReport } from "./training/critic-report.js";
export type { RolloutPrompt } from "./training/prompts.js";
export { collectRollouts, type RolloutOptions } from "./training/rollouts.js";
export { type SteeringReport, type SteerVectorOptions, steerVector } from "./training/steer-vector.js";
export { type CostMetrics, type CostReport, type TrainCostOptions, trainCost } from "./training/train-cost.js";
export { type CriticInput, type TrainCriticOptions, trainCritic } from "./training/train-critic.js";
export type { ProbeInputReport, ProbeReport } from "./training/train-probe.js";
