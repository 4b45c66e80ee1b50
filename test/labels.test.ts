import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LabelOptions, type LabelServer, serveLabels } from "../lib/training/index.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);

const row = (id: string, prompt: string, response: string) => ({
	id,
	prompt,
	response,
	model: "secret-model",
	method: "secret-method",
	seed: 987654321,
	outcome: response === "" ? "refused" : "secret-outcome",
});
const rows = [
	row("1/plain", "Hello", "Good day."),
	row("1/guard", "Hello", "Good day. "),
	row("2/plain", "Hello", "Go away."),
	row("2/guard", "Bye", "Good day."),
	row("3/plain", "Who?", "Nobody."),
	row("3/guard", "Who?", ""),
];
let count = 0;
/** A new file of answers, so that no test sees the labels of another. */
function answersFile(all: object[] = rows): string {
	const path = file(`answers-${count++}.jsonl`);
	writeFileSync(path, all.map((one) => `${JSON.stringify(one)}\n`).join(""));
	return path;
}
const serve = (answers: string, more: Partial<LabelOptions> = {}) => serveLabels({ answers, ...more });
const linesOf = (path: string) =>
	readFileSync(path, "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));

interface Asked {
	method?: string;
	headers?: Record<string, string>;
	body?: string;
}

/** Asks as no browser would: with any header. */
function ask(url: string, { method = "GET", headers = {}, body = "" }: Asked = {}): Promise<{ status: number; text: string }> {
	return new Promise((resolve, reject) => {
		const asked = request(url, { method, headers }, (response) => {
			let text = "";
			response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
			response.on("end", () => resolve({ status: response.statusCode!, text }));
		});
		asked.on("error", reject);
		asked.end(body);
	});
}

function post({ url }: LabelServer, message: unknown, headers: Record<string, string> = {}) {
	const own = { "Content-Type": "application/json", Origin: new URL(url).origin };
	return ask(`${url}labels`, { method: "POST", headers: { ...own, ...headers }, body: JSON.stringify(message) });
}

interface PageData {
	answers: { prompt: string; response: string }[];
	labelled: number[];
}

async function dataOf({ url }: LabelServer): Promise<PageData> {
	const { status, text } = await ask(url);
	expect(status).toBe(200);
	return JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(text)![1]!);
}

