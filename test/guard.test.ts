import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { InferenceGuard, RefusalError, type ScoreFunction } from "../lib/index.js";
import { collectRollouts } from "../lib/training/index.js";
import { built, inChild } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const path = smallModel(folder);
const threads = 1; // tests run beside one another
const cost = { lexicon: ["w300"] };
const prompt = [1, 5];
const long = { prompt, maxTokens: 200, candidates: 64, startCandidates: 64 };
const impossible = { model: { pieces: ["a"].concat("b"), logits: [[0, 0], [0, 0]] }, cost: { tokenCosts: [1, 1] } }; // biome-ignore format: a table

describe("refusals", () => {
	test("refusals are returned, thrown, or replaced by a text", async () => {
		await using guard = await InferenceGuard.load(impossible);
		const options = { prompt: [0], maxTokens: 2, candidates: 2 };
		const refused = await guard.generate(options);
		expect(refused).toMatchObject({
			outcome: "refused",
			finishReason: "safety",
			text: "",
			tokens: [],
			reward: null,
			safety: { cost: 0, z: [0] },
		});
		// the default limit, but for what is too little for another round
		expect(refused.usage.generatedTokens).toBeGreaterThan(16 - options.candidates);
		expect(refused.usage.generatedTokens).toBeLessThanOrEqual(16);
		const thrown = await guard.generate({ ...options, onRefusal: "throw" }).catch((error) => error);
		expect(thrown).toBeInstanceOf(RefusalError);
		expect(thrown).toMatchObject({ code: "REFUSED", reply: { outcome: "refused" } });
		const replaced = guard.stream({ ...options, onRefusal: { text: "I would rather not." } });
		const pieces = [];
		for await (const { text } of replaced) pieces.push(text);
		expect(pieces).toEqual(["I would rather not."]);
		expect(await replaced.reply).toMatchObject({ outcome: "refused", text: "I would rather not." });
	});
});

