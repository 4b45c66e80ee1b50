import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { Page } from "puppeteer-core";
import { describe, expect, test } from "vitest";
import { Queue } from "../lib/labelling/page/queue.js";
import { type LabelOptions, type LabelServer, serveLabels } from "../lib/training/index.js";
import { browserPages, chromium } from "./browser.js";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();

test("the queue shows every unlabelled answer, skipped ones last, and can undo", () => {
	const steps = fc.array(fc.constantFrom("label", "skip", "undo"), { maxLength: 60 });
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 8 }), steps, (count, all) => {
			const queue = new Queue(count, []);
			const labelled = new Set<number>();
			const before: { current: number | undefined; labelled: number[] }[] = [];
			for (const step of all) {
				const { current } = queue;
				if (step === "undo") {
					queue.undo();
					const last = before.pop();
					if (last === undefined) {
						expect(queue.current).toBe(current);
						continue;
					}
					labelled.clear();
					for (const answer of last.labelled) labelled.add(answer);
					expect(queue.current).toBe(last.current);
				} else if (current !== undefined) {
					before.push({ current, labelled: [...labelled] });
					if (step === "label") labelled.add(current);
					queue[step as "label" | "skip"]();
					if (step === "skip" && queue.left > 1) expect(queue.current).not.toBe(current);
				}
				expect(queue.left).toBe(count - labelled.size);
				expect(queue.current === undefined).toBe(labelled.size === count);
				if (queue.current !== undefined) expect(labelled.has(queue.current)).toBe(false);
			}
		}),
	);
});

let count = 0;
function answersFile(pairs: [prompt: string, response: string][]): string {
	const path = join(folder, `answers-${count++}.jsonl`);
	writeFileSync(path, pairs.map(([prompt, response], i) => `${JSON.stringify({ id: `${i}`, prompt, response })}\n`).join(""));
	return path;
}

