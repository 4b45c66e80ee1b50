import fc from "fast-check";
import { expect, test } from "vitest";
import { randomNumbers } from "../lib/data/random.js";
import { kernels } from "./kernels.js";

interface Shape {
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
	/** [row, column], as q8_0 keeps them */
	weights: Float32Array;
	buffer: string;
}

const multiply: (shape: Shape, weights: Float32Array, inputs: Float32Array) => Product = kernels().multiply;

const shapes = fc.record({
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

function numbersOf({ columns, rows, inputs, stacks }: Shape, seed: number) {
	const uniform = randomNumbers(seed);
	const numbers = (n: number, scale: () => number) => Float32Array.from({ length: n }, () => (2 * uniform() - 1) * scale());
	const blocks = Array.from({ length: 7 }, () => 2 ** (8 * uniform() - 4)); // scales differ from block to block
	let at = 0;
	const w = numbers(rows * columns, () => blocks[Math.floor(at++ / 32) % 7]!);
	return { w, x: numbers(stacks * inputs * columns, () => blocks[Math.floor(at++ / 32) % 7]!) };
}

/** Largest and mean square distance from double precision, in units of what the rounding of inputs to eight bits explains at most. */
function distance({ columns, rows }: Shape, x: Float32Array, { output, weights }: Product) {
	let [worst, squares] = [0, 0];
	for (const [at, value] of output.entries()) {
		const row = at % rows;
		const from = Math.floor(at / rows) * columns;
		let [expected, explained] = [0, 0];
		for (let block = 0; block < columns; block += 32) {
			let [largest, sizes] = [0, 0];
			for (let i = block; i < block + 32; i++) {
				const weight = weights[row * columns + i]!;
				expected += weight * x[from + i]!;
				largest = Math.max(largest, Math.abs(x[from + i]!));
				sizes += Math.abs(weight);
			}
			explained += sizes * largest * (0.5 / 127 + 2 ** -11); // to the nearest of 127 steps, whose size is half precision
		}
		const error = Math.abs(value - expected) / explained;
		worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error);
		squares += error ** 2;
	}
	return { worst, mean: Math.sqrt(squares / output.length) };
}

test("products with q8_0 weights are those of double precision but for the rounding of inputs, whatever the shapes and threads", () => {
	fc.assert(
		fc.property(shapes, fc.nat(), (shape, seed) => {
			const { w, x } = numbersOf(shape, seed);
			const { worst, mean } = distance(shape, x, multiply(shape, w, x));
			expect(worst).toBeLessThan(1);
			expect(mean).toBeLessThan(0.4);
		}),
		{ numRuns: 150 },
	);
});

test("what an input gets is, to the last bit, what it gets alone and with one thread, where weights are packed for VNNI", (context) => {
	const packed = { columns: 64, rows: 32, inputs: 1, stacks: 1, threads: 1, apart: false };
	const { buffer } = multiply(packed, new Float32Array(32 * 64), new Float32Array(64));
	if (buffer !== "CPU_VNNI") return context.skip(`this build keeps such weights in ${buffer}`);
	fc.assert(
		fc.property(shapes, fc.nat(), fc.nat(), (shape, seed, chosen) => {
			const packedShape = { ...shape, rows: 32 * Math.ceil(shape.rows / 32) };
			const { w, x } = numbersOf(packedShape, seed);
			const { columns, rows, inputs, stacks } = packedShape;
			const input = chosen % (inputs * stacks);
			const own = x.slice(input * columns, (input + 1) * columns);
			const alone = multiply({ ...packedShape, inputs: 1, stacks: 1, threads: 1, apart: false }, w, own).output;
			expect(multiply(packedShape, w, x).output.slice(input * rows, (input + 1) * rows)).toEqual(alone);
		}),
		{ numRuns: 100 },
	);
});
