// A model file that is changed while it is mapped ends its guards with a code, never the process.
import { describe, expect, test } from "vitest";
import type { LoadOptions } from "../lib/index.js";
import { inChild } from "./child.js";
import { smallModelParts, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

/** What a child says whose model is changed between two generations, or during one. */
async function changed(
	change: string,
	{ parts = 1, longest = 900, ...options }: Partial<LoadOptions> & { parts?: number; longest?: number } = {},
) {
	const [model = "", last = model] = smallModelParts(folder, { dim: 256, layers: 8, vocab: 4096, context: 1024, parts });
	const [other = ""] = smallModelParts(folder, { seed: 2 });
	const { stdout, status, signal, stderr } = await inChild(`
		import { closeSync, copyFileSync, openSync, readFileSync, renameSync, statSync, truncateSync, utimesSync, writeFileSync, writeSync } from "node:fs";
		const path = ${JSON.stringify(last)};
		const load = (model, options) => InferenceGuard.load({ model, cost: { lexicon: ["w300"] }, threads: 2, ...options });
		const ask = (guard) => guard.generate({ prompt: [1, 301], maxTokens: 24, strategy: "sample", seed: 1 }).then(({ text }) => text, ({ code }) => code);
		const guard = await load(${JSON.stringify(model)}, ${JSON.stringify(options)});
		const beside = await load(${JSON.stringify(other)}, {});
		const before = [await ask(guard), await ask(beside)];
		const running = guard.generate({ prompt: [1, 302], maxTokens: ${longest}, strategy: "sample", seed: 2 }).then(() => "answered", ({ code }) => code);
		await new Promise((resolve) => setTimeout(resolve, 30));
		${change}
		const during = await running;
		const after = [await ask(guard), await ask(beside)];
		await guard.dispose();
		console.log(JSON.stringify({ during, same: after.map((text, i) => text === before[i]), after: after[0] }));`);
	expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
	return JSON.parse(stdout);
}

const flipLastByte = `
	const file = openSync(path, "r+");
	writeSync(file, Uint8Array.of(readFileSync(path).at(-1) ^ 1), 0, 1, statSync(path).size - 1);
	closeSync(file);`;

const changes: [string, string][] = [
	["is cut off to nothing", "truncateSync(path, 0);"],
	["loses its second half", "truncateSync(path, statSync(path).size / 2);"],
	["loses its last page", "truncateSync(path, statSync(path).size - 4096);"],
	["is written anew in place", "writeFileSync(path, readFileSync(path).reverse());"],
	["has one byte changed in place", flipLastByte],
];

describe.skipIf(process.platform === "win32")("a mapped model file", () => {
	test.each(changes)("a mapped model file that %s fails its own guard alone", async (_, change) => {
		const { during, same, after } = await changed(change);
		expect(["answered", "INVALID_MODEL"]).toContain(during); // it may have been over before
		expect({ same, after }).toEqual({ same: [false, true], after: "INVALID_MODEL" });
	});

	test.each(changes)("a mapped model whose second part %s fails its guard too", async (_, change) => {
		expect(await changed(change, { parts: 2 })).toMatchObject({ same: [false, true], after: "INVALID_MODEL" });
	});

	const replacing = `copyFileSync(path, path + ".new"); truncateSync(path + ".new", 4096); renameSync(path + ".new", path);`;
	const emptying = "truncateSync(path, 0);";

	test.each<[string, string, Partial<LoadOptions>]>([
		["is replaced by another one that is renamed over it", replacing, {}],
		["is replaced so while it is kept in memory", replacing, { useMlock: true }],
		["is cut off once it was read into memory", emptying, { useMmap: false }],
		["is cut off once it was read into memory and is kept there", emptying, { useMmap: false, useMlock: true }],
	])("a model file that %s keeps answering", async (_, change, options) => {
		expect(await changed(change, { ...options, longest: 48 })).toMatchObject({ during: "answered", same: [true, true] });
	});
});
