// The frame of a report: one self-contained HTML page that fetches nothing.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { packageRequire } from "../base/package-files.js";

const plotLibrary = (file: string) => readFile(packageRequire.resolve(`uplot/dist/${file}`), "utf8");

export const digits = (value: number | null | undefined, places = 3) =>
	value === null || value === undefined ? "–" : value.toFixed(places);
export const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** Text escaped for an element or an attribute. */
export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** JSON that no HTML or JavaScript parser mistakes for the end of the element or of a line. */
const embeddedJson = (data: unknown) =>
	JSON.stringify(data).replace(/[<\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

const hashSource = (content: string) => `'sha256-${createHash("sha256").update(content).digest("base64")}'`;

const commonStyle = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif;
	--paper: #fff; --card: #f5f6f8; --ink: #1c1f23; --quiet: #5a616a; --rule: #d3d7dc; --accent: #0b57d0; --bad: #a3260f; --good: #14653a; }
@media (prefers-color-scheme: dark) { :root {
	--paper: #15181c; --card: #1f2329; --ink: #e6e8eb; --quiet: #a5acb6; --rule: #3a4048; --accent: #8ab4f8; --bad: #ff9d85; --good: #7fd6a1; } }
@media print { :root { color-scheme: light;
	--paper: #fff; --card: #fff; --ink: #000; --quiet: #444; --rule: #bbb; --accent: #0b57d0; --bad: #a3260f; --good: #14653a; } }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; background: var(--paper); color: var(--ink); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; margin-bottom: 1.5rem; }
.plots { display: flex; flex-wrap: wrap; gap: 2rem; }
.warning { border-left: .3rem solid #c60; padding-left: 1rem; }`;

export interface Page {
	title: string;
	/** Added to the style that all reports share. */
	style: string;
	/** HTML. */
	body: string;
	/** The script finds it as JSON in the element `data`. */
	data: unknown;
	/** A module that runs when the page has loaded. */
	script: string;
	/** Whether it has plots; then uPlot is a global. */
	plots: boolean;
	/** Whether it may make requests to its own server. Other pages have no network access. */
	asksServer: boolean;
}

/**
 * Joins the modules of a page's script, each after those that it imports. They share a scope in the page, so imports and exports are
 * removed, and so are the comments with their types.
 */
export async function joinedModules(files: readonly string[]): Promise<string> {
	const sources = await Promise.all(files.map((file) => readFile(file, "utf8")));
	return sources.map((source) => source.replace(/^import [^;]*;\n|^\s*\/\*\*(?:(?!\*\/).)*\*\/\n|^export /gms, "")).join("\n");
}

/** The whole page. Its policy allows its own script and style, and nothing that its data could inject. */
export async function htmlPage({ title, style, body, data, script, plots, asksServer }: Page): Promise<string> {
	const [library, libraryStyle] = plots ? await Promise.all([plotLibrary("uPlot.iife.min.js"), plotLibrary("uPlot.min.css")]) : ["", ""];
	const styles = `${libraryStyle}${commonStyle}${style}`;
	const policy = [
		"default-src 'none'",
		`script-src ${[library, script].map(hashSource).join(" ")}`,
		`style-src ${hashSource(styles)}`,
		...(asksServer ? ["connect-src 'self'"] : []),
		"base-uri 'none'",
		"form-action 'none'",
	].join("; ");
	return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(title)}</title>
<style>${styles}</style></head>
<body>
${body}
<script type="application/json" id="data">${embeddedJson(data)}</script>
${plots ? `<script>${library}</script>\n` : ""}<script type="module">${script}</script>
</body>
</html>
`;
}
