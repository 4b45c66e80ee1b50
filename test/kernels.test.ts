// What is compiled into ggml, and the arithmetic on rows of logits, by themselves.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { build } from "../scripts/build.mjs";
import { projectRoot } from "../scripts/tools.mjs";

interface AttentionShape {
	heads: number;
	keyHeads: number;
	keySize: number;
	valueSize: number;
	queries: number;
	cells: number;
	threads: number;
	freshThread: boolean;
}

interface Attention extends AttentionShape {
	q: Float32Array;
	k: Float32Array;
	v: Float32Array;
	/** [query, cell]: a bias, -Infinity for what the query does not see. */
	mask: Float32Array;
}

interface ProductShape {
	type: string;
	columns: number;
	rows: number;
	inputs: number;
	stacks: number;
	threads: number;
	apart: boolean;
}

interface Product {
	/** [stack, input, row] */
	output: Float32Array;
	/** [row, column], as the type keeps them */
	weights: Float32Array;
	buffer: string;
}

let kernels: {
	attend: (shape: AttentionShape, q: Float32Array, k: Float32Array, v: Float32Array, mask: Float32Array) => Float32Array;
	multiply: (shape: ProductShape, weights: Float32Array, inputs: Float32Array) => Product;
	topK: (row: Float32Array, k: number) => Int32Array;
	packsForVnni: boolean;
};

beforeAll(() => {
	const name = "inferenceguard_kernels.node";
	const besideAddon = join(dirname(process.env.INFERENCEGUARD_ADDON ?? ""), name); // as the sanitizers' build has it
	const isBeside = process.env.INFERENCEGUARD_ADDON !== undefined && existsSync(besideAddon);
	if (!isBeside) build({ target: "inferenceguard_kernels" });
	kernels = createRequire(import.meta.url)(isBeside ? besideAddon : join(projectRoot, "build/Release", name));
}, 600_000);

