// Who runs, who waits and who is sent away; what ends a request before its answer.
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { RateLimitError } from "openai";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { createHandler, type Handler, type HandlerOptions } from "../lib/server/index.js";
import { chatMetadata } from "./listening-model.js";
import { answerOf, clientFor, requestOf } from "./serving.js";
import { smallModel, temporaryFolder } from "./temporary.js";

/** A guard whose searches stand still at their first judgement until the gate is open. */
let guard: InferenceGuard;
let open: () => void;
let gate: Promise<void>;
/** Searches that have come to the gate. */
let arrived = 0;

function shut(): void {
	arrived = 0;
	gate = new Promise((resolve) => {
		open = resolve;
	});
}

beforeAll(async () => {
	const cost = async (candidates: readonly unknown[]) => {
		arrived++;
		await gate;
		return candidates.map(() => 0);
	};
	const model = smallModel(temporaryFolder(), { metadata: chatMetadata });
	guard = await InferenceGuard.load({ model, cost, budget: 1, threads: 1 });
});
beforeEach(shut);
afterAll(() => guard.dispose());

const search = { maxTokens: 4, blockLength: 2, candidates: 1 };
const body = (more: object = {}) => ({ messages: [{ role: "user", content: "w301" }], ...more });

const post = (handler: Handler, more: object = {}, signal?: AbortSignal) =>
	answerOf(handler(requestOf("/v1/chat/completions", body(more), {}, signal)));

async function until(holds: () => boolean): Promise<void> {
	while (!holds()) await sleep(2);
}

const handlerOf = (options: HandlerOptions = {}) => createHandler(guard, { search, ...options });

test("as many requests run as there are slots, others wait, and more are sent away with an estimate", async () => {
	const handler = handlerOf({ parallel: 2, queue: 1 });
	const running = [post(handler), post(handler)];
	await until(() => arrived === 2);
	const waiting = post(handler);
	const refused = await post(handler);
	expect(refused).toMatchObject({ status: 429, body: { error: { code: "queue_full", type: "rate_limit_error" } } });
	expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
	await sleep(50);
	expect(arrived).toBe(2);
	open();
	for (const { status } of await Promise.all([...running, waiting])) expect(status).toBe(200);
});

test("those that wait run in their order", async () => {
	const handler = handlerOf({ parallel: 1 });
	const ended: number[] = [];
	const all = [0, 1, 2, 3].map((i) => post(handler).then(() => ended.push(i)));
	await until(() => arrived === 1);
	open();
	await Promise.all(all);
	expect(ended).toEqual([0, 1, 2, 3]);
});

test("a request does not wait longer than the queue's time", async () => {
	const handler = handlerOf({ parallel: 1, queueTimeout: 0.05 });
	const running = post(handler);
	await until(() => arrived === 1);
	expect(await post(handler)).toMatchObject({ status: 429, body: { error: { code: "queue_timeout" } } });
	open();
	expect((await running).status).toBe(200);
});

test("the official client sees a full queue as its own error", async () => {
	const handler = handlerOf({ parallel: 1, queue: 0 });
	const running = post(handler);
	await until(() => arrived === 1);
	const client = clientFor(handler);
	const asked = client.chat.completions.create({ model: "inferenceguard", messages: [{ role: "user", content: "w301" }] });
	const error = await asked.catch((thrown) => thrown);
	expect(error).toBeInstanceOf(RateLimitError);
	expect(error.code).toBe("queue_full");
	open();
	await running;
});

test("a client that leaves the queue gives its place to others", async () => {
	const handler = handlerOf({ parallel: 1, queue: 1 });
	const running = post(handler);
	await until(() => arrived === 1);
	const leaving = new AbortController();
	const left = post(handler, {}, leaving.signal).catch(() => ({ status: 499 }));
	await sleep(10);
	leaving.abort();
	expect((await left).status).toBe(499);
	const next = post(handler);
	await sleep(10);
	open();
	expect([(await running).status, (await next).status]).toEqual([200, 200]);
});

test.each([false, true])("a client that leaves ends its search, and its slot is free (stream: %s)", async (stream) => {
	const handler = handlerOf({ parallel: 1 });
	const leaving = new AbortController();
	const answer = handler(requestOf("/v1/chat/completions", body({ stream }), {}, leaving.signal));
	await until(() => arrived === 1);
	leaving.abort();
	await answer.then((response) => response.text()).catch(() => {});
	const next = post(handler);
	await until(() => arrived === 2); // it runs although the first one never judged
	open();
	expect((await next).status).toBe(200);
});

test("a reader who leaves a stream ends its search", async () => {
	const handler = handlerOf({ parallel: 1 });
	const response = await handler(requestOf("/v1/chat/completions", body({ stream: true })));
	await until(() => arrived === 1);
	await response.body?.cancel();
	const next = post(handler);
	await until(() => arrived === 2);
	open();
	expect((await next).status).toBe(200);
});

test("a client that leaves after the last byte changes nothing", async () => {
	const handler = handlerOf();
	const leaving = new AbortController();
	open();
	expect((await post(handler, {}, leaving.signal)).status).toBe(200);
	leaving.abort();
	expect((await post(handler)).status).toBe(200);
});

