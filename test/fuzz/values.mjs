// Values that no caller should give, and values of the kinds that a schema of options takes.
import { below, fragments, pick } from "./mutations.mjs";

/** Throws whatever is asked of it. */
const shut = () => {
	throw new Error("shut");
};
const traps = Object.fromEntries(Object.getOwnPropertyNames(Reflect).map((name) => [name, shut]));

function revoked(target) {
	const { proxy, revoke } = Proxy.revocable(target, {});
	revoke();
	return proxy;
}

function nested(depth, wrap) {
	let value = 1;
	for (let i = 0; i < depth; i++) value = wrap(value);
	return value;
}

/** An object that is taken for a promise. */
export const thenable = (then) => ({ then });

function cyclic() {
	const value = { list: [] };
	value.list.push(value);
	return value;
}

const classes = [Int32Array, Float64Array, Date, AbortSignal, Array, Map, Promise, Error];

const numbers = [
	0, -0, 1, -1, 2, 7, 0.5, 0.1 + 0.2, 1e-320, Number.MIN_VALUE, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, 2 ** 53, 2 ** 31, 2 ** 31 - 1, 2 ** 32,
	-(2 ** 31), 2 ** 64, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY,
]; // biome-ignore format: a list

export const texts = [
	"", " ", "a", "\0", "a\0b", "\ud800", "\udc00x", "\ufeff", "\u200b", "\u202e", "e\u0301", "\u{e000}", "\u{10fffd}", "\x1b[2J", "%s%n", "0", "1e9",
	"null", "undefined", "true", "NaN", "constructor", "__proto__", "toString", "hasOwnProperty", "then", "harm", "guard", "best-of-n", "2026-11-28",
	"2026-02-30", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "<0x0A>", "{{ x }}", "{% for x in y %}", "*", "**", "a*", ...fragments,
]; // biome-ignore format: a list

/** Paths at which a reader could wait for ever, or read what is no file. */
export const places = [
	"/dev/null", "/dev/zero", "/dev/stdin", "/dev/urandom", "/proc/self/mem", "/proc/self/maps", "/", ".", "..", "~", "file:///dev/null",
	"https://example.com/x", "x".repeat(5000), `${"a/".repeat(3000)}x`, "nowhere.gguf", "\\\\?\\x",
]; // biome-ignore format: a list

/** Kinds of values, each with how one is made. */
const oddities = [
	(random) => pick(random, numbers),
	(random) => pick(random, numbers),
	(random) => pick(random, texts),
	(random) => pick(random, texts),
	(random) => pick(random, places),
	(random) => pick(random, [undefined, null, true, false, 0n, 10n, -(2n ** 64n), Symbol("s"), Symbol.iterator]),
	(random) =>
		pick(random, [[], {}, [[]], [null], Array(3), Array(1e6), Object.create(null), cyclic(), Object.freeze({}), Object.freeze([])]),
	(random) => pick(random, [{ length: 2 ** 32 }, { length: -1 }, { length: "2", 0: 1, 1: 2 }, thenable(shut), { get length() { return shut(); } }]), // biome-ignore format: a list
	(random) => pick(random, [new String("x"), new Number(1), new Boolean(false), Object(1n), Object(Symbol("s"))]),
	(random) => pick(random, [new Date(), new Date(Number.NaN), new Date(8.64e15), /x/, new Map([[1, 2]]), new Set([1]), new WeakMap()]),
	(random) => pick(random, [new Error("x"), Promise.resolve(1), new Promise(() => {}), globalThis, process, Math, JSON, Reflect]),
	(random) => oddFunction(random),
	(random) => oddFunction(random),
	(random) => oddBytes(random),
	(random) => oddSignal(random),
	(random) => Object.create(pick(random, classes).prototype),
	(random) => pick(random, classes),
	(random) => new Proxy(pick(random, [{}, [], shut, new Date(), new Int32Array(2), new Float64Array(2), new AbortController().signal]), pick(random, [{}, traps])), // biome-ignore format: one thought
	(random) => revoked(pick(random, [{}, [], shut])),
	(random) => nested(pick(random, [10, 500, 20_000]), pick(random, [(value) => [value], (value) => ({ value })])),
	(random) => Array.from({ length: below(random, 4) }, () => oddValue(random)),
	(random) => Object.fromEntries(Array.from({ length: below(random, 4) }, () => [pick(random, texts), oddValue(random)])),
	(random) => Array(pick(random, [1000, 100_000])).fill(oddValue(random)),
];

export const oddValue = (random) => pick(random, oddities)(random);

/** Functions that return, throw or promise something odd, or never end. */
function oddFunction(random) {
	const value = below(random, 4) === 0 ? undefined : pick(random, [0, 1, "x", null, Symbol("s"), [0], [Number.NaN]]);
	return pick(random, [
		() => value,
		async () => value,
		() => {
			throw value;
		},
		async () => {
			throw value;
		},
		() => new Promise(() => {}),
		(all) => Array.from(all ?? [], () => 0),
		class {},
		function* () {
			yield value;
		},
		new Proxy(() => value, {}),
		Function.prototype,
	]);
}

