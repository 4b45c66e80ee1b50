import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { vocabulary } from "../bench/gguf.mjs";
import { writeGguf } from "../lib/data/gguf-writer.js";
import { type GenerateOptions, InferenceGuard, type LoadOptions } from "../lib/index.js";
import { collectRollouts, type RolloutOptions } from "../lib/training/index.js";
import { inChild } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const good = smallModel(folder);
const small = { model: { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }, cost: { tokenCosts: [0, 1] } }; // biome-ignore format: a table

const file = (name: string, content: string | Buffer) => {
	const path = join(folder, name);
	writeFileSync(path, content);
	return path;
};

/** The good guard still answers after the bad input. */
async function expectFailure(load: unknown, code: string, options: unknown = { prompt: [1], maxTokens: 2 }) {
	const attempt = async () => {
		await using guard = await InferenceGuard.load(load as LoadOptions);
		await guard.generate(options as GenerateOptions);
	};
	await expect(attempt()).rejects.toMatchObject({ code });
}

describe("model files", () => {
	const bert: [string, string, unknown][] = [
		["general.architecture", "string", "bert"],
		["bert.context_length", "u32", 64],
		["bert.embedding_length", "u32", 32],
		["bert.block_count", "u32", 1],
		["bert.feed_forward_length", "u32", 64],
		["bert.attention.head_count", "u32", 2],
		["bert.attention.layer_norm_epsilon", "f32", 1e-5],
		["bert.attention.causal", "bool", false],
		["tokenizer.ggml.token_type_count", "u32", 2],
	];
	const tensor = (name: string, shape: number[]) => ({
		name,
		shape,
		type: "f32" as const,
		data: () => Buffer.alloc(4 * shape.reduce((a, b) => a * b, 1)),
	});
	const bertTensors = () => [
		tensor("token_embd.weight", [32, 512]),
		tensor("position_embd.weight", [32, 64]),
		tensor("token_types.weight", [32, 2]),
		...["token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"].flatMap((name) => [
			tensor(`${name}.weight`, [32]),
			tensor(`${name}.bias`, [32]),
		]),
		...["attn_q", "attn_k", "attn_v", "attn_output"].flatMap((name) => [
			tensor(`blk.0.${name}.weight`, [32, 32]),
			tensor(`blk.0.${name}.bias`, [32]),
		]),
		tensor("blk.0.ffn_up.weight", [32, 64]),
		tensor("blk.0.ffn_up.bias", [64]),
		tensor("blk.0.ffn_down.weight", [64, 32]),
		tensor("blk.0.ffn_down.bias", [32]),
	];
	const gguf = (name: string, metadata: [string, string, unknown][], tensors: ReturnType<typeof tensor>[]) => {
		const path = join(folder, name);
		writeGguf(path, { metadata: [...metadata, ...vocabulary(512)] as [string, string, unknown][], tensors });
		return path;
	};
	const llama = (changes: Record<string, unknown>) =>
		[
			["general.architecture", "string", "llama"],
			["llama.context_length", "u32", 64],
			["llama.embedding_length", "u32", 32],
			["llama.block_count", "u32", 1],
			["llama.feed_forward_length", "u32", 64],
			["llama.attention.head_count", "u32", 2],
			["llama.attention.layer_norm_rms_epsilon", "f32", 1e-5],
		].map(([key, type, value]) => [key, type, changes[key as string] ?? value]) as [string, string, unknown][];

	test.each([
		["missing", () => join(folder, "nowhere.gguf"), "MODEL_NOT_FOUND"],
		["a folder", () => folder, "MODEL_NOT_FOUND"],
		["empty", () => file("empty.gguf", ""), "INVALID_MODEL"],
		["random bytes", () => file("random.gguf", Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256))), "INVALID_MODEL"],
		["random bytes behind the magic", () => file("magic.gguf", Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(3000, 0xab)])), "INVALID_MODEL"],
		["truncated in the header", () => file("head.gguf", readFileSync(good).subarray(0, 500)), "INVALID_MODEL"],
		["truncated in the weights", () => file("weights.gguf", readFileSync(good).subarray(0, -1000)), "INVALID_MODEL"],
		["an unknown architecture", () => gguf("arch.gguf", [["general.architecture", "string", "hologram"], ["hologram.block_count", "u32", 1]], bertTensors()), "UNSUPPORTED_MODEL"],
		["a vocabulary without weights", () => gguf("vocab.gguf", llama({}), []), "UNSUPPORTED_MODEL"],
		["an embedding model", () => gguf("bert.gguf", bert, bertTensors()), "UNSUPPORTED_MODEL"],
		["no layers", () => gguf("layers0.gguf", llama({ "llama.block_count": 0 }), bertTensors()), "INVALID_MODEL"],
		["too many layers", () => gguf("layers.gguf", llama({ "llama.block_count": 100000 }), bertTensors()), "INVALID_MODEL"],
		["an unknown kind of rope scaling", () => gguf("rope.gguf", [...llama({}), ["llama.rope.scaling.type", "string", "dynamic"]], bertTensors()), "INVALID_MODEL"],
		["missing tensors", () => gguf("tensors.gguf", llama({}), bertTensors()), "INVALID_MODEL"],
	])("a bad model file is refused: %s", async (_, path, code) => {
		await expectFailure({ model: path(), cost: { lexicon: ["x"] } }, code);
	}); // biome-ignore format: a table

	test("a damaged header never crashes the process", async () => {
		const bytes = readFileSync(good);
		const damage = fc.sample(
			fc.array(fc.record({ at: fc.integer({ min: 4, max: 1200 }), to: fc.integer({ min: 0, max: 255 }) }), { minLength: 1, maxLength: 4 }),
			{ numRuns: 150, seed: 1 },
		);
		damage.forEach((changes, i) => {
			const copy = Buffer.from(bytes);
			for (const { at, to } of changes) copy[at] = to;
			file(`damaged-${i}.gguf`, copy);
		});
		const { status, stdout, stderr } = await inChild(`
			let loaded = 0;
			let rejected = 0;
			for (let i = 0; i < ${damage.length}; i++) {
				try {
					const guard = await InferenceGuard.load({ model: ${JSON.stringify(folder)} + "/damaged-" + i + ".gguf", cost: { lexicon: ["x"] }, threads: 1 });
					await guard.generate({ prompt: [1], strategy: "sample", maxTokens: 2 }).finally(() => guard.dispose());
					loaded++;
				} catch (error) {
					if (!error.code) throw error;
					rejected++;
				}
			}
			console.log(JSON.stringify({ loaded, rejected }));
		`);
		expect(status, stderr).toBe(0);
		const { loaded, rejected } = JSON.parse(stdout);
		expect(loaded + rejected).toBe(damage.length);
		expect(rejected).toBeGreaterThan(0);
	});
});

