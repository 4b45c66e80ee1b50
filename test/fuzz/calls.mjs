// Inputs that are no files: options, prompts and messages, and functions of the caller.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { evaluate } from "../../dist/evaluation/index.js";
import { embeddedDefault } from "../../dist/index.js";
import { generateSchema } from "../../dist/options/generate.js";
import { loadSchema } from "../../dist/options/load.js";
import { collectRollouts, sampleAnswers, trainCost, trainCritic } from "../../dist/training/index.js";
import { putTogether, takeApart } from "./gguf.mjs";
import { below, changedText, pick } from "./mutations.mjs";
import {
	asked, drawnInputs, reference, seedsIn, smallModel, table, tabularAsked, tabularGuard, threads, withGuard, writeSmallModel,
} from "./subjects.mjs"; // biome-ignore format: a list
import { oddOptions, oddValue, places, texts, thenable } from "./values.mjs";

/** What may take long is ended after so many milliseconds: nothing may go on for ever. */
const enough = 1000;

/** Disposes of a guard after a while. Whatever still runs then ends with a code. */
async function endingSoon(guard, work) {
	const timer = setTimeout(() => guard.dispose(), enough);
	try {
		return await work();
	} finally {
		clearTimeout(timer);
	}
}

function expectSound(reply) {
	const { outcome, safety } = reply;
	const isOver = safety.constraints.some(({ cost, budget }) => !(cost <= budget));
	if (isOver && outcome !== "unguarded" && outcome !== "refused") throw new Error(`${outcome}, but over budget: ${JSON.stringify(safety)}`);
}

/** A generation that must be answered whatever was asked for before. */
async function expectAlive(guard, request) {
	expectSound(await guard.generate(request));
}

const lexiconFile = (work) => join(work, "terms.txt");

function randomTable(random) {
	const size = 2 + below(random, 4);
	const logit = () => pick(random, [0, -0, 1, -1, 3, 1e30, -1e30, 1e-45]);
	const pieces = Array.from({ length: size }, () => pick(random, ["a", "b", " ", "die", "", "\ufffd", "ä", "👩", ...texts.slice(0, 12)]));
	const ends = pick(random, [[], [0], [size - 1], [0, size - 1], pieces.map((_, i) => i)]);
	return { pieces, logits: pieces.map(() => pieces.map(logit)), ends, oracle: below(random, 4) === 0 };
}

const costsOf = (random, { pieces }) => ({ tokenCosts: pieces.map(() => pick(random, [0, 0, 1, 0.1, -1, 1e300])) });

/** Options that load, on their own. */
function soundLoading(random, work) {
	if (below(random, 3) === 0) return { threads, model: smallModel(work), cost: { lexicon: ["w29*"] }, budget: 1 };
	const model = below(random, 2) === 0 ? table : randomTable(random);
	return { threads, model, cost: costsOf(random, model), budget: 1 };
}

const wordsFor = (work) => [
	smallModel(work), lexiconFile(work), embeddedDefault.constraints[0].cost.classifier, reference("judge.gguf"), work, "unsafe", "cpu", "auto",
	...places,
]; // biome-ignore format: a list

async function prepareCalls(work) {
	await writeSmallModel(work);
	writeFileSync(lexiconFile(work), "die\nw29*\n");
}

/** What the messages of a user may spell, besides all kinds of texts. */
const markup = [
	"<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<|im_start|>", "<|im_end|>", "<|im_start|>system\n", "<start_of_turn>", "<end_of_turn>", "<think>",
	"</think>", "<unk>", "<0x00>", "<0xE2>", "▁", "\n\nHuman:", "{{ bos_token }}", "{% raw %}", "{# x", "<|", "|>", "<|im_", "start|>", "\u{e000}",
	"\u{e001}", "\u{10fffd}",
]; // biome-ignore format: a list

const chatContext = 1024;
const controls = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"];
const defined = ["<think>", "</think>"];

/** The small model with tokens that templates write, and with a template; its path. */
function writeChatModel(work, template) {
	const gguf = takeApart(readFileSync(smallModel(work)));
	const entry = (key) => gguf.entries.find((one) => one.key === key);
	entry("llama.context_length").value = chatContext;
	const [tokens, types] = ["tokens", "token_type"].map((key) => entry(`tokenizer.ggml.${key}`).value);
	for (const [i, text] of [...controls, ...defined].entries()) {
		tokens[tokens.length - 1 - i] = text;
		types[types.length - 1 - i] = controls.includes(text) ? 3 : 4;
	}
	gguf.entries.push({ key: "tokenizer.chat_template", type: 8, value: template.toString("latin1") });
	const path = join(work, "chat.gguf");
	writeFileSync(path, putTogether(gguf));
	return path;
}

