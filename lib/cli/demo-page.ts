// Shows the tree of a guarded answer on a page of its own.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { moduleFile } from "../base/package-files.js";
import { makeTemporaryFolder, replaceFiles, textFile } from "../data/output.js";
import { style } from "../evaluation/report-style.js";
import type { Reply } from "../guard/reply.js";
import { escapeHtml, htmlPage, joinedModules } from "../report/page.js";
import { type AnswerPair, verdict } from "./demo-figures.js";
import { tell } from "./terminal.js";

const modules = ["elements", "trace-tree", "tree"].map((name) => moduleFile(`evaluation/page/${name}.js`));

/** The system's command that opens a file. */
const openers: Partial<Record<NodeJS.Platform, string>> = { darwin: "open", win32: "explorer" };

async function treePage({ prompt, plain, guarded }: AnswerPair, names: readonly string[]): Promise<string> {
	const passage = (text: string) => `<p class="passage" dir="auto">${escapeHtml(text)}</p>`;
	const answer = (title: string, reply: Reply) => `<section>
<h2>${title}</h2>
${reply.text === "" ? '<p class="quiet">No text: nothing left the search.</p>' : passage(reply.text)}
<p class="numbers">${escapeHtml(verdict(reply, names))}</p>
</section>`;
	const body = `<header>
<h1>How an answer was found</h1>
${passage(prompt)}
<p>“Within budget” means within budget under the search’s cost ${names.length === 1 ? "model" : "models"}, ${names.join(" and ")}; it says
nothing beyond.</p>
</header>
<main>
<div class="texts-and-numbers">
${answer("Plain", plain)}
${answer("Guarded", guarded)}
</div>
<noscript><p class="warning">The tree needs JavaScript.</p></noscript>
<div id="tree"></div>
</main>`;
	const script = await joinedModules(modules);
	const data = guarded.trace ?? [];
	return htmlPage({ title: "inferenceguard demo: the tree of an answer", style, body, data, script, plots: false, asksServer: false });
}

/** Writes the page into a temporary folder, prints its path, and opens it if the system can. */
export async function openTree({ names, ...answers }: AnswerPair & { names: readonly string[] }): Promise<void> {
	const path = join(await makeTemporaryFolder(), "tree.html");
	await replaceFiles(textFile(path, await treePage(answers, names)));
	tell(`\nThe tree of ${JSON.stringify(answers.prompt)} is in ${path}`);
	spawn(openers[process.platform] ?? "xdg-open", [path], { stdio: "ignore", detached: true })
		.on("error", () => {}) // no browser: its path was printed
		.unref();
}
