// Compiled against the package as users install it, without the types of Node.
import {
	embeddedDefault,
	type GenerateOptions,
	InferenceGuard,
	InvalidOptionError,
	listDevices,
	RefusalError,
	type Reply,
} from "inferenceguard";
import { calibrate, evaluate, verify } from "inferenceguard/evaluation";
import { createHandler, listen } from "inferenceguard/server";
import { collectRollouts, serveLabels, trainCost, trainCritic } from "inferenceguard/training";

export async function answer(options: GenerateOptions): Promise<Reply> {
	const guard: InferenceGuard = await InferenceGuard.load(embeddedDefault);
	try {
		const stream = guard.stream({ prompt: "Once" });
		for await (const piece of stream) piece.text.length;
		return await guard.generate(options);
	} catch (error) {
		if (error instanceof RefusalError) return error.reply;
		if (error instanceof InvalidOptionError && InvalidOptionError.isInstance(error)) error.code.length;
		throw error;
	} finally {
		await guard.dispose();
	}
}

// @ts-expect-error: the types are there, and not any
export const wrong: Promise<Reply> = answer({ maxTokens: "many" });

export const functions = [
	calibrate,
	collectRollouts,
	createHandler,
	evaluate,
	listDevices,
	listen,
	serveLabels,
	trainCost,
	trainCritic,
	verify,
];