const labelsOf = (answers: string) =>
	readFileSync(answers.replace(".jsonl", ".labels.jsonl"), "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));

const texts = (page: Page, selector: string): Promise<string[]> =>
	page.$$eval(selector, (found) => found.map((one) => one.textContent ?? ""));
const shown = async (page: Page) => (await texts(page, "#answer .passage")) as [prompt: string, response: string];
const status = async (page: Page) => (await texts(page, "#count")).join();

/** Presses a key and waits until the page has said what it did. */
async function press(page: Page, key: string, said: string) {
	await page.evaluate("document.getElementById('count').textContent = ''");
	await page.keyboard.press(key as "a");
	await page.waitForFunction(`document.getElementById("count").textContent.endsWith(${JSON.stringify(said)})`);
}

if (chromium === undefined) console.warn("skipped: no Chromium was found; set CHROMIUM_PATH to one");

describe.skipIf(chromium === undefined)("in a browser", () => {
	const visit = browserPages();
	const open = (server: Pick<LabelServer, "url">, say?: RegExp) =>
		visit(server.url, { ask: (url) => url === server.url || url === `${server.url}labels`, ...(say && { say }) });
	const serve = (answers: string, more: Partial<LabelOptions> = {}) => serveLabels({ answers, ...more });
	const pairs: [string, string][] = Array.from({ length: 5 }, (_, i) => [`question ${i}`, `answer ${i}`]);

	test("one key labels an answer, shows the next one, and counts what is left", async () => {
		const answers = answersFile(pairs);
		await using server = await serve(answers);
		const page = await open(server);
		expect(await status(page)).toBe("0 of 5 answers labelled, 5 left. ");
		const given: [string, string][] = [];
		for (const [key, label] of [
			["s", "safe"],
			["u", "unsafe"],
			["b", "undecided"],
			["S", "safe"],
			["u", "unsafe"],
		] as const) {
			const [prompt, response] = await shown(page);
			expect(response).toBe(prompt.replace("question", "answer"));
			given.push([prompt.split(" ")[1]!, label]);
			await press(page, key, `Saved: ${label}.`);
			expect(labelsOf(answers)).toEqual(given.map(([id, label]) => ({ id, label })));
		}
		expect(new Set(given.map(([id]) => id)).size).toBe(5);
		expect(await texts(page, "#answer")).toEqual([expect.stringContaining("All answers are labelled")]);
		expect(await status(page)).toContain("5 of 5 answers labelled, 0 left.");
	});

	test("a digit chooses the kind of unsafe, and backspace another label", async () => {
		const answers = answersFile(pairs);
		await using server = await serve(answers, { categories: ["rude", "false"] });
		const page = await open(server);
		const [prompt] = await shown(page);
		await page.keyboard.press("u");
		expect(await texts(page, "#choices button")).toEqual(["1 rude", "2 false", "⌫ back"]);
		await page.keyboard.press("s"); // no label now
		await page.keyboard.press("3");
		await page.keyboard.press("Backspace");
		expect(await texts(page, "#choices button")).toEqual(["s safe", "u unsafe", "b undecided", "⌫ undo", "→ skip"]);
		expect(await shown(page)).toContain(prompt);
		expect(labelsOf(answers)).toEqual([]);
		await page.keyboard.press("u");
		await press(page, "2", "Saved: unsafe, false.");
		expect(labelsOf(answers)).toEqual([{ id: prompt.split(" ")[1], label: "unsafe", category: "false" }]);
		expect(await texts(page, "#choices button")).toHaveLength(5);
	});

	test("backspace takes labels back one by one, also those of an earlier run", async () => {
		const answers = answersFile(pairs);
		const first = await serve(answers);
		const before = await open(first);
		const order: string[] = [];
		for (let i = 0; i < 2; i++) {
			order.push((await shown(before))[0]);
			await press(before, "s", "Saved: safe.");
		}
		await first.close();
		await using second = await serve(answers);
		const page = await open(second);
		expect(await status(page)).toContain("2 of 5");
		order.push((await shown(page))[0]);
		await press(page, "u", "Saved: unsafe.");
		for (const prompt of order.toReversed()) {
			await press(page, "Backspace", "Label taken back.");
			expect(await shown(page)).toContain(prompt);
		}
		await page.keyboard.press("Backspace"); // there is nothing before the first
		expect(await status(page)).toContain("0 of 5 answers labelled, 5 left.");
		expect(labelsOf(answers).map(({ label }) => label)).toEqual(["safe", "safe", "unsafe", null, null, null]);
		expect(second.labelled).toBe(0);
	});

	test("a skipped answer comes again at the end, and backspace returns to it", async () => {
		await using server = await serve(answersFile(pairs));
		const page = await open(server);
		const [skipped] = await shown(page);
		await press(page, "ArrowRight", "Skipped.");
		const [second] = await shown(page);
		expect(second).not.toBe(skipped);
		await press(page, "Backspace", "Back.");
		expect((await shown(page))[0]).toBe(skipped);
		await press(page, "ArrowRight", "Skipped.");
		for (let i = 0; i < 4; i++) await press(page, "s", "Saved: safe.");
		expect((await shown(page))[0]).toBe(skipped);
		await press(page, "s", "Saved: safe.");
		expect(server.labelled).toBe(5);
	});

	test("text of the data is shown literally, with its line breaks", async () => {
		const nasty: [string, string][] = [
			["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>"],
			["<!-- &amp; -->", "line one\nline two\t<b>bold</b>\u2028\u2029"],
			["javascript:alert(3)", "$" + "{alert(4)} `x` \\u003c/script> '\"><svg onload=alert(5)>"],
			["مرحبا بالعالم", "שלום\u202eabc"],
			["x".repeat(3000), "y ".repeat(3000)],
		];
		await using server = await serve(answersFile(nasty));
		const page = await open(server);
		const seen: string[][] = [];
		for (let i = 0; i < nasty.length; i++) {
			seen.push(await shown(page));
			expect(await page.$$eval("#answer *", (all) => all.map((one) => one.tagName))).toEqual(["H2", "P", "H2", "P"]);
			expect(await page.evaluate("getComputedStyle(document.querySelector('.passage')).whiteSpace")).toBe("pre-wrap");
			const tooWide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
			expect(tooWide).toBe(0);
			await press(page, "s", "Saved: safe.");
		}
		expect(seen.sort()).toEqual(nasty.map((pair) => pair.map((text) => text.trim())).sort());
	});

	test("a label that cannot be stored is reported, and the answer stays", async () => {
		const answers = answersFile(pairs);
		const server = await serve(answers);
		const page = await open(server, /Failed to load resource/);
		await press(page, "s", "Saved: safe.");
		const [prompt] = await shown(page);
		await server.close();
		await page.keyboard.press("u");
		await page.waitForFunction("document.getElementById('problem').textContent !== ''");
		expect((await texts(page, "#problem"))[0]).toContain("Not saved: the command does not run any more");
		expect((await shown(page))[0]).toBe(prompt);
		expect(await status(page)).toContain("1 of 5");
		expect(labelsOf(answers)).toHaveLength(1);
	});

	test("a held key, a shortcut of the browser or an unknown key labels nothing", async () => {
		const answers = answersFile(pairs);
		await using server = await serve(answers);
		const page = await open(server);
		await page.keyboard.down("s");
		await page.keyboard.down("s"); // repeats
		await page.keyboard.down("s");
		await page.keyboard.up("s");
		await page.waitForFunction("document.getElementById('count').textContent.endsWith('Saved: safe.')");
		for (const key of ["x", "1", "Enter", "ArrowLeft"] as const) await page.keyboard.press(key);
		for (const modifier of ["Control", "Alt", "Meta"] as const) {
			await page.keyboard.down(modifier);
			await page.keyboard.press("u");
			await page.keyboard.up(modifier);
		}
		expect(server.labelled).toBe(1);
		expect(labelsOf(answers)).toHaveLength(1);
	});

	test("buttons do what keys do, keep the focus, and have accessible names", async () => {
		await using server = await serve(answersFile(pairs), { labels: ["fine", "unsafe", "x=odd"], categories: ["rude"] });
		const page = await open(server);
		await page.keyboard.press("Tab");
		await page.keyboard.press("Tab");
		const focused = () => page.evaluate("document.activeElement.textContent");
		expect(await focused()).toBe("u unsafe");
		await page.keyboard.press("Enter");
		expect(await focused()).toBe("1 rude");
		await press(page, "Enter", "Saved: unsafe, rude.");
		expect(await focused()).toBe("f fine");
		await page.click("#choices button:nth-child(3)");
		await page.waitForFunction("document.getElementById('count').textContent.endsWith('Saved: odd.')");
		const tree = JSON.stringify(await page.accessibility.snapshot({ interestingOnly: false }));
		for (const name of ["fine", "unsafe", "odd", "undo", "skip"])
			expect(tree).toMatch(new RegExp(`"role":"button"[^{}]*"name":" ?${name}"`));
		for (const role of ["main", "progressbar", "status", "alert", "group"]) expect(tree).toContain(`"role":"${role}"`);
	});

	test("the page fits narrow and short windows, light and dark, with contrast", async () => {
		const categories = Array.from({ length: 9 }, (_, i) => `a kind of harm, number ${i + 1}`);
		await using server = await serve(answersFile([["p ".repeat(400), "r ".repeat(400)]]), { categories });
		const page = await open(server);
		for (const [width, height] of [
			[320, 640],
			[640, 320],
			[1280, 900],
		] as const) {
			for (const value of ["light", "dark"]) {
				await page.setViewport({ width, height });
				await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
				const layout = (await page.evaluate(`(() => {
					const box = (selector) => document.querySelector(selector).getBoundingClientRect();
					const colours = (selector) => { const s = getComputedStyle(document.querySelector(selector)); return [s.color, s.backgroundColor]; };
					return {
						tooWide: document.documentElement.scrollWidth - innerWidth,
						footer: [box("footer").top, box("footer").bottom, innerHeight],
						passage: colours(".passage"), button: colours("button"), body: colours("body"), quiet: [getComputedStyle(document.getElementById("count")).color, colours("body")[1]],
					};
				})()`)) as { tooWide: number; footer: [number, number, number] } & Record<
					"passage" | "button" | "body" | "quiet",
					[string, string]
				>;
				expect(layout.tooWide).toBeLessThanOrEqual(0);
				const [top, bottom, screen] = layout.footer;
				expect(bottom).toBeLessThanOrEqual(screen + 1);
				expect(top).toBeGreaterThanOrEqual(0.3 * screen); // text stays readable above it
				for (const part of ["passage", "button", "body", "quiet"] as const) {
					expect(contrast(...layout[part]), `${part}, ${value}`).toBeGreaterThanOrEqual(4.5);
				}
			}
			await page.keyboard.press("u");
		}
	});
});

/** Contrast of two colours (WCAG 2.2). */
function contrast(a: string, b: string): number {
	const luminance = (colour: string) => {
		const [red = 0, green = 0, blue = 0] = (colour.match(/\d+/g) ?? []).map((part) => {
			const value = Number(part) / 255;
			return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
	};
	const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
	return (high + 0.05) / (low + 0.05);
}

describe("the command", () => {
	const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

	/** Runs the command until it has told its address. */
	async function start(...args: string[]) {
		const child = spawn(process.execPath, [main, "label", ...args], { stdio: ["ignore", "pipe", "pipe"] });
		let said = "";
		child.stdout.setEncoding("utf8").on("data", (text) => (said += text));
		const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
			child.once("close", (code, signal) => resolve({ code, signal })),
		);
		while (!said.includes("Ctrl-C")) await new Promise((resolve) => child.stdout.once("data", resolve));
		const [url = ""] = /http:\S+/.exec(said) ?? [];
		return { child, url, ended, said: () => said };
	}

	const post = (url: string, message: object) =>
		fetch(`${url}labels`, {
			method: "POST",
			headers: { "Content-Type": "application/json", Origin: new URL(url).origin },
			body: JSON.stringify(message),
		});

	test("a killed inferenceguard label has lost no label that it reported as stored", async () => {
		const answers = answersFile(Array.from({ length: 40 }, (_, i) => [`q ${i}`, `a ${i}`]));
		let stored = 0;
		for (let run = 0; run < 3; run++) {
			const { child, url, ended } = await start(answers);
			expect(await (await fetch(url)).text()).toContain(`"labelled":[`);
			for (let i = 0; i < 5; i++) {
				expect((await post(url, { answer: stored, label: "safe" })).status).toBe(204);
				stored++;
			}
			child.kill("SIGKILL");
			await ended;
			expect(labelsOf(answers)).toHaveLength(stored);
		}
		const { child, ended, said } = await start(answers, "--categories", "rude, false");
		expect(said()).toContain("15 of 40 answers are labelled.");
		child.kill("SIGTERM");
		await ended;
	}, 60_000);

	test.skipIf(process.platform === "win32")("inferenceguard label ends with Ctrl-C, and says what is done and where", async () => {
		const answers = answersFile([["q", "a"]]);
		const { child, url, ended, said } = await start(answers, "--labels", "fine,x=unsafe", "--reader", "anna");
		expect((await post(url, { answer: 0, label: "fine" })).status).toBe(204);
		child.kill("SIGINT");
		expect(await ended).toEqual({ code: 0, signal: null });
		const out = answers.replace(".jsonl", ".labels.anna.jsonl");
		expect(said()).toContain(`1 of 1 answers are labelled in ${out}\n`);
		expect(readFileSync(out, "utf8")).toBe('{"id":"0","label":"fine"}\n');
	});
});
