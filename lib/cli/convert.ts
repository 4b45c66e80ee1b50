import { type ConvertOptions, convertClassifier } from "../convert/convert-classifier.js";

type ConvertFlags = Omit<ConvertOptions, "folder"> & { json?: boolean };

export async function convertCommand(folder: string, { json, ...options }: ConvertFlags): Promise<void> {
	const converted = await convertClassifier({ folder, ...options });
	if (json) {
		console.log(JSON.stringify(converted));
		return;
	}
	const { architecture, labels, multiLabel, contextLength } = converted;
	console.log(`${architecture}, texts of up to ${contextLength} tokens.`);
	console.log(`Labels${multiLabel ? ", independent of one another" : ""}: ${labels.join(", ")}`);
	console.log(`Wrote ${options.out}`);
}