describe("attention", () => {
	const run = (a: Attention) => kernels.attend(a, a.q, a.k, a.v, a.mask);

	/** Cells in stretches, each of which a query sees or not: a prompt that all share, what some share, cells of one alone, cells of nobody. */
	function attentionOf(shape: AttentionShape, seed: number, biased: boolean): Attention {
		const uniform = randomNumbers(seed);
		const random = (n: number) => Math.floor(n * uniform());
		const { heads, keyHeads, keySize, valueSize, queries, cells } = shape;
		const numbers = (n: number) => Float32Array.from({ length: n }, () => (random(257) - 128) / 64); // exact in half precision
		const mask = new Float32Array(queries * cells).fill(Number.NEGATIVE_INFINITY);
		const [k, v] = [numbers(cells * keyHeads * keySize), numbers(cells * keyHeads * valueSize)];
		for (let from = 0; from < cells; ) {
			const to = Math.min(cells, from + 1 + random(random(2) ? 150 : 6));
			const kind = random(4);
			const only = random(queries);
			for (let query = 0; query < queries; query++) {
				const seen = [true, query === only, random(2) === 0, false][kind];
				if (seen) for (let cell = from; cell < to; cell++) mask[query * cells + cell] = biased ? -random(128) / 64 : 0;
			}
			if (kind === 3) {
				k.fill(Number.NaN, from * keyHeads * keySize, to * keyHeads * keySize);
				v.fill(Number.NaN, from * keyHeads * valueSize, to * keyHeads * valueSize);
			}
			from = to;
		}
		return { ...shape, q: numbers(heads * queries * keySize), k, v, mask };
	}

	/** Attention in double precision, [query, head, value size]; 0 for a query that sees nothing. */
	function reference({ heads, keyHeads, keySize, valueSize, queries, cells, q, k, v, mask }: Attention) {
		const out = new Float64Array(queries * heads * valueSize);
		for (let query = 0; query < queries; query++) {
			const seen = Array.from({ length: cells }, (_, cell) => cell).filter((cell) => Number.isFinite(mask[query * cells + cell]!));
			for (let head = 0; head < heads; head++) {
				const keyHead = Math.floor((head * keyHeads) / heads);
				const from = (head * queries + query) * keySize;
				const scores = seen.map((cell) => {
					let product = 0;
					for (let d = 0; d < keySize; d++) product += q[from + d]! * k[(cell * keyHeads + keyHead) * keySize + d]!;
					return product / Math.sqrt(keySize) + mask[query * cells + cell]!;
				});
				const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
				const weights = scores.map((score) => Math.exp(score - largest));
				const sum = weights.reduce((a, b) => a + b, 0);
				const at = (query * heads + head) * valueSize;
				for (const [i, cell] of seen.entries()) {
					for (let d = 0; d < valueSize; d++) out[at + d]! += (weights[i]! / sum) * v[(cell * keyHeads + keyHead) * valueSize + d]!;
				}
			}
		}
		return out;
	}

	/** Largest distance; 1 where a result is no number. */
	function worstError(results: Float32Array, expected: Float64Array) {
		return results.reduce((worst, x, i) => Math.max(worst, Number.isNaN(x) ? 1 : Math.abs(x - expected[i]!)), 0);
	}

	const shapes = fc
		.record({
			keyHeads: fc.constantFrom(1, 2, 3, 8),
			headsPerKey: fc.constantFrom(1, 2, 4, 7, 64),
			sizes: fc.constantFrom(
				{ keySize: 16, valueSize: 16 },
				{ keySize: 40, valueSize: 48 },
				{ keySize: 64, valueSize: 64 },
				{ keySize: 128, valueSize: 128 },
				{ keySize: 64, valueSize: 16 },
				{ keySize: 576, valueSize: 512 },
			),
			queries: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 7, max: 140 })),
			cells: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 201, max: 1500 })),
			threads: fc.integer({ min: 1, max: 4 }),
			freshThread: fc.boolean(),
		})
		.map(({ headsPerKey, sizes, threads, ...shape }) => ({
			...shape,
			...sizes,
			heads: shape.keyHeads * headsPerKey,
			threads: shape.cells < 512 ? threads : Math.min(threads, shape.queries * shape.keyHeads), // more would get ggml's own attention
		}))
		.filter(({ heads, queries, cells, keySize, valueSize }) => heads * queries * cells * (keySize + valueSize) < 2e7);

	test("attention equals that of double precision, for all shapes, cells and biases", () => {
		fc.assert(
			fc.property(shapes, fc.nat(), fc.boolean(), (shape, seed, biased) => {
				const attention = attentionOf(shape, seed, biased);
				const expected = reference(attention);
				expect(worstError(run(attention), expected)).toBeLessThan(5e-5);
			}),
			{ numRuns: 60 },
		);
	});

	test("attention in turns of few queries equals that of double precision", () => {
		const shape = { heads: 1, keyHeads: 1, keySize: 16, valueSize: 16, queries: 64, cells: 40_000, threads: 2, freshThread: true };
		const attention = attentionOf(shape, 1, true);
		expect(worstError(run(attention), reference(attention))).toBeLessThan(5e-5);
	});

	test("attention with scores far apart equals that of double precision", () => {
		fc.assert(
			fc.property(shapes, fc.nat(), fc.constantFrom(4, 16), (shape, seed, scale) => {
				const attention = attentionOf(shape, seed, false);
				attention.q.forEach((x, i) => {
					attention.q[i] = scale * x;
				});
				expect(worstError(run(attention), reference(attention))).toBeLessThan(2e-4);
			}),
			{ numRuns: 30 },
		);
	});

	test("attention of a query has the same bits alone and among other queries", () => {
		fc.assert(
			fc.property(shapes, fc.nat(), fc.boolean(), fc.nat(), (shape, seed, biased, chosen) => {
				const attention = attentionOf(shape, seed, biased);
				const { heads, keyHeads, keySize, valueSize, queries, cells, q, k, v, mask } = attention;
				const query = chosen % queries;
				const seen = Array.from({ length: cells }, (_, cell) => cell).filter((cell) => Number.isFinite(mask[query * cells + cell]!));
				fc.pre(seen.length > 0);
				const rows = (from: Float32Array, width: number, at: number[]) => {
					const out = new Float32Array(at.length * width);
					for (const [i, row] of at.entries()) out.set(from.subarray(row * width, (row + 1) * width), i * width);
					return out;
				};
				const heading = Array.from({ length: heads }, (_, head) => head * queries + query);
				const alone = run({
					...attention,
					queries: 1,
					cells: seen.length,
					threads: 1,
					q: rows(q, keySize, heading),
					k: rows(k, keyHeads * keySize, seen),
					v: rows(v, keyHeads * valueSize, seen),
					mask: Float32Array.from(seen, (cell) => mask[query * cells + cell]!),
				});
				const together = run(attention).subarray(query * heads * valueSize, (query + 1) * heads * valueSize);
				expect(Buffer.from(alone.buffer).equals(Buffer.from(together.slice().buffer))).toBe(true);
			}),
			{ numRuns: 100 },
		);
	});

	test("attention to an overflowed key or value is NaN, and no other query is affected", () => {
		fc.assert(
			fc.property(shapes, fc.nat(), fc.nat(), fc.boolean(), (shape, seed, at, isKey) => {
				const attention = attentionOf(shape, seed, false);
				const { heads, keyHeads, keySize, valueSize, queries, cells, k, v, mask } = attention;
				const cell = at % cells;
				const before = run(attention);
				const [overflowed, size, number] = isKey ? [k, keySize, Number.NaN] : [v, valueSize, Number.POSITIVE_INFINITY];
				for (let head = 0; head < keyHeads; head++) overflowed[(cell * keyHeads + head) * size + (seed % size)] = number;
				const after = run(attention);
				for (let query = 0; query < queries; query++) {
					const [from, to] = [query * heads * valueSize, (query + 1) * heads * valueSize];
					if (Number.isFinite(mask[query * cells + cell]!)) expect(after.subarray(from, to).every(Number.isNaN)).toBe(true);
					else expect(after.subarray(from, to)).toEqual(before.subarray(from, to));
				}
			}),
			{ numRuns: 60 },
		);
	});
});

