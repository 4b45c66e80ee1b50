import { type ConvertOptions, convertClassifier } from "../convert/convert-classifier.js";
import { say } from "./terminal.js";

type ConvertFlags = Omit<ConvertOptions, "folder"> & { json?: boolean };

export async function convertCommand(folder: string, { json, ...options }: ConvertFlags): Promise<void> {
	const converted = await convertClassifier({ folder, ...options });
	if (json) {
		say(JSON.stringify(converted));
		return;
	}
	const { architecture, labels, multiLabel, contextLength } = converted;
	say(`${architecture}, texts of up to ${contextLength} tokens.`);
	say(`Labels${multiLabel ? ", independent of one another" : ""}: ${labels.join(", ")}`);
	say(`Wrote ${options.out}`);
}
