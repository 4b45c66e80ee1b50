export type * from "./base/globals.js";
export type { Candidate, ScoreFunction } from "./candidates.js";
export type { GraniteRisk, GuardTemplateName } from "./costs/guard-templates.js";
export type { SelfTestPair } from "./costs/self-test.js";
export * from "./errors.js";
export type { LexiconTerm } from "./files/lexicon.js";
export type { Certificate, CertificateClaim } from "./guard/certificate.js";
export { type Device, listDevices } from "./guard/devices.js";
export { embeddedDefault, embeddedPrompts } from "./guard/embedded.js";
export { InferenceGuard } from "./guard/guard.js";
export { type ConstraintReport, type CriticNote, type Outcome, RefusalError, type Reply } from "./guard/reply.js";
export { GuardStream, type StreamPiece } from "./guard/stream.js";
export type { LexiconMatch } from "./native/protocol.js";
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
export type { ChatMessage, Prompt } from "./prompt/chat.js";
export type { PruneReason, TraceNode } from "./trace.js";