describe.each(["q8_0", "q4_1", "q5_0", "q5_1"])("products with %s weights", (type) => {
	const shapes = fc.record({
		type: fc.constant(type),
		columns: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 9, max: 70 })).map((blocks) => 32 * blocks),
		rows: fc.oneof(
			fc.integer({ min: 1, max: 6 }).map((pairs) => 32 * pairs),
			fc.integer({ min: 1, max: 200 }),
		),
		inputs: fc.integer({ min: 1, max: 40 }),
		stacks: fc.integer({ min: 1, max: 3 }),
		threads: fc.integer({ min: 1, max: 4 }),
		apart: fc.boolean(),
	});

	function numbersOf({ columns, rows, inputs, stacks }: ProductShape, seed: number) {
		const uniform = randomNumbers(seed);
		const numbers = (n: number, scale: () => number) => Float32Array.from({ length: n }, () => (2 * uniform() - 1) * scale());
		const blocks = Array.from({ length: 7 }, () => 2 ** (8 * uniform() - 4)); // scales differ from block to block
		let at = 0;
		const w = numbers(rows * columns, () => blocks[Math.floor(at++ / 32) % 7]!);
		return { w, x: numbers(stacks * inputs * columns, () => blocks[Math.floor(at++ / 32) % 7]!) };
	}

	const blocksOf = (numbers: Float32Array) =>
		Array.from({ length: numbers.length / 32 }, (_, block) => numbers.subarray(32 * block, 32 * (block + 1)));

	/** What the rounding of inputs to the nearest of 127 steps explains at most for a block, by an input of one. Size and sum of steps are half precision. */
	function explainedBy(weights: Float32Array) {
		const minimum = type.endsWith("_1") ? Math.min(...weights) : 0; // the other types have none
		return weights.reduce((sum, w) => sum + (Math.abs(w) * 0.5) / 127 + (Math.abs(w - minimum) + Math.abs(minimum)) * 2 ** -11, 0);
	}

	/** Largest and mean square distance from double precision, in units of what the rounding of inputs to eight bits explains at most. */
	function distance({ columns, rows }: ProductShape, x: Float32Array, { output, weights }: Product) {
		const ofWeights = Float64Array.from(blocksOf(weights), explainedBy);
		const ofInputs = Float64Array.from(blocksOf(x), (block) => block.reduce((largest, input) => Math.max(largest, Math.abs(input)), 0));
		const blocks = columns / 32;
		let [worst, squares] = [0, 0];
		for (const [at, value] of output.entries()) {
			const row = at % rows;
			const input = Math.floor(at / rows);
			let [expected, explained] = [0, 0];
			for (let i = 0; i < columns; i++) expected += weights[row * columns + i]! * x[input * columns + i]!;
			for (let block = 0; block < blocks; block++) explained += ofWeights[row * blocks + block]! * ofInputs[input * blocks + block]!;
			const error = Math.abs(value - expected) / explained;
			worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error);
			squares += error ** 2;
		}
		return { worst, mean: Math.sqrt(squares / output.length) };
	}

	test("products are exact but for the rounding of their inputs", () => {
		fc.assert(
			fc.property(shapes, fc.nat(), (shape, seed) => {
				const { w, x } = numbersOf(shape, seed);
				const { worst, mean } = distance(shape, x, kernels.multiply(shape, w, x));
				expect(worst).toBeLessThan(1);
				expect(mean).toBeLessThan(0.4);
			}),
			{ numRuns: 50 },
		);
	});

	test("packed products have the same bits alone and with one thread", (context) => {
		const packed = { type, columns: 64, rows: 32, inputs: 1, stacks: 1, threads: 1, apart: false };
		const { buffer } = kernels.multiply(packed, new Float32Array(32 * 64), new Float32Array(64));
		if (!kernels.packsForVnni) return context.skip(`this build keeps such weights in ${buffer}`);
		expect(buffer).toBe("CPU_VNNI");
		fc.assert(
			fc.property(shapes, fc.nat(), fc.nat(), (shape, seed, chosen) => {
				const packedShape = { ...shape, rows: 32 * Math.ceil(shape.rows / 32) };
				const { w, x } = numbersOf(packedShape, seed);
				const { columns, rows, inputs, stacks } = packedShape;
				const input = chosen % (inputs * stacks);
				const own = x.slice(input * columns, (input + 1) * columns);
				const alone = kernels.multiply({ ...packedShape, inputs: 1, stacks: 1, threads: 1, apart: false }, w, own).output;
				expect(kernels.multiply(packedShape, w, x).output.slice(input * rows, (input + 1) * rows)).toEqual(alone);
			}),
			{ numRuns: 50 },
		);
	});
});

test("the largest of a row are those of a sort, the first ones where some are equal", () => {
	const rows = fc.record({
		n: fc.oneof(
			{ weight: 6, arbitrary: fc.integer({ min: 1, max: 200 }) },
			{ weight: 5, arbitrary: fc.integer({ min: 201, max: 5000 }) },
			{ weight: 1, arbitrary: fc.constantFrom(8127, 32000, 50257, 128256, 262144) }, // sorting them takes the time
		),
		share: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
		values: fc.constantFrom(3, 1000, 1e9),
		seed: fc.nat(),
	});
	fc.assert(
		fc.property(rows, ({ n, share, values, seed }) => {
			const uniform = randomNumbers(seed);
			const row = Float32Array.from({ length: n }, () => (uniform() < 0.01 ? Number.NEGATIVE_INFINITY : Math.floor(values * uniform())));
			const k = Math.ceil(share * n);
			const inOrder = Int32Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
			expect(kernels.topK(row, k)).toEqual(inOrder.subarray(0, k));
		}),
		{ numRuns: 60 },
	);
});