describe("a page of answers", () => {
	test("a page of answers shows each different answer once, without its origin", async () => {
		const answers = answersFile();
		await using server = await serve(answers);
		const data = await dataOf(server);
		expect(data.answers.map(({ prompt, response }) => `${prompt} ${response}`).sort()).toEqual([
			"Bye Good day.",
			"Hello Go away.",
			"Hello Good day.",
			"Who? Nobody.",
		]);
		expect([server.answers, server.labelled]).toEqual([4, 0]);
		const { text } = await ask(server.url);
		for (const secret of ["secret", "987654321", "plain", "guard", "refused"]) expect(text).not.toContain(secret);
		await using other = await serve(answersFile([...rows].reverse()), { reader: "anna" });
		expect((await dataOf(other)).answers).toEqual(data.answers);
	});

	test("a page of answers appends every label at once, can undo one, and resumes", async () => {
		const answers = answersFile();
		const out = answers.replace(".jsonl", ".labels.jsonl");
		const first = await serve(answers, { categories: ["rude", "other"] });
		expect(first.out).toBe(out);
		const shown = (await dataOf(first)).answers;
		const numberOf = (response: string) => shown.findIndex((answer) => answer.response === response);
		expect(await post(first, { answer: numberOf("Go away."), label: "unsafe", category: "rude" })).toMatchObject({ status: 204 });
		expect(linesOf(out)).toEqual([{ id: "2/plain", label: "unsafe", category: "rude" }]);
		await post(first, { answer: numberOf("Nobody."), label: "safe" });
		await post(first, { answer: numberOf("Nobody."), label: null });
		await post(first, { answer: numberOf("Nobody."), label: "undecided" });
		await post(first, { answer: numberOf("Go away."), label: "safe" });
		expect(linesOf(out).slice(1)).toEqual([
			{ id: "3/plain", label: "safe" },
			{ id: "3/plain", label: null },
			{ id: "3/plain", label: "undecided" },
			{ id: "2/plain", label: "safe" },
		]);
		expect(first.labelled).toBe(2);
		await first.close();
		appendFileSync(out, '{"id":"1/pl'); // a killed process may leave this
		await using second = await serve(answers);
		expect((await dataOf(second)).labelled).toEqual([numberOf("Nobody."), numberOf("Go away.")]);
		await post(second, { answer: 0, label: "safe" });
		expect(linesOf(out)).toHaveLength(6);
	});

	test("a page of answers shows later answers beside the labelled ones", async () => {
		const answers = answersFile(rows.slice(0, 3));
		const first = await serve(answers);
		await post(first, { answer: 0, label: "safe" });
		const [labelled] = (await dataOf(first)).answers;
		await first.close();
		writeFileSync(answers, rows.map((one) => `${JSON.stringify(one)}\n`).join(""));
		await using second = await serve(answers);
		const data = await dataOf(second);
		expect(data.answers).toHaveLength(4);
		expect(data.labelled.map((number) => data.answers[number])).toEqual([labelled]);
	});

	test("two readers have files of their own, and one file has one page", async () => {
		const answers = answersFile();
		await using first = await serve(answers, { reader: "anna" });
		await using second = await serve(answers, { reader: "ben" });
		await post(first, { answer: 0, label: "safe" });
		expect((await dataOf(second)).labelled).toEqual([]);
		expect([first.out, second.out].map((path) => path.slice(folder.length + 1))).toEqual([
			expect.stringMatching(/\.labels\.anna\.jsonl$/),
			expect.stringMatching(/\.labels\.ben\.jsonl$/),
		]);
		await expect(serve(answers, { reader: "anna" })).rejects.toMatchObject({
			code: "INVALID_DATA",
			message: expect.stringContaining("writes it"),
		});
		await first.close();
		await (await serve(answers, { reader: "anna" })).close();
	});

	test("a page of answers reads other files with prompt and response", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.record({ prompt: fc.string({ unit: "binary" }), response: fc.string({ unit: "binary" }) })),
				async (all) => {
					const answers = answersFile([{ prompt: "one", response: "at least" }, ...all]);
					await using server = await serve(answers);
					const trimmed = all.map(({ prompt, response }) => [prompt.toWellFormed().trim(), response.toWellFormed().trim()]);
					const wanted = new Set(
						[["one", "at least"], ...trimmed].filter(([, response]) => response !== "").map((pair) => JSON.stringify(pair)),
					);
					const data = await dataOf(server);
					expect(new Set(data.answers.map(({ prompt, response }) => JSON.stringify([prompt, response])))).toEqual(wanted);
					expect(data.answers).toHaveLength(wanted.size);
				},
			),
			{ numRuns: 25 },
		);
	});
});

describe("only the page itself is answered", () => {
	test("the server answers under its address, its name and its token only", async () => {
		await using server = await serve(answersFile());
		const { origin, port, pathname } = new URL(server.url);
		expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[\w-]{22}\/$/);
		const refused: [number, string, Asked][] = [
			[404, `${origin}/`, {}],
			[404, `${origin}/labels`, { method: "POST" }],
			[404, `${origin}/${"x".repeat(22)}/`, {}],
			[404, `${server.url}../`, {}],
			[404, `${server.url}data`, {}],
			[404, server.url, { method: "DELETE" }],
			[404, `${server.url}labels`, {}],
			[403, server.url, { headers: { Host: `localhost:${port}` } }],
			[403, server.url, { headers: { Host: `evil.example:${port}` } }],
			[403, server.url, { headers: { Host: "127.0.0.1" } }],
		];
		for (const [status, url, asked] of refused) expect(await ask(url, asked), JSON.stringify([url, asked])).toMatchObject({ status });
		await using other = await serve(answersFile());
		expect(new URL(other.url).pathname).not.toBe(pathname);
	});

	test("another site or form cannot label", async () => {
		await using server = await serve(answersFile(), { categories: ["rude"] });
		const good = { answer: 0, label: "safe" };
		const refused: [number, unknown, Record<string, string>?][] = [
			[403, good, { Origin: "http://evil.example" }],
			[403, good, { Origin: "null" }],
			[403, good, { Origin: "http://localhost" }],
			[403, good, { Host: "evil.example" }],
			[415, good, { "Content-Type": "text/plain" }],
			[415, good, { "Content-Type": "application/x-www-form-urlencoded" }],
			[413, { ...good, label: "x".repeat(20_000) }],
			[400, { ...good, answer: 4 }],
			[400, { ...good, answer: -1 }],
			[400, { ...good, answer: 0.5 }],
			[400, { ...good, answer: "0" }],
			[400, { ...good, label: "fine" }],
			[400, { ...good, label: "unsafe" }],
			[400, { ...good, category: "rude" }],
			[400, { ...good, label: "unsafe", category: "other" }],
			[400, { ...good, label: null, category: "rude" }],
			[400, { ...good, id: "1/plain" }],
			[400, null],
			[400, [good]],
		];
		for (const [status, message, headers] of refused) {
			expect(await post(server, message, headers), JSON.stringify([message, headers])).toMatchObject({ status });
		}
		const noOrigin = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(good) };
		expect(await ask(`${server.url}labels`, noOrigin)).toMatchObject({ status: 403 });
		const noJson = { method: "POST", headers: { "Content-Type": "application/json", Origin: new URL(server.url).origin }, body: "{" };
		expect(await ask(`${server.url}labels`, noJson)).toMatchObject({ status: 400 });
		expect(readFileSync(server.out, "utf8")).toBe("");
		expect(await post(server, good)).toMatchObject({ status: 204 });
	});
});

