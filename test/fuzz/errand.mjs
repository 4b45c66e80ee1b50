// A process that is to be ended on the way: does what its argument says, and tells when it begins.
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { evaluate } from "../../dist/evaluation/index.js";
import { InferenceGuard } from "../../dist/index.js";
import { collectRollouts, sampleAnswers, trainCritic } from "../../dist/training/index.js";

const { errand, options, request, ending, milliseconds, listener } = JSON.parse(process.argv[2]);

/** What is done until the process ends. */
const errands = {
	load: async () => {
		for (;;) await (await InferenceGuard.load(options)).dispose();
	},
	"load and forget": async () => {
		for (let i = 0; i < 50; i++) await InferenceGuard.load(options);
		await sleep(1e6);
	},
	generate: async () => {
		const guard = await InferenceGuard.load(options);
		for (let seed = 0; ; seed++) await guard.generate({ ...request, seed });
	},
	"generate many": async () => {
		const guards = await Promise.all([InferenceGuard.load(options), InferenceGuard.load(options)]);
		for (let seed = 0; ; seed++) await Promise.all(guards.map((guard) => guard.generate({ ...request, seed })));
	},
	"ask a function": async () => {
		const cost = (candidates) => candidates.map(() => 0);
		const guard = await InferenceGuard.load({ ...options, cost });
		for (let seed = 0; ; seed++) await guard.generate({ ...request, seed });
	},
	"wait for a function": async () => {
		const guard = await InferenceGuard.load({ ...options, cost: () => new Promise(() => {}) });
		await Promise.race([guard.generate(request), sleep(1e6)]);
	},
	stream: async () => {
		const guard = await InferenceGuard.load(options);
		for (;;) for await (const { text } of guard.stream(request)) if (text === "never") break;
	},
	abort: async () => {
		const guard = await InferenceGuard.load(options);
		for (let i = 0; ; i++) await guard.generate({ ...request, signal: AbortSignal.timeout(i % 7) }).catch(() => {});
	},
	train: async () => {
		for (;;) await trainCritic(options);
	},
	rollouts: () => collectRollouts(options),
	experiment: () => evaluate(options),
	answers: () => sampleAnswers(options),
};

const endings = {
	exit: () => process.exit(5),
	reallyExit: () => process.reallyExit(5),
	"an error": () => {
		throw new Error("of the application");
	},
	"a rejection": () => {
		Promise.reject(new Error("of the application"));
	},
	SIGTERM: () => process.kill(process.pid, "SIGTERM"),
	SIGKILL: () => process.kill(process.pid, "SIGKILL"),
};

const listeners = {
	exits: () => process.exit(5),
	throws: () => {
		throw 5;
	},
	"removes others": () => process.removeAllListeners("exit"),
};

if (listener) process.prependListener("exit", listeners[listener]);
writeSync(1, "begins\n");
if (ending) setTimeout(endings[ending], milliseconds);
await errands[errand]();