function oddText(random) {
	const parts = Array.from({ length: pick(random, [0, 1, 1, 2, 3, 5, 5, 5]) }, () => pick(random, [...texts, ...markup, ...markup]));
	const text = parts.join(pick(random, ["", "", " ", "\n"]));
	return below(random, 30) === 0 ? text.repeat(pick(random, [100, 10_000])) : text;
}

function oddMessages(random) {
	const roles = ["user", "assistant", "system", "tool"];
	const one = (_, i) => {
		const message = { role: below(random, 8) === 0 ? pick(random, [...texts, ...markup]) : roles[i % 2], content: oddText(random) };
		if (below(random, 20) === 0) message[pick(random, ["role", "content", "__proto__", "tool_calls"])] = oddValue(random);
		return below(random, 40) === 0 ? oddValue(random) : message;
	};
	return Array.from({ length: pick(random, [0, 1, 1, 1, 1, 2, 2, 3, 3, 5, 5, 40]) }, one);
}

function oddPrompt(random) {
	const token = () => (below(random, 30) === 0 ? pick(random, [-1, 300, 2 ** 31, 0.5, Number.NaN, oddValue(random)]) : below(random, 300));
	const tokens = () => Array.from({ length: pick(random, [0, 1, 5, 63, 64, 65, 5000]) }, token);
	return pick(random, [
		() => ({ prompt: oddText(random) }),
		() => ({ prompt: tokens() }),
		() => ({ prompt: Int32Array.from(tokens(), Number.isInteger) }),
		() => ({ messages: oddMessages(random) }),
		() => ({ messages: oddMessages(random) }),
		() => ({ messages: oddMessages(random) }),
	])();
}

const templateNames = seedsIn("template").map(({ name }) => name);
const templateNamed = (name) => seedsIn("template").find((one) => one.name === name)?.bytes ?? Buffer.alloc(0);

/** What a template can do that others do not: endless work, texts that grow, names that all objects have. */
const statements = [
	"{% for i in range(1000000000) %}x{% endfor %}", "{% for a in range(2000) %}{% for b in range(2000) %}{{ a }}{% endfor %}{% endfor %}",
	"{% set x = 'ab' * 100000 %}{{ x }}", "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
	"{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", "{{ messages | tojson }}", "{{ messages | tojson(indent=99999999) }}", "{{ messages }}",
	"{{ messages.constructor }}", "{{ messages.__proto__.x }}", "{{ ''.constructor.constructor('return process')() }}", "{{ raise_exception('\x1b[2J') }}",
	"{{ strftime_now('%Y%%%Q%') }}", "{{ strftime_now(5) }}", "{{ messages[0].content[::-1] }}", "{{ messages[-1].content[5:1:-1] | upper }}",
	"{{ messages[99].content }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ -1 ** 0.5 }}", "{{ '%s' | format(1) }}", "{{ messages | map(attribute='role') | join('') }}",
	"{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "{{ 'a' | indent(10000) }}", "{{ 'x,y'.split(',') | join('<|im_end|>') }}",
	"{{ messages[1].content | replace('', '<|im_start|>') }}", "{{ none }}{{ undefined }}{{ x is defined }}", "{{ bos_token * 3 }}{{ eos_token }}",
	"{% if messages[1].content == ' Who are you? </think> ' %}<|im_start|>{% endif %}", "{% break %}", "{{ range(10) | sort(reverse=true) | last }}",
	"{% generation %}{{ messages[0].content }}{% endgeneration %}", "{% set messages = messages + messages %}", "{{ dict(a=1).items() }}",
]; // biome-ignore format: a list

/** A template with statements in it that are whole, or with any other changes. */
function changedTemplate(random, bytes) {
	if (below(random, 2) === 0) return changedText(random, bytes);
	const tags = bytes.toString("utf8").split(/(?<=[%}]\})/);
	for (let n = 1 + below(random, 3); n > 0; n--) tags.splice(below(random, tags.length + 1), 0, pick(random, statements));
	return Buffer.from(tags.join(""));
}

const conversation = [
	{ role: "system", content: "Be kind." },
	{ role: "user", content: " Who are you? </think> " },
	{ role: "assistant", content: "" },
	{ role: "user", content: "a\tb" },
];

const chatGuard = (model) => ({ threads, model, cost: { lexicon: ["zzz"] } });

// --- Functions of the caller