describe("wrong input is told by code, and changes nothing", () => {
	test.each<[string, Partial<LabelOptions>, string]>([
		["no labels", { labels: [] }, "at least one label"],
		["a label without a name", { labels: ["s="] }, "the name of a label"],
		["a key that is no letter", { labels: ["1=safe"] }, "one letter as a key"],
		["a label twice", { labels: ["safe", "x=safe"] }, "safe twice"],
		["a key twice", { labels: ["x=safe", "X=unsafe"] }, "x twice"],
		["a label whose letters are taken", { labels: ["s=safe", "ss"] }, "a key for ss"],
		["categories without unsafe", { labels: ["good", "bad"], categories: ["rude"] }, "a label named unsafe"],
		["ten categories", { categories: Array.from({ length: 10 }, (_, i) => `c${i}`) }, "at most 9"],
		["a category twice", { categories: ["a", "a"] }, "a twice"],
		["a reader that is a path", { reader: "../x" }, "letters, digits"],
		["an unknown option", { port: 1 } as object, "no such option"],
	])("a wrong option of serveLabels is refused: %s", async (_, more, message) => {
		const answers = answersFile();
		await expect(serve(answers, more)).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringContaining(message) });
		expect(existsSync(answers.replace(".jsonl", ".labels.jsonl"))).toBe(false);
	});

	test("answers that cannot be labelled are refused", async () => {
		for (const [all, message] of [
			[[rows[5]!], "with a response"],
			[[{ prompt: "a" }], "response"],
			[[{ prompt: 1, response: "b" }], "expected text in the column prompt of row 1"],
			[[rows[0]!, { ...rows[0], response: "another" }], '"1/plain" twice'],
			[[{ ...rows[0], id: {} }], "the id of row 1"],
		] as const) {
			await expect(serve(answersFile([...all]))).rejects.toMatchObject({ code: "INVALID_DATA", message: expect.stringContaining(message) });
		}
		await expect(serve(file("none.jsonl"))).rejects.toMatchObject({ code: "INVALID_DATA" });
	});

	test("a file of other labels, or of something else, is refused", async () => {
		const answers = answersFile();
		for (const [content, message] of [
			['{"id":"9/plain","label":"safe"}\n', '"9/plain"'],
			['{"id":"1/plain"}\n', "line 1"],
			['{"id":"1/plain","label":"safe"}\nnothing\n', "line 2"],
			["a text", "lines of JSON"],
		] as const) {
			writeFileSync(file("other.jsonl"), content);
			await expect(serve(answers, { out: file("other.jsonl") })).rejects.toMatchObject({
				code: "INVALID_DATA",
				message: expect.stringContaining(message),
			});
			expect(readFileSync(file("other.jsonl"), "utf8")).toBe(content);
		}
		const before = readFileSync(answers);
		await expect(serve(answers, { out: answers })).rejects.toMatchObject({ code: "INVALID_DATA" });
		expect(readFileSync(answers)).toEqual(before);
		mkdirSync(file("folder"), { recursive: true });
		await expect(serve(answers, { out: file("folder") })).rejects.toMatchObject({ code: "WRITE_FAILED" });
	});
});
