/** After a pass over the data of `trainCost` or `trainCritic`. */
export interface EpochProgress {
	/** From 1. */
	epoch: number;
	/** Most epochs; training may stop earlier. */
	epochs: number;
	trainingLoss: number;
	validationLoss: number;
}

/** How far a run is. */
export interface RolloutProgress {
	/** Prompts of this run's part that are done, and all of them. */
	prompts: number;
	totalPrompts: number;
	/** Estimated size of this run's part when it is complete. */
	totalBytes: number;
	/** Of this run, without what an earlier one left: */
	responses: number;
	generatedTokens: number;
	/** Responses over budget. */
	overBudget: number;
	seconds: number;
}

/** How far an evaluation is. */
export interface EvaluationProgress {
	/** Responses that stand in the journal, and all of them. */
	responses: number;
	totalResponses: number;
	/** Of the response that comes next. */
	method: string;
	prompt: string;
	/** Of this run, without what an earlier one left: */
	newResponses: number;
	seconds: number;
}

/** How far the sampling of answers is. */
export interface AnswerProgress {
	/** Answers that stand in the file, and all of them. */
	answers: number;
	totalAnswers: number;
	/** Of those in the file. */
	refused: number;
	/** Of this run, without what an earlier one left: */
	newAnswers: number;
	seconds: number;
}
