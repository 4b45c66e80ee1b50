import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { writeRandomLlama } from "../bench/gguf.mjs";

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-test-"));
	afterAll(() => rmSync(folder, { recursive: true, force: true }));
	return folder;
}

/** A llama model of random weights, a few hundred kilobytes. */
export function smallModel(folder: string, options: Parameters<typeof writeRandomLlama>[1] = {}): string {
	const path = join(folder, `model-${Math.random().toString(36).slice(2)}.gguf`);
	writeRandomLlama(path, { dim: 64, layers: 2, heads: 4, ffn: 128, vocab: 512, context: 256, type: "f32", ...options });
	return path;
}