test("the deadline ends a request with 504, and a stream that has begun with the same error and no [DONE]", async () => {
	const late = await post(handlerOf({ requestTimeout: 0.05 }));
	expect(late).toMatchObject({ status: 504, body: { error: { code: "deadline", type: "timeout_error" } } });
	expect(late.headers.get("x-should-retry")).toBe("false");
	const response = await handlerOf({ requestTimeout: 1.5 })(requestOf("/v1/chat/completions", body({ stream: true })));
	expect(response.status).toBe(200);
	const frames = (await response.text()).trim().split("\n\n");
	expect(JSON.parse(frames.at(-1)?.replace("data: ", "") ?? "")).toMatchObject({ error: { code: "deadline" } });
	expect(frames).not.toContain("data: [DONE]");
});

test("a silent stream has comments", async () => {
	const response = await handlerOf({ ping: 0.02 })(requestOf("/v1/chat/completions", body({ stream: true })));
	setTimeout(() => open(), 100);
	const frames = (await response.text()).split("\n\n");
	expect(frames.filter((frame) => frame === ": ping").length).toBeGreaterThan(1);
	expect(frames.at(-2)).toBe("data: [DONE]");
});

test("a draining server refuses new and waiting requests, and waits for the running ones", async () => {
	const handler = handlerOf({ parallel: 1 });
	const running = post(handler);
	await until(() => arrived === 1);
	const waiting = post(handler);
	let isDrained = false;
	const drained = Promise.all([handler.drain(60), handler.drain(60)]).then(() => {
		isDrained = true;
	});
	const unavailable = { status: 503, body: { error: { code: "shutting_down" } } };
	expect(await waiting).toMatchObject(unavailable);
	expect(await post(handler)).toMatchObject(unavailable);
	expect(await answerOf(handler(requestOf("/health")))).toMatchObject(unavailable);
	expect(await answerOf(handler(requestOf("/livez")))).toMatchObject({ status: 200 });
	expect(isDrained).toBe(false);
	open();
	expect((await running).status).toBe(200);
	await drained;
});

test("a reader who takes nothing for a while has left, and a slow one has not", async () => {
	const handler = handlerOf({ parallel: 1, idleTimeout: 0.1, ping: 0.02 });
	const stalled = await handler(requestOf("/v1/chat/completions", body({ stream: true })));
	await until(() => arrived === 1);
	const next = handler(requestOf("/v1/chat/completions", body({ stream: true })));
	await until(() => arrived === 2); // it has the only slot, although nobody cancelled the first one
	await expect(stalled.text()).rejects.toThrow("the reader took nothing for 0.1 s");
	const reader = (await next).body?.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";
	for (let i = 0; i < 10; i++) {
		text += (await reader?.read())?.value;
		await sleep(30);
	}
	open();
	for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) text += part.value;
	expect(text).toMatch(/data: \[DONE\]\n\n$/);
});

test("frames of a stream that has ended are not kept for a reader who takes nothing", async () => {
	open();
	const response = await handlerOf({ idleTimeout: 0.05 })(requestOf("/v1/chat/completions", body({ stream: true })));
	await sleep(500);
	await expect(response.text()).rejects.toThrow("the reader took nothing");
});

test("a draining server ends what runs too long, streams with an error", async () => {
	const handler = handlerOf();
	const response = await handler(requestOf("/v1/chat/completions", body({ stream: true })));
	const plain = post(handler);
	await until(() => arrived === 2);
	await handler.drain(0.01);
	expect(await plain).toMatchObject({ status: 503, body: { error: { code: "shutting_down" } } });
	expect(await response.text()).toMatch(/"code":"shutting_down"\}\}\n\n$/);
});

test("a guard that was disposed is a server that is shutting down", async () => {
	const model = smallModel(temporaryFolder(), { metadata: chatMetadata });
	const other = await InferenceGuard.load({ model, constraints: [], threads: 1 });
	const handler = createHandler(other, { search: { strategy: "sample" } });
	await other.dispose();
	expect(await post(handler)).toMatchObject({ status: 503, body: { error: { code: "shutting_down" } } });
});

test("clients that leave at any time leave nothing behind", async () => {
	open();
	const handler = handlerOf({ parallel: 3, queue: 100, metrics: true });
	const leave = async (stream: boolean, milliseconds: number) => {
		const leaving = new AbortController();
		setTimeout(() => leaving.abort(), milliseconds);
		const response = await handler(requestOf("/v1/chat/completions", body({ stream, max_tokens: 64 }), {}, leaving.signal));
		await response.text().catch(() => {});
	};
	await fc.assert(
		fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.double({ min: 0, max: 40, noNaN: true })), { maxLength: 12 }), async (clients) => {
			await Promise.all(clients.map(([stream, milliseconds]) => leave(stream, milliseconds).catch(() => {})));
			while (!/_running 0$/m.test(await (await handler(requestOf("/metrics"))).text())) await sleep(2);
		}),
		{ numRuns: 20 },
	);
	expect(await (await handler(requestOf("/metrics"))).text()).toMatch(/_waiting 0$/m);
	expect((await post(handler)).status).toBe(200);
});