describe("aborting", () => {
	test("aborting ends a look of the exact critic at more continuations than it can ever see", async () => {
		const model = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]], oracle: true }; // biome-ignore format: a table
		await using guard = await InferenceGuard.load({ model, cost: { tokenCosts: [0, 1] }, budget: 200 });
		const endless = guard.generate({ prompt: [0], maxTokens: 200, signal: AbortSignal.timeout(20) });
		await expect(endless).rejects.toMatchObject({ code: "ABORTED" });
	});

	test("aborting works before the start and during searches that share the model", async () => {
		await using guard = await InferenceGuard.load({ threads, model: path, cost });
		await expect(guard.generate({ ...long, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORTED", name: "AbortError" });
		const reason = new Error("changed my mind");
		const [one, other] = [new AbortController(), new AbortController()];
		const first = guard.generate({ ...long, signal: one.signal });
		const second = guard.generate({ ...long, signal: other.signal });
		const third = guard.generate({ prompt, maxTokens: 4, candidates: 2 });
		first.catch(() => {}); // it may be over before it is waited for
		setTimeout(() => other.abort(reason), 5);
		setTimeout(() => one.abort(reason), 30);
		await expect(second).rejects.toMatchObject({ code: "ABORTED", cause: reason });
		await expect(first).rejects.toMatchObject({ code: "ABORTED", cause: reason });
		expect((await third).tokens).toHaveLength(4);
	});

	test("aborting ends a load", async () => {
		await expect(InferenceGuard.load({ model: path, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORTED" });
		const controller = new AbortController();
		const loading = InferenceGuard.load({ model: path, signal: controller.signal });
		controller.abort();
		await loading.then(
			(guard) => guard.dispose(), // it was faster
			(error) => expect(error).toMatchObject({ code: "ABORTED" }),
		);
	});

	test("leaving the loop of a stream early ends its generation", async () => {
		let goOn = () => {};
		const left = new Promise<void>((resolve) => {
			goOn = resolve;
		});
		const waiting: ScoreFunction = async (candidates) => {
			if (candidates.some(({ text }) => text.length > 50)) await left; // the response is not over before the loop is left
			return candidates.map(() => 0);
		};
		await using guard = await InferenceGuard.load({ threads, model: path, cost: waiting, budget: 0 });
		const stream = guard.stream({ prompt, maxTokens: 200, blockLength: 4, candidates: 1, seed: 1 });
		for await (const _ of stream) break;
		goOn();
		await expect(stream.reply).rejects.toMatchObject({ code: "ABORTED" });
	});
});

test("loading reports its progress up to 1", async () => {
	const shares: number[] = [];
	await using _ = await InferenceGuard.load({ model: path, onLoadProgress: (share) => shares.push(share) });
	expect(shares.at(-1)).toBe(1);
	expect(shares).toEqual([...shares].sort((a, b) => a - b));
});

test("a short generation overtakes a long one that began before it", async () => {
	await using guard = await InferenceGuard.load({ threads, model: path, cost });
	const order: number[] = [];
	const run = (maxTokens: number) => guard.generate({ prompt, maxTokens, candidates: 4 }).then(() => order.push(maxTokens));
	await Promise.all([run(200), run(1)]);
	expect(order).toEqual([1, 200]);
});

test("results do not depend on what ran before", async () => {
	await using guard = await InferenceGuard.load({ model: path, cost, threads });
	const options = { prompt, maxTokens: 16, candidates: 4, seed: 1 };
	const fresh = await guard.generate(options);
	await guard.generate({ prompt: [1, 7, 8, 9], maxTokens: 64, candidates: 32 });
	expect((await guard.generate(options)).text).toBe(fresh.text);
});

describe("dispose", () => {
	test("dispose cancels running generations, is idempotent, and later calls reject", async () => {
		const guard = await InferenceGuard.load({ threads, model: path, cost });
		const running = guard.generate(long);
		const queued = guard.stream(long);
		running.catch(() => {});
		await Promise.all([guard.dispose(), guard.dispose()]);
		await guard.dispose();
		await expect(running).rejects.toMatchObject({ code: "DISPOSED" });
		await expect(queued.reply).rejects.toMatchObject({ code: "DISPOSED" });
		await expect(guard.generate({ prompt })).rejects.toMatchObject({ code: "DISPOSED" });
		await expect(guard.stream({ prompt }).reply).rejects.toMatchObject({ code: "DISPOSED" });
	});

	test("guards do not disturb one another", async () => {
		const [first, second] = await Promise.all([
			InferenceGuard.load({ threads, model: path, cost }),
			InferenceGuard.load({ threads, model: path, cost }),
		]);
		const running = second.generate({ prompt, maxTokens: 64, candidates: 8 });
		await first.dispose();
		expect((await running).tokens.length).toBeGreaterThan(0);
		await second.dispose();
	});
});

describe("in a process of its own", () => {
	const load = `const load = () => InferenceGuard.load({ model: ${JSON.stringify(path)}, cost: ${JSON.stringify(cost)}, threads: 1 });
		const long = ${JSON.stringify(long)};`;

	test.each([
		["exit without dispose", "await load();"],
		["exit after a generation, without dispose", "const guard = await load(); await guard.generate({ ...long, maxTokens: 4 });"],
		...[2, 10, 30].map((ms) => [
			`process.exit() ${ms} ms into a search`,
			`const guard = await load(); guard.generate(long); setTimeout(() => process.exit(0), ${ms});`,
		]),
		[
			"dispose in an exit listener, with a generation queued",
			"const guard = await load(); guard.generate(long); guard.generate(long); process.on('exit', () => guard.dispose()); setTimeout(() => process.exit(0), 20);",
		],
		["process.exit() while loading", "load(); process.exit(0);"],
		[
			"process.exit() while a cost function never settles",
			`const guard = await InferenceGuard.load({ model: ${JSON.stringify(path)}, cost: () => new Promise(() => {}) });
			guard.generate(long); setTimeout(() => process.exit(0), 50);`,
		],
	])("a process ends cleanly: %s", async (_, code) => {
		const { status, signal, stderr } = await inChild(`${load}\n${code}\nconsole.log("end");`);
		expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
	});

	const exits = [
		["process.exit() in an exit listener that comes first", "process.prependListener('exit', () => process.exit(5));", "process.exit(5)", 5],
		["an exit listener that comes first and throws", "process.prependListener('exit', () => { throw 5; });", "process.exit(5)", 5],
		["process.reallyExit()", "", "process.reallyExit(5)", 5],
		["an error that nobody catches", "", "throw new Error('of the application')", 1],
		["an exit listener that removes all others", "process.prependListener('exit', () => process.removeAllListeners('exit'));", "process.exit(5)", 5],
	] as const; // biome-ignore format: a table
	const moments = [2, 25];

	test.each(exits.flatMap(([what, before, ending, status]) => moments.map((ms) => [what, ms, before, ending, status] as const)))(
		"threads end with the process: %s, %i ms into searches",
		async (_, ms, before, ending, expected) => {
			const { status, signal } = await inChild(`${load}
				const guards = await Promise.all([load(), load()]);
				${before}
				for (const guard of guards) for (const seed of [1, 2, 3]) guard.generate({ ...long, seed }).catch(() => {});
				load().catch(() => {});
				setTimeout(() => { ${ending}; }, ${ms});`);
			expect({ status, signal }).toEqual({ status: expected, signal: null });
		},
	);

	test.each([60, 120, 180, 240, 300])("threads end with the process: %i ms into trainings of critics", async (ms) => {
		const rollouts = join(folder, `rollouts-${ms}`);
		const prompts = Array.from({ length: 40 }, (_, i) => [0, 1, i % 2, (i >> 1) % 2]);
		const table = { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }; // biome-ignore format: a table
		const sampling = { prompts, responses: 4, maxTokens: 3, stride: 1 };
		await collectRollouts({ model: table, cost: { tokenCosts: [0, 1] }, budget: 1, ...sampling, out: rollouts });
		const training = { rollouts, out: join(folder, "never.gguf"), width: 8, members: 2, epochs: 1000, threads: 1 };
		const { status, signal } = await inChild(`const { trainCritic } = await import(${built("training/index.js")});
			process.prependListener("exit", () => { throw 5; });
			for (let i = 0; i < 6; i++) trainCritic(${JSON.stringify(training)}).catch(() => {});
			setTimeout(() => process.exit(5), ${ms});`);
		expect({ status, signal }).toEqual({ status: 5, signal: null });
	});

	const workers = `import { Worker } from "node:worker_threads";
		const inWorker = (code) => new Worker(new URL("data:text/javascript," + encodeURIComponent(code)));
		const prelude = ${JSON.stringify(`import { InferenceGuard } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)}; import { parentPort } from "node:worker_threads"; ${load}`)};`;

	test("a worker thread can be terminated during a search", async () => {
		const { status, stdout, stderr } = await inChild(`${workers}
			const worker = inWorker(prelude + "const guard = await load(); guard.generate(long); parentPort.postMessage('searching');");
			await new Promise((resolve) => worker.once("message", resolve));
			await new Promise((resolve) => setTimeout(resolve, 20));
			await worker.terminate();
			console.log("terminated");`);
		expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "terminated\n", stderr: "" });
	});

	test("four worker threads run guards at once", async () => {
		const { status, stdout, stderr } = await inChild(`${workers}
			const work = "const guard = await load(); for (let seed = 0; seed < 5; seed++) await guard.generate({ ...long, candidates: 4, startCandidates: 4, maxTokens: 16, seed }); await guard.dispose();";
			const exits = Array.from({ length: 4 }, () => new Promise((resolve) => inWorker(prelude + work).once("exit", resolve)));
			console.log(JSON.stringify(await Promise.all(exits)));`);
		expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "[0,0,0,0]\n", stderr: "" });
	});

	test("a forgotten guard is collected with its memory", async () => {
		const { status, stdout, stderr } = await inChild(`${load}
			const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
			let collected = 0;
			const registry = new FinalizationRegistry(() => collected++);
			for (let i = 0; i < 10; i++) registry.register(await load(), i);
			for (let i = 0; i < 10; i++) { gc(); await pause(); }
			console.log(collected >= 9);`);
		expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "true\n", stderr: "" });
	});

	test("200 generations leave the memory flat", async () => {
		const { status, stdout, stderr } = await inChild(`${load}
			const guard = await load();
			let base = 0;
			for (let i = 0; i < 200; i++) {
				await guard.generate({ ...long, maxTokens: 32, candidates: 16, startCandidates: 16, seed: i });
				if (i % 10 === 0) gc();
				if (i === 49) base = process.memoryUsage().rss;
			}
			gc();
			console.log((process.memoryUsage().rss - base) / 2 ** 20);`);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(Number(stdout)).toBeLessThanOrEqual(10);
	});
});
