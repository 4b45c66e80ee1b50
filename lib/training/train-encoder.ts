// Trains an encoder that judges responses as they grow, with the Python recipe in this package.
import { copyFile, readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { packageFile } from "../base/package-files.js";
import { jsonFile, replaceFiles, textFile } from "../data/output.js";
import { InvalidOptionError } from "../errors.js";
import type { EpochProgress } from "../progress.js";
import type { LabelledText, Trained } from "./cost-model.js";
import { checkEncoderBase } from "./encoder-base.js";
import type { checkTrainCostOptions } from "./options.js";
import { Python } from "./python.js";

const script = (name: string) => packageFile(`models/recipe/harm/${name}`);

/** The modules that the recipe imports, and their packages. */
const packages = { torch: "torch", transformers: "transformers", sklearn: "scikit-learn", gguf: "gguf", safetensors: "safetensors" };

const epochLine = z.object({ epoch: z.int(), epochs: z.int(), trainingLoss: z.number(), validationLoss: z.number() });
const calibrationFile = z.looseObject({ logOdds: z.array(z.number().nullable()) });

const rowLine = ({ context, text, label, split, category }: LabelledText) =>
	`${JSON.stringify({ prompt: context, response: text, label, split, category })}\n`;

/** The epoch that one line of train.py reports; other lines report none. */
function epochOf(line: string): EpochProgress | undefined {
	return line.startsWith('{"epoch"') ? epochLine.parse(JSON.parse(line)) : undefined;
}

/** Trains in a folder that has to stay until the file is written. Errors: those of the base, INVALID_OPTION, PYTHON_FAILED, ABORTED. */
export async function trainEncoder(
	base: string,
	options: ReturnType<typeof checkTrainCostOptions>,
	rows: LabelledText[],
	folder: string,
	signal: AbortSignal,
	onEpoch: (progress: EpochProgress) => void,
): Promise<Trained> {
	const { members, shared, epochs, minutes, seed, threads } = options;
	const { layers } = checkEncoderBase(base);
	if (shared !== undefined && shared > layers) {
		throw new InvalidOptionError(`shared: expected at most the ${layers} layers of the base, got ${shared}`);
	}
	const python = new Python(options.python ?? "python3", threads, signal);
	await python.expectModules(packages);

	const data = join(folder, "rows.jsonl");
	await replaceFiles(textFile(data, rows.map(rowLine).join("")));
	const given = Object.entries({ members, shared, epochs, minutes, seed }).filter(([, value]) => value !== undefined);
	const settings = given.flatMap(([name, value]) => [`--${name}`, String(value)]);
	let passes = 0;
	await python.run([script("train.py"), "--base", base, "--rows", data, "--out", folder, ...settings], (line) => {
		const progress = epochOf(line);
		if (progress === undefined) return;
		passes = progress.epoch;
		onEpoch(progress);
	});
	await python.run([script("calibrate.py"), "--base", base, "--rows", data, "--model", folder]);
	const { logOdds, ...calibration } = calibrationFile.parse(JSON.parse(await readFile(join(folder, "calibration.json"), "utf8")));
	return {
		logOdds: Float64Array.from(logOdds, (value) => value ?? Number.NaN),
		epochs: passes,
		write: async (path, { numbers: { threshold } }) => {
			const described = join(folder, "settings.json");
			await replaceFiles(jsonFile(described, { ...calibration, threshold, base: basename(resolve(base)) }));
			const state = join(folder, "judge.pt");
			const made = join(folder, "judge.gguf");
			await python.run([script("export.py"), "--base", base, "--state", state, "--settings", described, "--out", made]);
			await copyFile(made, path);
			return (await stat(made)).size;
		},
	};
}
