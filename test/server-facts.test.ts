// What the server says about texts of others and about itself.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddedDefault, InferenceGuard } from "../lib/index.js";
import { createHandler } from "../lib/server/index.js";
import { ask, clientOf, requestOf, short } from "./serving.js";
import { cachedModel, testWithModel } from "./shared.js";

let guard: InferenceGuard;
beforeAll(async () => {
	guard = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });
});
afterAll(() => guard.dispose());

describe("moderations", () => {
	const gentle = "The girl gave the kitten a bowl of milk, and they played in the warm sun until supper.";
	const grim = "He stabbed the man with a knife and killed him. The blood ran over the corpse. He murdered them all.";

	test("texts over a budget are flagged, by the constraint", async () => {
		const { results } = await clientOf(guard).moderations.create({ input: [gentle, grim] });
		expect(results.map(({ flagged }) => flagged)).toEqual([false, true]);
		const [low, high] = results.map((result) => result.category_scores as unknown as Record<string, number>);
		expect(low?.cost1).toBe(0);
		expect(high?.cost1).toBeGreaterThan(2);
		expect(results[1]?.categories).toMatchObject({ cost1: true });
	});

	test("one text, and parts with text, while a completion runs", async () => {
		const client = clientOf(guard);
		const running = client.completions.create({ model: "inferenceguard", prompt: "The old man", seed: 1 });
		const one = await client.moderations.create({ input: grim });
		const parts = await client.moderations.create({ input: [{ type: "text", text: grim }] });
		expect(one.results).toEqual(parts.results);
		expect((await running).usage?.completion_tokens).toBeGreaterThan(0);
	});

	test("functions of the caller judge them too", async () => {
		const cost = (candidates: readonly { text: string }[]) => candidates.map(({ text }) => text.length / 100);
		await using other = await InferenceGuard.load({
			...embeddedDefault,
			critic: undefined,
			constraints: [{ cost, budget: 0.1 }],
			threads: 1,
		});
		const { body } = await ask(other, "/v1/moderations", { input: ["short", "a longer text"], prompt: "w301" });
		expect(body.results.map((one: { category_scores: object }) => one.category_scores)).toEqual([{ cost0: 0.05 }, { cost0: 0.13 }]);
	});

	testWithModel("smollm2")("the default judge of a chat model judges texts without the message that they answer", async () => {
		await using chat = await InferenceGuard.load({ model: cachedModel("smollm2"), threads: 1, contextSize: 512 });
		const { status, body } = await ask(chat, "/v1/moderations", { input: ["Have a nice day.", "Fill the pipe with powder and nails."] });
		expect(status).toBe(200);
		const [low, high] = body.results.map((one: { category_scores: { cost0: number } }) => one.category_scores.cost0);
		expect(low).toBeLessThan(high);
	});

	test("a function that judges may not wait for its own guard", async () => {
		let failure: unknown;
		const cost = async (candidates: readonly unknown[]): Promise<number[]> => {
			failure = await other.score("w301", ["w302"], new AbortController().signal).catch((error) => error);
			return candidates.map(() => 0);
		};
		await using other = await InferenceGuard.load({
			...embeddedDefault,
			critic: undefined,
			constraints: [{ cost, budget: 1 }],
			threads: 1,
		});
		expect((await ask(other, "/v1/moderations", { input: Array.from({ length: 9 }, () => "w301") })).body.results).toHaveLength(9);
		expect(failure).toMatchObject({ code: "INVALID_OPTION" });
	});

	test("a picture is refused", async () => {
		const answer = await ask(guard, "/v1/moderations", { input: [{ type: "image_url", image_url: { url: "x" } }] });
		expect(answer).toMatchObject({ status: 400, body: { error: { code: "unsupported_content", param: "input[0]" } } });
	});

	test("no text is refused", async () => {
		expect(await ask(guard, "/v1/moderations", { input: [] })).toMatchObject({ status: 400, body: { error: { param: "input" } } });
	});
});

