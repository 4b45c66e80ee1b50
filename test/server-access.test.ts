// Who may ask the server, and how much.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { createHandler, type HandlerOptions } from "../lib/server/index.js";
import { answerOf, requestOf } from "./serving.js";

let guard: InferenceGuard;
beforeAll(async () => {
	const logits = [
		[0, 0],
		[0, 0],
	];
	guard = await InferenceGuard.load({ model: { pieces: ["a", "b"], logits }, cost: { tokenCosts: [0, 1] }, budget: 1 });
});
afterAll(() => guard.dispose());

const search = { maxTokens: 2, candidates: 2 };

const get = async (headers: Record<string, string>, options: HandlerOptions, path = "/v1/models") =>
	createHandler(guard, { search, ...options })(requestOf(path, undefined, headers));

const complete = (body: unknown, options: HandlerOptions = {}, headers: Record<string, string> = {}) =>
	answerOf(createHandler(guard, { search, ...options })(requestOf("/v1/completions", body, headers)));

describe("API keys", () => {
	const options = { apiKeys: ["first", "second"] };

	test.each([
		[{ authorization: "Bearer first" }, 200],
		[{ authorization: "bearer second" }, 200],
		[{ "x-api-key": "second" }, 200],
		[{ "api-key": "first" }, 200],
		[{}, 401],
		[{ authorization: "Bearer " }, 401],
		[{ authorization: "Bearer firs" }, 401],
		[{ authorization: "Bearer first2" }, 401],
		[{ authorization: "Basic first" }, 401],
	])("a request with %j is answered with %i", async (headers, status) => {
		expect((await get(headers as Record<string, string>, options)).status).toBe(status);
	});

	test("health needs no key, generating does", async () => {
		expect((await get({}, options, "/health")).status).toBe(200);
		const closed = await complete({ prompt: [0] }, options);
		expect(closed).toMatchObject({ status: 401, body: { error: { code: "invalid_api_key" } } });
		expect(closed.headers.get("www-authenticate")).toBe("Bearer");
		expect((await complete({ prompt: [0] }, options, { authorization: "Bearer first" })).status).toBe(200);
	});

	test("a page may ask beforehand without a key", async () => {
		const request = new Request("http://localhost/v1/models", {
			method: "OPTIONS",
			headers: { origin: "http://localhost:3000", "access-control-request-headers": "authorization" },
		});
		const { status, headers } = await createHandler(guard, options)(request);
		expect(status).toBe(204);
		expect(headers.get("access-control-allow-headers")).toBe("authorization");
	});
});

describe("pages of other sites", () => {
	test.each<[string, HandlerOptions["corsOrigins"], boolean]>([
		["http://localhost:3000", undefined, true],
		["https://127.0.0.1", undefined, true],
		["http://[::1]:5173", undefined, true],
		["https://example.com", undefined, false],
		["http://localhost.example.com", undefined, false],
		["http://127.0.0.1.example.com", undefined, false],
		["null", undefined, false],
		["https://example.com", ["https://example.com"], true],
		["http://localhost:3000", ["https://example.com"], false],
		["http://localhost:3000", ["https://example.com", "localhost"], true],
		["http://localhost:3000", [], false],
	])("a page of %s may ask a server for %j: %s", async (origin, corsOrigins, may) => {
		const { headers, status } = await get({ origin }, { corsOrigins });
		expect(headers.get("access-control-allow-origin")).toBe(may ? origin : null);
		expect(headers.get("access-control-expose-headers")).toContain("x-request-id");
		expect(status).toBe(may ? 200 : 403);
	});

	// A browser sends it without asking beforehand.
	test("a form of another site makes the server do nothing", async () => {
		const headers = { origin: "https://example.com", "content-type": "text/plain" };
		expect(await complete({ prompt: [0] }, {}, headers)).toMatchObject({ status: 403, body: { error: { code: "origin_not_allowed" } } });
	});

	test.each<[string, HandlerOptions["allowedHosts"], number]>([
		["evil.example:8080", [], 403],
		["127.0.0.1.example.com", [], 403],
		["localhost:8080", [], 200],
		["127.0.0.1", [], 200],
		["[::1]:8080", [], 200],
		["guard.example", ["guard.example"], 200],
		["GUARD.example:8080", ["Guard.Example:80"], 200],
		["anything.example", undefined, 200],
	])("a request in the name of %s, of which %j are allowed, is answered with %i", async (host, allowedHosts, status) => {
		const response = await get({ host }, { allowedHosts });
		expect(response.status).toBe(status);
		if (status === 403) expect(await response.json()).toMatchObject({ error: { code: "host_not_allowed" } });
	});
});

describe("limits", () => {
	const tooLarge = { status: 413, body: { error: { code: "request_too_large" } } };

	test("a body that is too long is not read", async () => {
		const body = JSON.stringify({ prompt: [0], user: "x".repeat(1000) });
		expect(await complete(body, { maxBody: 100 })).toMatchObject(tooLarge);
		expect(await complete(body, { maxBody: 100 }, { "content-length": `${body.length}` })).toMatchObject(tooLarge);
		expect((await complete(body, { maxBody: 2000 })).status).toBe(200);
	});

	test("a body that is nested too deeply is refused, also below what JSON of the library may be", async () => {
		const nested = (depth: number) => `{"prompt":[0],"metadata":${"[".repeat(depth)}${"]".repeat(depth)}}`;
		expect((await complete(nested(60))).status).toBe(200);
		expect(await complete(nested(65))).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
	});

	const mixed = Array.from({ length: 400_000 }, (_, i) => (i % 2 ? "" : 1));

	test.each<[string, object]>([
		["/v1/completions", { prompt: mixed }],
		["/v1/chat/completions", { messages: [{ role: "user", content: mixed }] }],
		["/v1/moderations", { input: mixed }],
		["/v1/responses", { input: Array.from({ length: 2049 }, () => ({})) }],
		["/v1/moderations", { input: Array.from({ length: 33 }, () => "x") }],
	])("%s refuses a long list at once", async (path, body) => {
		const request = requestOf(path, body);
		const begun = performance.now();
		const answer = await answerOf(createHandler(guard, { search })(request));
		expect(answer).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
		expect(performance.now() - begun).toBeLessThan(3000); // longer where every element has a problem of its own
	});
});
