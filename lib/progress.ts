/** After a pass over the data of `trainCost` or `trainCritic`. */
export interface EpochProgress {
	/** Starts at 1. */
	epoch: number;
	/** Most epochs; training may stop earlier. */
	epochs: number;
	trainingLoss: number;
	validationLoss: number;
}

/** Progress of a run. */
export interface RolloutProgress {
	/** Finished prompts of this run's part, and all of them. */
	prompts: number;
	totalPrompts: number;
	/** Estimated size of this run's part when it is complete. */
	totalBytes: number;
	/** Of this run, without earlier runs: */
	responses: number;
	generatedTokens: number;
	/** Responses over budget. */
	overBudget: number;
	seconds: number;
}

/** Progress of an evaluation. */
export interface EvaluationProgress {
	/** Responses in the journal, and all of them. */
	responses: number;
	totalResponses: number;
	/** Method of the next response. */
	method: string;
	prompt: string;
	/** Of this run, without earlier runs: */
	newResponses: number;
	seconds: number;
}

/** Progress of the sampling of answers. */
export interface AnswerProgress {
	/** Answers in the file, and all of them. */
	answers: number;
	totalAnswers: number;
	/** Of those in the file. */
	refused: number;
	/** Of this run, without earlier runs: */
	newAnswers: number;
	seconds: number;
}
