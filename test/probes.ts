import { join } from "node:path";
import { randomNumbers } from "../lib/data/random.js";
import { modelHash } from "../lib/files/fingerprint.js";
import { callAddon } from "../lib/native/addon.js";

export interface Probe {
	path: string;
	layers: number[];
	weights: Float32Array;
	bias: number;
	prior: number;
}

let count = 0;

/** Makes probes of random weights on the means behind some layers, in this folder. */
export const probesIn =
	(folder: string) =>
	async (
		model: string,
		width: number,
		layers: number[],
		{ scale = 1, bias = 0, chat = 0, context = 0, threshold = 0.5 } = {},
	): Promise<Probe> => {
		const random = randomNumbers(7 + layers.length);
		const weights = Float32Array.from({ length: layers.length * width }, () => (scale * (2 * random() - 1)) / Math.sqrt(width));
		const probe = { path: join(folder, `probe-${count++}.gguf`), layers, weights, bias, prior: -0.4 };
		const ofMeans = { prior: probe.prior, layers: Float64Array.from(layers), chat };
		const numbers = { bias, with_context: context, threshold, ...(layers.length > 0 && ofMeans) };
		const size = layers.length > 0 ? weights.length : width;
		const tensor = { name: "weights", shape: [size], values: layers.length > 0 ? weights : new Float32Array(width), half: false };
		const texts = { model_hash: await modelHash(model), data_hash: "" };
		callAddon((native) => native.writeTensors(probe.path, "probe", texts, numbers, [tensor]));
		return probe;
	};