function oddBytes(random) {
	const make = pick(random, [Int32Array, Float64Array, Float32Array, BigInt64Array, Uint8Array]);
	const detached = new make(2);
	structuredClone(detached, { transfer: [detached.buffer] });
	const numbered = new make(3);
	if (make !== BigInt64Array) numbered.set([0, 1, pick(random, numbers)]);
	return pick(random, [detached, numbered, new make(0), new make(1e6), new make(new SharedArrayBuffer(16)), numbered.buffer, new DataView(numbered.buffer)]); // biome-ignore format: a list
}

function oddSignal(random) {
	const controller = new AbortController();
	const after = pick(random, [1, 5, 20]);
	const reason = pick(random, [undefined, null, 0, "x", Symbol("s"), Object.create(null)]);
	return pick(random, [
		() => AbortSignal.abort(reason),
		() => AbortSignal.timeout(after),
		() => AbortSignal.any([AbortSignal.timeout(after), controller.signal]),
		() => {
			setTimeout(() => controller.abort(reason), after);
			return controller.signal;
		},
		() => Object.defineProperty(controller.signal, "aborted", { get: shut }),
		() => Object.defineProperty(AbortSignal.abort(), "reason", { get: shut }),
		() => controller,
	])();
}

/** What a schema that says nothing of itself may stand for. */
const customValues = [() => [0], new Int32Array(2), new Float64Array(4), new Date(0), new AbortController().signal];

const integersOf = (random, low, high) => pick(random, [low, high, low, 1, 2, 3, 8, low - 1, high + 1]);

/** By the type of a schema: a value that it takes, or that lies at a limit of it. */
const plausibles = {
	optional: (random, { innerType }, words) => (below(random, 10) === 0 ? undefined : plausible(random, innerType, words)),
	default: (random, { innerType }, words) => plausible(random, innerType, words),
	nullable: (random, { innerType }, words) => (below(random, 4) === 0 ? null : plausible(random, innerType, words)),
	union: (random, { options }, words) => plausible(random, pick(random, options), words),
	object: (random, { shape }, words) => {
		const entries = Object.entries(shape).map(([name, schema]) => [name, plausible(random, schema, words), schema]);
		const isKept = ([, , schema]) => !schema.safeParse(undefined).success || below(random, 3) === 0;
		return Object.fromEntries(entries.filter(isKept));
	},
	array: (random, { element }, words) =>
		Array.from({ length: pick(random, [0, 1, 1, 2, 4, 4, 40]) }, () => plausible(random, element, words)),
	tuple: (random, { items }, words) => items.map((item) => plausible(random, item, words)),
	enum: (random, { entries }) => pick(random, Object.values(entries)),
	literal: (random, { values }) => pick(random, values),
	number: (random, _, __, { minValue, maxValue }) => {
		const [low, high] = [minValue ?? -10, maxValue ?? 10].map((limit) => (Number.isFinite(limit) ? limit : Math.sign(limit) * 1e9));
		return below(random, 3) > 0 ? integersOf(random, low, high) : pick(random, [low, high, 0, -0, 0.1, 0.5, 0.999, (low + high) / 2]);
	},
	string: (random, _, words) => pick(random, below(random, 4) > 0 ? words : texts),
	boolean: (random) => below(random, 2) === 0,
	null: () => null,
	pipe: (random, { in: given, out }, words) => plausible(random, given._zod.def.type === "transform" ? out : given, words),
	custom: (random, _, __, schema) => {
		const taken = customValues.filter((value) => schema.safeParse(value).success);
		return taken.length > 0 ? pick(random, taken) : oddValue(random);
	},
};

/** A value for a schema, with texts that stand for something where it takes any. */
export const plausible = (random, schema, words) => (plausibles[schema._zod.def.type] ?? oddValue)(random, schema._zod.def, words, schema);

/** The value, or one of its parts, replaced. */
function spoiled(random, value) {
	const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
	if (keys.length === 0 || ArrayBuffer.isView(value) || below(random, 3) === 0) return oddValue(random);
	const copy = Array.isArray(value) ? [...value] : { ...value };
	const key = pick(random, keys);
	copy[key] = spoiled(random, copy[key]);
	return copy;
}

/** Options in a way that objects seldom are given. */
function clothed(random, options) {
	const [name = "x", ...rest] = Object.keys(options);
	return pick(random, [
		() => new Proxy(options, {}),
		() => new Proxy(options, { [pick(random, Object.keys(traps))]: shut }),
		() => Object.create(options),
		() => Object.assign(Object.create(null), options),
		() => Object.freeze(options),
		() => Object.defineProperty({ ...options }, name, { get: shut, enumerable: true }),
		() => Object.defineProperty({ ...options }, pick(random, [name, ...rest]), { get: () => oddValue(random), enumerable: true }),
		() => Object.assign(() => {}, options),
		() => Object.assign([], options),
		() => ({ ...options, [pick(random, texts)]: oddValue(random), [Symbol("s")]: oddValue(random) }),
		() => oddValue(random),
	])();
}

/** Options of a schema: sound ones, some of them replaced. */
export function oddOptions(random, schema, sound, words) {
	const options = { ...sound };
	const { shape } = schema._zod.def.in ?? schema;
	const names = Object.keys(shape);
	for (let n = below(random, 3); n >= 0; n--) {
		const name = pick(random, names);
		const value = plausible(random, shape[name], words);
		options[name] = below(random, 3) > 0 ? value : spoiled(random, value);
	}
	return below(random, 8) === 0 ? clothed(random, options) : options;
}