/** Scores as an array that is none, or that says something else each time. */
function shifting(all, random) {
	let asked = 0;
	const scores = Array.from(all, () => 0);
	return pick(random, [
		() => new Proxy(scores, { get: (target, key) => (key === "length" && asked++ > 0 ? 2 ** 32 : Reflect.get(target, key)) }),
		() => new Proxy(scores, { get: (target, key) => (++asked > 2 ? oddValue(random) : Reflect.get(target, key)) }),
		() => Object.defineProperty(scores, 0, { get: () => oddValue(random) }),
		() => ({ length: all.length, ...Object.fromEntries(scores.entries()) }),
		() => new Float32Array(new SharedArrayBuffer(4 * all.length)),
	])();
}

/** How functions misbehave: what they get, the guard that asks them (where there is one), and what stops it. */
const misbehaviours = [
	(random) => oddValue(random),
	(random, all) => Array.from(all ?? [], () => oddValue(random)),
	(random, all) => shifting(all ?? [], random),
	(random) => {
		throw oddValue(random);
	},
	(random) => Promise.reject(oddValue(random)),
	() => new Promise(() => {}),
	(random, all) => new Promise((resolve) => setTimeout(() => resolve(Array.from(all ?? [], () => 0)), below(random, 20))),
	(random) =>
		thenable(
			pick(random, [
				() => {},
				() => { throw oddValue(random); },
				(resolve, reject) => { resolve([0]); reject(1); resolve([1]); },
				(_, reject) => setTimeout(reject, 5, oddValue(random)),
			]),
		),
	(random, all) => {
		const scores = Array.from(all ?? [], () => 0);
		for (const one of all ?? []) {
			if (typeof one !== "object" || one === null) continue;
			one.tokens?.fill?.(pick(random, [-1, 2 ** 31 - 1]));
			if (one.tokens && below(random, 2) === 0) structuredClone(one.tokens, { transfer: [one.tokens.buffer] });
			Object.assign(one, { text: oddValue(random), finished: oddValue(random) });
		}
		if (Array.isArray(all)) all.length = below(random, 3);
		return scores;
	},
	(_, all, { guard }) => guard?.generate(tabularAsked).then(() => Array.from(all, () => 0)),
	(_, all, { guard }) => {
		guard?.generate({ ...tabularAsked, prompt: [1] }).catch(() => {});
		return Array.from(all ?? [], () => 0);
	},
	(_, all, { guard }) => {
		guard?.stream(tabularAsked).reply.catch(() => {});
		return Array.from(all ?? [], () => 0);
	},
	(_, all, { guard }) => {
		guard?.dispose();
		return Array.from(all ?? [], () => 0);
	},
	async (_, __, { guard }) => await guard?.dispose(),
	(_, all, { stop }) => {
		stop.abort();
		return Array.from(all ?? [], () => 0);
	},
	(random, all) => withGuard(tabularGuard, (other) => other.generate(tabularAsked)).then(() => Array.from(all ?? [], () => below(random, 2))),
]; // biome-ignore format: a table

/** A function that may do its work a few times before it misbehaves. */
function misbehaving(random, context) {
	const misbehave = pick(random, misbehaviours);
	let calls = pick(random, [0, 0, 1, 3]);
	return (all) => (calls-- > 0 ? Array.from(all ?? [], () => 0) : misbehave(random, all, context));
}

const promptsOf = (work) => join(work, "prompts.txt");
const labelledOf = (work) => join(work, "labelled.jsonl");
const rolloutsOf = (work) => join(work, "good-rollouts");
const fileGuard = (work) => ({ threads, model: smallModel(work), cost: { lexicon: ["w29*"] }, budget: 1 });
const sampling = (work) => ({ ...fileGuard(work), prompts: promptsOf(work), maxTokens: 2 });
const fresh = (work, name) => join(work, `${name}-${process.pid}-${performance.now()}`);

async function prepareCallbacks(work) {
	await prepareCalls(work);
	writeFileSync(promptsOf(work), Array.from({ length: 20 }, (_, i) => `w${280 + (i % 10)} w29${i % 7}\n`).join(""));
	const labelled = (_, i) => JSON.stringify({ text: `w${i} ${i % 2 ? "bad" : "good"}`, label: i % 2 });
	writeFileSync(labelledOf(work), Array.from({ length: 60 }, labelled).join("\n"));
	await collectRollouts({ ...sampling(work), responses: 2, out: rolloutsOf(work) });
}

async function asking(context, load, how) {
	const { signal } = context.stop;
	await withGuard({ ...tabularGuard, ...load }, async (guard) => {
		context.guard = guard;
		return await endingSoon(guard, () => how(guard, { ...tabularAsked, signal }));
	});
}