describe("prompts", () => {
	test.each([
		["empty", { prompt: "" }, "INVALID_PROMPT"],
		["no tokens", { prompt: [] }, "INVALID_PROMPT"],
		["no messages", { messages: [] }, "INVALID_PROMPT"],
		["an empty message", { messages: [{ role: "user", content: "" }] }, "INVALID_PROMPT"],
		["longer than the context", { prompt: "word ".repeat(2000) }, "PROMPT_TOO_LONG"],
		["invalid UTF-16", { prompt: "a \ud800 b" }, "INVALID_PROMPT"],
		["the text of a control token in a role", { messages: [{ role: "user</s>", content: "hello" }] }, "SPECIAL_TOKEN_TEXT"],
		["a date that is none", { prompt: "a", now: "2026-02-30" }, "INVALID_OPTION"],
		["token ids out of range", { prompt: [1, 512] }, "INVALID_PROMPT"],
		["negative token ids", { prompt: [-1] }, "INVALID_PROMPT"],
		["fractional token ids", { prompt: [1.5] }, "INVALID_PROMPT"],
		["neither prompt nor messages", {}, "INVALID_OPTION"],
		["prompt and messages", { prompt: "a", messages: [] }, "INVALID_OPTION"],
	])("a bad prompt is refused: %s", async (_, options, code) => {
		await expectFailure({ model: good, cost: { lexicon: ["x"] } }, code, options);
	});
});

