import { createRequire } from "node:module";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { build } from "../scripts/build.mjs";
import { projectRoot } from "../scripts/tools.mjs";

interface Shape {
	heads: number;
	keyHeads: number;
	keySize: number;
	valueSize: number;
	queries: number;
	cells: number;
	threads: number;
}

interface Attention extends Shape {
	q: Float32Array;
	k: Float32Array;
	v: Float32Array;
	/** [query, cell]: a bias, -Infinity for what the query does not see. */
	mask: Float32Array;
}

let attend: (shape: Shape, q: Float32Array, k: Float32Array, v: Float32Array, mask: Float32Array) => Float32Array;

beforeAll(() => {
	const sanitize = process.env.INFERENCEGUARD_ADDON?.includes("build-sanitize") ?? false;
	const out = sanitize ? "build-sanitize" : "build";
	build({ target: "inferenceguard_attention", out, sanitize });
	attend = createRequire(import.meta.url)(join(projectRoot, out, "Release/inferenceguard_attention.node")).attend;
}, 600_000);

const run = (a: Attention) => attend(a, a.q, a.k, a.v, a.mask);

/** Uniform whole numbers below `n`. */
function randomOf(seed: number) {
	let state = seed | 1;
	return (n: number) => {
		state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39;
		return ((state ^ (state >>> 13)) >>> 0) % n;
	};
}

/** Cells in stretches, each of which a query sees or not: a prompt that all share, what some share, cells of one alone, cells of nobody. */
function attentionOf(shape: Shape, seed: number, biased: boolean): Attention {
	const random = randomOf(seed);
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

const shapes = fc
	.record({
		keyHeads: fc.constantFrom(1, 2, 3, 8),
		headsPerKey: fc.constantFrom(1, 2, 4, 7, 64),
		keySize: fc.constantFrom(16, 40, 64, 128),
		valueSize: fc.constantFrom(16, 48, 64, 128),
		queries: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 7, max: 140 })),
		cells: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 201, max: 1500 })),
		threads: fc.integer({ min: 1, max: 4 }),
	})
	.map(({ headsPerKey, threads, ...shape }) => ({
		...shape,
		heads: shape.keyHeads * headsPerKey,
		threads: Math.min(threads, shape.queries * shape.keyHeads), // ggml's own attention splits the cells among more
	}))
	.filter(({ heads, queries, cells, keySize, valueSize }) => heads * queries * cells * (keySize + valueSize) < 2e8);

test("attention is that of double precision, whatever the shapes, the cells that each query sees and the biases", () => {
	fc.assert(
		fc.property(shapes, fc.nat(), fc.boolean(), (shape, seed, biased) => {
			const attention = attentionOf(shape, seed, biased);
			const expected = reference(attention);
			const worst = run(attention).reduce((worst, x, i) => Math.max(worst, Number.isNaN(x) ? 1 : Math.abs(x - expected[i]!)), 0);
			expect(worst).toBeLessThan(5e-5);
		}),
		{ numRuns: 60 },
	);
});

test("what a query gets is, to the last bit, what it gets alone with the cells it sees", () => {
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
		{ numRuns: 150 },
	);
});

test("a value that overflowed reaches only the queries that see it", () => {
	fc.assert(
		fc.property(shapes, fc.nat(), fc.nat(), (shape, seed, at) => {
			const attention = attentionOf(shape, seed, false);
			const { heads, keyHeads, valueSize, queries, cells, v, mask } = attention;
			const cell = at % cells;
			const before = run(attention);
			v.fill(Number.POSITIVE_INFINITY, cell * keyHeads * valueSize, (cell + 1) * keyHeads * valueSize);
			const after = run(attention);
			for (let query = 0; query < queries; query++) {
				const [from, to] = [query * heads * valueSize, (query + 1) * heads * valueSize];
				if (Number.isFinite(mask[query * cells + cell]!)) expect(after.subarray(from, to).every((x) => !Number.isFinite(x))).toBe(true);
				else expect(after.subarray(from, to)).toEqual(before.subarray(from, to));
			}
		}),
		{ numRuns: 60 },
	);
});
