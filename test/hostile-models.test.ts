import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { inChild } from "./child.js";
import { type Gguf, putTogether, takeApart, types } from "./fuzz/gguf.mjs";
import { architectureModels } from "./fuzz/targets.mjs";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const sound = takeApart(readFileSync(smallModel(folder, { kvHeads: 2 })));

const withValue =
	(key: string, value: unknown, type: number = types.u32) =>
	({ entries, ...rest }: Gguf): Gguf => ({
		...rest,
		entries: [...entries.filter((entry) => entry.key !== key), { key, type, value }],
	});
const withType =
	(name: RegExp, type: number, bytes: number) =>
	({ tensors, ...rest }: Gguf): Gguf => ({
		...rest,
		tensors: tensors.map((tensor) =>
			name.test(tensor.name) ? { ...tensor, type, data: Buffer.alloc((tensor.data.length / 4) * bytes) } : tensor,
		),
	});
const without =
	(name: string) =>
	({ tensors, ...rest }: Gguf): Gguf => ({ ...rest, tensors: tensors.filter((tensor) => tensor.name !== name) });
const f16 = 1;
const i32 = 26;
const f64 = 28;

const kinds: [what: string, change: (gguf: Gguf) => Gguf, says: RegExp][] = [
	["a norm in half precision", withType(/attn_norm/, f16, 2), /blk\.0\.attn_norm\.weight as f16, which MUL does not take/],
	["a matrix of integers", withType(/blk\.1\.ffn_up/, i32, 4), /blk\.1\.ffn_up\.weight as i32, which MUL_MAT does not take/],
	["embeddings in double precision", withType(/token_embd/, f64, 8), /token_embd\.weight as f64, which GET_ROWS does not take/],
	["heads on heads that do not share them", withValue("llama.attention.head_count_kv", 3), /4 heads of attention on 3/],
	["rotations of an odd number", (gguf) => withValue("llama.attention.head_count", 64)(withValue("llama.attention.head_count_kv", 32)(withValue("llama.rope.dimension_count", 1)(gguf))), /turns 1 of 1/],
	["tensors that are not aligned", withValue("general.alignment", 8), /aligns its tensors to 8 bytes/],
	["a context of 2^31 tokens", withValue("llama.context_length", 2 ** 31), /no valid llama\.context_length/],
	["a length of the wrong type", withValue("llama.context_length", "64", types.string), /llama\.context_length/],
	["experts that are not there", (gguf) => withValue("llama.expert_count", 4)(withValue("llama.expert_used_count", 2)(gguf)), /ffn_gate_inp/],
	["no tokenizer", withValue("tokenizer.ggml.model", "none", types.string), /has none/],
	["BERT's tokenizer on another vocabulary", withValue("tokenizer.ggml.model", "bert", types.string), /vocab/],
	["a tensor that is missing", without("blk.1.attn_q.weight"), /blk\.1\.attn_q\.weight/],
	["an empty tensor", ({ tensors, ...rest }) => ({ ...rest, tensors: [...tensors, { name: "none", type: 0, shape: [0], data: Buffer.alloc(0) }] }), /empty tensor none/],
	["a tensor beyond the end", ({ tensors, ...rest }) => ({ ...rest, tensors: tensors.with(-1, { ...tensors.at(-1)!, data: Buffer.alloc(0) }) }), /truncated/],
]; // biome-ignore format: a table

/** Loads files in one child process and takes a step with each. */
async function outcomes(files: string[]): Promise<{ code?: string; message?: string }[]> {
	const { status, signal, stdout, stderr } = await inChild(`
		const outcomes = [];
		for (const model of ${JSON.stringify(files)}) {
			const work = async () => {
				const guard = await InferenceGuard.load({ model, threads: 1, cost: { lexicon: ["zzz"] } });
				await guard.generate({ prompt: [1, 5], maxTokens: 2 }).finally(() => guard.dispose());
			};
			outcomes.push(await work().then(() => ({}), ({ code, message }) => ({ code, message })));
		}
		process.stdout.write(JSON.stringify(outcomes));`);
	expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
	return JSON.parse(stdout);
}

function written(models: Gguf[], name: string): string[] {
	return models.map((model, i) => {
		const path = join(folder, `${name}-${i}.gguf`);
		writeFileSync(path, putTogether(model));
		return path;
	});
}

describe("model files that llama.cpp would end the process for", () => {
	let found: { code?: string; message?: string }[];
	beforeAll(async () => {
		const changed = written(
			kinds.map(([, change]) => change(sound)),
			"changed",
		);
		found = await outcomes([...changed, ...written([sound], "sound")]);
	});

	test.each(kinds.map(([what, , says], i) => [what, says, i] as const))(
		"a model file that would make llama.cpp end the process is refused: %s",
		(_, says, i) => {
			expect(found[i]?.code).toMatch(/^(INVALID|UNSUPPORTED)_MODEL$/);
			expect(found[i]?.message).toMatch(says);
		},
	);

	test("a sound model file still loads after hostile ones", () => {
		expect(found.at(-1)).toEqual({});
	});
});

test("every architecture of the corpus loads, and fails without one of its matrices", async () => {
	const some = architectureModels().filter((_, i) => i % 12 === 0);
	const sounds = some.map(({ gguf }) => gguf);
	const last = sounds.map(
		({ tensors }) => tensors.findLast(({ name, shape }) => shape.length === 2 && /attn|ssm|ffn|time_mix/.test(name))!.name,
	);
	const dropped = sounds.map((gguf, i) => without(last[i] as string)(gguf));
	const integers = sounds.map((gguf, i) => withType(new RegExp(`^${last[i]}$`), i32, 4)(gguf));
	const found = await outcomes([sounds, dropped, integers].flatMap((models, i) => written(models, `architecture-${i}`)));
	expect(found.slice(0, some.length)).toEqual(some.map(() => ({})));
	for (const { code } of found.slice(some.length)) expect([undefined, "INVALID_MODEL", "UNSUPPORTED_MODEL"]).toContain(code);
	expect(found.slice(some.length).filter(({ code }) => code !== undefined).length).toBeGreaterThan(some.length);
});

test("a text that overflows a tokenizer's regular expression is refused", async () => {
	const tokenizers = ["default", "falcon", "gpt-4o", "deepseek-v3", "tekken"];
	const long = withValue("llama.context_length", 1 << 20);
	const models = tokenizers.map((pre) =>
		[withValue("tokenizer.ggml.model", "gpt2", types.string), withValue("tokenizer.ggml.pre", pre, types.string)].reduce(
			(gguf, change) => change(gguf),
			{
				...long(sound),
				entries: [...long(sound).entries, { key: "tokenizer.ggml.merges", type: types.array, of: types.string, value: ["a b"] }],
			},
		),
	);
	const { status, signal, stdout, stderr } = await inChild(`
		const refused = [];
		for (const model of ${JSON.stringify(written(models, "tokenizer"))}) {
			const guard = await InferenceGuard.load({ model, threads: 1, cost: { lexicon: ["zzz"] }, kvCells: 64 });
			for (const prompt of ["x".repeat(100000), " ".repeat(100000), "字".repeat(100000), "!".repeat(100000), "1".repeat(100000), ("x".repeat(1000) + " ").repeat(40)])
				refused.push(await guard.generate({ prompt, maxTokens: 1 }).then(() => false, ({ code, message }) => code === "INVALID_PROMPT" && /in a row/.test(message)));
			await guard.dispose();
		}
		process.stdout.write(JSON.stringify(refused));`);
	expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
	expect(JSON.parse(stdout)).toEqual(tokenizers.flatMap(() => [true, true, true, true, true, false]));
});