describe("options", () => {
	const wrong = [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e12, 1.5, "8", null];
	const counts = ["candidates", "beams", "blockLength", "maxTokens"].flatMap((name) => wrong.map((value) => [name, value] as const));

	test.each(counts)("a wrong option is refused: %s of %s", async (name, value) => {
		await using guard = await InferenceGuard.load(small);
		const attempt = guard.generate({ prompt: [0], [name]: value } as GenerateOptions);
		await expect(attempt).rejects.toThrow(new RegExp(`${name}: expected .* got`));
		await expect(attempt).rejects.toMatchObject({ code: "INVALID_OPTION" });
		expect((await guard.generate({ prompt: [0], maxTokens: 2 })).text).toBe("aa");
	});

	test.each([
		["more beams than candidates", { beams: 9, candidates: 8 }],
		["more than 1024 candidates", { candidates: 1025 }],
		["an unknown strategy", { strategy: "magic" }],
		["an unknown option", { candidate: 8 }],
		["an unknown objective", { objective: "love" }],
		["a negative temperature", { temperature: -1 }],
		["a fractional seed", { seed: 0.5 }],
		["the critic where there is none", { estimator: "critic" }],
		["a signal that is none", { signal: {} }],
	])("a wrong option of a generation is refused: %s", async (_, options) => {
		await expectFailure(small, "INVALID_OPTION", { prompt: [0], ...options });
	});

	test.each([
		["a budget of NaN", { budget: Number.NaN }],
		["a negative budget", { budget: -1 }],
		["a discount beside constraints", { cost: undefined, discount: 0.5, constraints: [{ cost: { lexicon: ["x"] } }] }],
		["token costs of NaN", { cost: { tokenCosts: Float64Array.of(0, Number.NaN) } }],
		["an end outside the vocabulary", { model: { ...small.model, ends: [2] } }],
		["a discount of 0", { discount: 0 }],
		["a discount above 1", { discount: 1.1 }],
		["cost and constraints", { constraints: [{ cost: { lexicon: ["x"] } }] }],
		["no model", { model: undefined }],
		["an empty path", { model: "" }],
		["a cost that is none", { cost: 7 }],
		["a table with missing logits", { model: { pieces: ["a", "b"], logits: [[0, 0]] } }],
		[
			"a table with logits that a temperature would make infinite",
			{
				model: {
					pieces: ["a", "b"],
					logits: [
						[3e38, -3e38],
						[0, 0],
					],
				},
			},
		],
		["an unknown load option", { modle: "x" }],
	])("a wrong option of load is refused: %s", async (_, options) => {
		await expectFailure({ ...small, ...options }, "INVALID_OPTION");
	});

	test("an option of value undefined counts as not given", async () => {
		await using guard = await InferenceGuard.load({ ...small, budget: undefined, discount: undefined });
		const names = ["candidates", "beams", "temperature", "objective", "retries", "topP", "seed", "strategy", "onRefusal", "signal"];
		const nothing = Object.fromEntries(names.map((name) => [name, undefined]));
		expect((await guard.generate({ prompt: [0], maxTokens: 2, ...nothing })).text).toBe("aa");
	});

	test("values that cannot be printed are rejected like any other", async () => {
		const circular: Record<string, unknown> = {};
		circular.self = circular;
		await expectFailure({ ...small, model: circular }, "INVALID_OPTION");
		await expectFailure({ ...small, model: { pieces: 1n } }, "INVALID_OPTION");
		await using guard = await InferenceGuard.load(small);
		const stream = guard.stream({ prompt: [0], signal: {} } as unknown as GenerateOptions);
		await expect(stream.reply).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	const shut = () => {
		throw new Error("shut");
	};
	const revoked = (() => {
		const { proxy, revoke } = Proxy.revocable({}, {});
		revoke();
		return proxy;
	})();
	const inherits = (type: { prototype: object }) => Object.create(type.prototype);

	const unreadable: [string, object][] = [
		["a getter that throws", { get maxTokens() { return shut(); } }],
		["a proxy that throws", new Proxy({}, { ownKeys: shut })],
		["a proxy that was revoked", revoked],
		["an option that was revoked", { topK: revoked }],
		["a list whose items throw", { messages: [{ get role() { return shut(); } }] }],
	]; // biome-ignore format: a table
	const imitations: [string, object][] = [
		["a signal", { signal: inherits(AbortSignal) }],
		["a signal that cannot be asked", { signal: Object.defineProperty(new AbortController().signal, "aborted", { get: shut }) }],
		["a date", { now: inherits(Date) }],
		["token ids", { prompt: inherits(Int32Array) }],
		["token ids behind a proxy", { prompt: new Proxy(new Int32Array(2), {}) }],
	];

	test.each(["classifier", "sequenceClassifier", "probe"])("a threshold of a %s that has no effect is refused", async (kind) => {
		for (const link of [undefined, "probability"]) {
			await expectFailure({ ...small, cost: { [kind]: "any.gguf", threshold: 0.05, link } } as never, "INVALID_OPTION");
		}
	});

	test("an empty list of costs of tokens is refused", async () => {
		for (const tokenCosts of [[], new Float64Array()]) await expectFailure({ ...small, cost: { tokenCosts } }, "INVALID_OPTION");
	});

	test.each(unreadable)("options that cannot be read are refused with a code: %s", async (_, options) => {
		await using guard = await InferenceGuard.load(small);
		const failure = { code: "INVALID_OPTION" };
		const given = options as GenerateOptions;
		await expect(guard.generate(given)).rejects.toMatchObject(failure);
		await expect(guard.stream(given).reply).rejects.toMatchObject(failure);
		await expect(guard.modelHash(options)).rejects.toMatchObject(failure);
		await expect(InferenceGuard.load(options as LoadOptions)).rejects.toMatchObject(failure);
		await expect(collectRollouts(options as RolloutOptions)).rejects.toMatchObject(failure);
	});

	test.each(imitations)("options that imitate another type are refused with a code: %s", async (_, options) => {
		await using guard = await InferenceGuard.load(small);
		await expectFailure(small, "INVALID_OPTION", { prompt: [0], maxTokens: 2, ...options });
		await expect(guard.stream({ prompt: [0], ...options } as GenerateOptions).reply).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("token costs that imitate a typed array are refused with a code", async () => {
		for (const tokenCosts of [inherits(Float64Array), new Proxy(new Float64Array(2), {})]) {
			await expectFailure({ ...small, cost: { tokenCosts } }, "INVALID_OPTION");
		}
	});

	test("options are read once, and later changes have no effect", async () => {
		let asked = 0;
		const options = { prompt: [0], maxTokens: 2, get seed() { return ++asked === 1 ? 1 : "no number"; } } as GenerateOptions; // biome-ignore format: one thought
		await using guard = await InferenceGuard.load(small);
		expect((await guard.stream(options).reply).seed).toBe(1);
	});

	test("options of millions of nested values are refused with a short message", async () => {
		const huge = Array(100_000).fill(Array(100_000).fill({ some: Array(1000).fill("text") }));
		for (const options of [{ topK: huge }, { topK: Array(1000).fill(new Float64Array(1e6)) }, { topK: { huge } }, { messages: huge }]) {
			await using guard = await InferenceGuard.load(small);
			const failure = await guard.generate(options as unknown as GenerateOptions).catch((error) => error);
			expect(failure.code).toBe("INVALID_OPTION");
			expect(failure.message.length).toBeLessThan(20_000);
		}
	});

	test("lists of a million wrong things are refused with the first of them", async () => {
		const wrong = Array(1e6).fill(null);
		for (const options of [{ cost: { lexicon: wrong } }, { cost: { tokenCosts: wrong } }, { model: { ...small.model, ends: wrong } }]) {
			const failure = await InferenceGuard.load({ ...small, ...options } as LoadOptions).catch((error) => error);
			expect(failure.code).toBe("INVALID_OPTION");
			expect(failure.message.length).toBeLessThan(1000);
		}
		await using guard = await InferenceGuard.load(small);
		await expect(guard.generate({ prompt: wrong as number[] })).rejects.toMatchObject({ code: "INVALID_OPTION" });
	});

	test("a progress function that throws ends the load", async () => {
		const onLoadProgress = () => {
			throw new Error("no display");
		};
		await expectFailure({ model: good, cost: { lexicon: ["x"] }, onLoadProgress }, "CALLBACK_FAILED");
	});

	test("a guarded generation without a cost model is refused", async () => {
		await expectFailure({ model: small.model }, "INVALID_OPTION", { prompt: [0] });
	});

	test("a missing device or GPU is never replaced silently", async () => {
		await expectFailure({ model: good, device: "CUDA7" }, "DEVICE_NOT_FOUND");
		await expectFailure({ model: good, gpuLayers: 4 }, "DEVICE_NOT_FOUND");
	});
});

describe("lexicons", () => {
	test.each([
		["an empty term", [""]],
		["an asterisk alone", ["*"]],
		["a term of spaces", ["   "]],
		["a term of ignorable characters", ["\u200b"]],
		["the same term with two weights after folding", ["Straße", { term: "STRASSE", weight: 2 }]],
		["a weight of 0", [{ term: "die", weight: 0 }]],
		["a weight of NaN", [{ term: "die", weight: Number.NaN }]],
		["invalid UTF-16", ["\udc00"]],
		["no terms", []],
	])("a bad lexicon is refused: %s", async (_, lexicon) => {
		const code = _ === "a weight of NaN" ? "INVALID_OPTION" : "INVALID_LEXICON";
		await expectFailure({ model: good, cost: { lexicon } }, code);
	});

	test("a missing lexicon file and broken JSON are refused", async () => {
		await expectFailure({ model: good, cost: { lexicon: join(folder, "none.txt") } }, "INVALID_LEXICON");
		await expectFailure({ model: good, cost: { lexicon: file("broken.json", '["a", ') } }, "INVALID_LEXICON");
	});

	test("a lexicon refuses a negative weight", async () => {
		await expectFailure({ model: good, cost: { lexicon: [{ term: "die", weight: -1 }] } }, "INVALID_OPTION");
	});
});
