import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { temporaryFolder } from "./temporary.js";

const places = [
	process.env.CHROMIUM_PATH,
	"/usr/bin/chromium",
	"/usr/bin/chromium-browser",
	"/usr/bin/google-chrome",
	"/usr/bin/google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Path of a Chromium; undefined where there is none. */
export const chromium = places.find((path) => path !== undefined && existsSync(path));

/** What a page may do without failing its test. */
interface Allowed {
	ask: (url: string) => boolean;
	/** Messages on its console. */
	say?: RegExp;
}

/** Opens addresses in a headless browser; fails the test in which a page reports an error or asks for anything that it may not. */
export function browserPages(): (url: string, allowed: Allowed) => Promise<Page> {
	const complaints: string[] = [];
	let browser: Browser | undefined;
	beforeAll(async () => {
		const { LD_PRELOAD: _, ...env } = process.env; // the sanitizers are not for the browser
		browser = await puppeteer.launch({ executablePath: chromium!, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [], env });
	});
	afterEach(async () => {
		for (const page of (await browser?.pages()) ?? []) await page.close();
		expect(complaints.splice(0)).toEqual([]);
	});
	afterAll(() => browser?.close());
	return async (url, { ask, say }) => {
		const page = await browser!.newPage();
		await page.setViewport({ width: 1280, height: 900 });
		page.on("pageerror", (error) => complaints.push(`error: ${error}`));
		page.on("console", (message) => {
			if (!say?.test(message.text())) complaints.push(`${message.type()}: ${message.text()}`);
		});
		page.on("dialog", (dialog) => {
			complaints.push(`dialog: ${dialog.message()}`);
			void dialog.dismiss();
		});
		page.on("request", (request) => {
			if (!ask(request.url())) complaints.push(`request: ${request.url()}`);
		});
		await page.goto(url);
		return page;
	};
}

/** Opens HTML as a file that may ask for nothing else. */
export function pageOpener(): (html: string, hash?: string) => Promise<Page> {
	const folder = temporaryFolder();
	const open = browserPages();
	return (html, hash = "") => {
		const path = join(folder, "page.html");
		writeFileSync(path, html);
		const url = pathToFileURL(path).href;
		return open(url + hash, { ask: (asked) => asked.split("#")[0] === url });
	};
}