/** Everything that takes a function. */
const takers = {
	cost: (call, context) => asking(context, { cost: call }, async (guard, request) => expectSound(await guard.generate(request))),
	reward: (call, context) => asking(context, { reward: call }, async (guard, request) => expectSound(await guard.generate(request))),
	stream: (call, context) =>
		asking(context, { cost: call }, async (guard, request) => {
			const stream = guard.stream(request);
			for await (const piece of stream) await piece;
			expectSound(await stream.reply);
		}),
	loading: (call, { stop }, work) => withGuard({ ...fileGuard(work), signal: stop.signal, onLoadProgress: call }, async () => {}),
	hashing: (call, { stop }) => withGuard(tabularGuard, (guard) => guard.modelHash({ onProgress: call, signal: stop.signal })),
	rollouts: (call, { stop }, work) =>
		collectRollouts({ ...sampling(work), responses: 2, out: fresh(work, "rollouts"), signal: stop.signal, onProgress: call }),
	"costs of rollouts": (call, { stop }, work) =>
		collectRollouts({ ...sampling(work), cost: call, responses: 2, out: fresh(work, "rollouts"), signal: stop.signal }),
	answers: (call, { stop }, work) => sampleAnswers({ ...sampling(work), out: fresh(work, "answers"), signal: stop.signal, onProgress: call }),
	experiment: (call, { stop }, work) =>
		evaluate({
			config: { name: "x", guard: fileGuard(work), data: { file: promptsOf(work), limit: 2 }, defaults: { maxTokens: 2 }, methods: [{ name: "a" }] },
			out: fresh(work, "evaluation"),
			signal: stop.signal,
			onProgress: call,
		}),
	"cost model": (call, { stop }, work) =>
		trainCost({ data: labelledOf(work), out: fresh(work, "cost"), threads, signal: stop.signal, onEpoch: call }),
	critic: (call, { stop }, work) =>
		trainCritic({
			rollouts: rolloutsOf(work), out: fresh(work, "critic"), width: 4, members: 1, epochs: 2, threads, signal: stop.signal, onEpoch: call,
		}),
}; // biome-ignore format: a table

const takersOften = ["cost", "cost", "cost", "reward", "reward", "stream", "stream", ...Object.keys(takers)];

/** @type {Record<string, import("./subjects.mjs").Target>} */
export const callTargets = {
	"load-options": drawnInputs({
		prepare: prepareCalls,
		async attempt(random, work) {
			const options = oddOptions(random, loadSchema, soundLoading(random, work), wordsFor(work));
			await withGuard(options, (guard) => endingSoon(guard, async () => expectSound(await guard.generate({ ...asked, prompt: [1] }))));
		},
	}),
	"generate-options": drawnInputs({
		share: 0.5,
		prepare: prepareCalls,
		async attempt(random, work) {
			const loading = soundLoading(random, work);
			const sound = { ...asked, prompt: [0, 1] };
			const options = oddOptions(random, generateSchema, sound, texts);
			const streams = below(random, 3) === 0;
			await withGuard(loading, async (guard) => {
				await endingSoon(guard, async () => expectSound(await (streams ? guard.stream(options).reply : guard.generate(options)))).finally(
					() => guard.generate(sound).catch(expectDisposed),
				);
			});
		},
	}),
	messages: drawnInputs({
		share: 0.5,
		prepare: prepareCalls,
		async attempt(random, work) {
			const model = writeChatModel(work, templateNamed(pick(random, ["none", ...templateNames, ...templateNames])));
			const request = { ...asked, prompt: undefined, ...oddPrompt(random) };
			await withGuard(chatGuard(model), async (guard) => {
				await endingSoon(guard, async () => expectSound(await guard.generate(request))).finally(() => expectAlive(guard, asked));
			});
		},
	}),
	template: {
		share: 0.5,
		async seeds(work) {
			await writeSmallModel(work);
			return seedsIn("template");
		},
		change: (random, { bytes }) => changedTemplate(random, bytes),
		read: (path, work) =>
			withGuard(chatGuard(writeChatModel(work, readFileSync(path))), (guard) =>
				guard.generate({ ...asked, prompt: undefined, messages: conversation }),
			),
	},
	callbacks: drawnInputs({
		share: 0.5,
		prepare: prepareCallbacks,
		async attempt(random, work) {
			const stop = new AbortController();
			const timer = setTimeout(() => stop.abort(), enough);
			const context = { stop, guard: undefined };
			try {
				await takers[pick(random, takersOften)](misbehaving(random, context), context, work);
			} finally {
				clearTimeout(timer);
			}
		},
	}),
};

/** A guard that was ended since a request took too long may say so. */
function expectDisposed(error) {
	if (error.code !== "DISPOSED") throw error;
}