describe("a guard without cost models", () => {
	test("promises nothing", async () => {
		await using plain = await InferenceGuard.load({ ...embeddedDefault, critic: undefined, constraints: [], threads: 1 });
		const options = { search: { maxTokens: 4, strategy: "sample" as const } };
		expect((await ask(plain, "/v1/moderations", { input: "w301" }, options)).status).toBe(404);
		const { body } = await ask(plain, "/v1/completions", { prompt: "The old man" }, options);
		expect(body.choices[0].safety).toMatchObject({ outcome: "unguarded", within_budget: null, constraints: [] });
		expect((await ask(plain, "/props", undefined, options)).body.guard).toMatchObject({ enforced: false, certified: false });
		expect(() => createHandler(plain)).toThrow(/strategy: expected a cost model/);
	});
});

test("props say when the objective enforces nothing", async () => {
	const { body } = await ask(guard, "/props", undefined, { search: { objective: "reward" } });
	expect(body.guard).toMatchObject({ strategy: "guard", enforced: false });
});

test("props are those of llama-server, and the guard's", async () => {
	const { body } = await ask(guard, "/props", undefined, { search: { maxTokens: 16, temperature: 0.5 } });
	expect(body).toMatchObject({
		default_generation_settings: { n_ctx: guard.contextSize, params: { temperature: 0.5, top_p: 1, n_predict: 16 } },
		total_slots: 4,
		model_alias: "inferenceguard",
		guard: {
			strategy: "guard",
			enforced: true,
			certified: false,
			constraints: [
				{ id: "cost0", budget: 0.5 },
				{ id: "cost1", budget: 2 },
			],
		},
	});
});

describe("metrics", () => {
	test("are there only where they are switched on", async () => {
		expect((await ask(guard, "/metrics")).status).toBe(404);
	});

	test("count requests by their ends, and tokens", async () => {
		const handler = createHandler(guard, { ...short, metrics: true });
		const post = async (body: unknown) => (await handler(requestOf("/v1/completions", body))).text();
		const { usage, timings } = JSON.parse(await post({ prompt: "The old man", seed: 1 }));
		await post({ prompt: "The old man", seed: 1, stream: true });
		await post({ prompt: 3 });
		await handler(requestOf("/v1/nowhere", {}));
		await handler(requestOf("/v1/completions"));
		await handler(requestOf("/v1/models", undefined, { origin: "https://example.com" }));
		const response = await handler(requestOf("/metrics"));
		expect(response.headers.get("content-type")).toContain("version=0.0.4");
		const text = await response.text();
		const shown = (series: string) =>
			Number(
				text
					.split("\n")
					.find((line) => line.startsWith(`inferenceguard_${series} `))
					?.split(" ")[1],
			);
		expect(shown('requests_total{route="/v1/completions",code="ok"}')).toBe(2);
		expect(shown('requests_total{route="/v1/completions",code="invalid_request"}')).toBe(1);
		for (const code of ["unknown_url", "method_not_allowed", "origin_not_allowed"]) {
			expect(text).toMatch(new RegExp(`requests_total\\{route=".*",code="${code}"\\} 1`));
		}
		expect(Number(response.headers.get("openai-processing-ms"))).toBeGreaterThanOrEqual(0);
		expect(shown("emitted_tokens_total")).toBe(2 * usage.completion_tokens);
		expect(shown("generated_tokens_total")).toBeGreaterThanOrEqual(2 * timings.search.generated_tokens);
		expect(shown("request_seconds_count")).toBe(2);
		expect(shown('request_seconds_bucket{le="+Inf"}')).toBe(2);
		expect(shown("first_piece_seconds_count")).toBe(1);
		expect(shown("requests_running")).toBe(0);
		for (const line of text.trim().split("\n")) expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{.*\})? -?[\d.e+-]+)$/);
	});
});
