// The page on which a person labels answers.
import { moduleFile } from "../base/package-files.js";
import { htmlPage, joinedModules } from "../report/page.js";
import type { LabelScheme } from "./label-scheme.js";

/** The page's data. It does not reveal an answer's origin. */
export interface LabelPageData extends LabelScheme {
	/** The label that a category follows. */
	unsafe: string;
	answers: { prompt: string; response: string }[];
	/** Numbers of the labelled answers, in the order of labelling. */
	labelled: number[];
}

const modules = ["evaluation/page/elements.js", "labelling/page/queue.js", "labelling/page/main.js"].map(moduleFile);

const style = `
html { scroll-padding-bottom: 12rem; }
body { max-width: 48rem; margin: 0 auto; min-height: 100vh; display: flex; flex-direction: column; }
h1, h2 { font-size: .85rem; font-weight: 600; color: var(--quiet); margin: 1rem 0 .3rem; }
header h1 { margin-top: .6rem; }
progress { display: block; width: 100%; height: .5rem; margin-bottom: .3rem; accent-color: var(--accent); }
#count { margin: 0; font-variant-numeric: tabular-nums; color: var(--quiet); }
main { flex: 1; margin-bottom: 2rem; }
.passage { margin: 0; padding: .6rem .9rem; background: var(--card); border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere;
	unicode-bidi: isolate; font-size: 1.05rem; }
footer { position: sticky; bottom: 0; margin: 0 -1rem; padding: .7rem 1rem; background: var(--paper); border-top: 1px solid var(--rule);
	max-height: 60vh; overflow-y: auto; }
#problem { margin: 0 0 .5rem; color: var(--bad); font-weight: 600; }
#problem:empty { margin: 0; }
#choices { display: flex; flex-wrap: wrap; gap: .5rem; }
button { font: inherit; color: inherit; min-height: 2.5rem; padding: .3rem .8rem; border: 1px solid var(--quiet); border-radius: .3rem;
	background: var(--card); cursor: pointer; overflow-wrap: anywhere; text-align: start; }
button:hover { border-color: var(--accent); }
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
kbd { display: inline-block; min-width: 1.2em; margin-inline-end: .3em; padding: 0 .2em; text-align: center; font: inherit; font-weight: 600;
	border: 1px solid var(--rule); border-radius: .2rem; background: var(--paper); }
`;

/** One page that needs only its own server, and shows all text literally. */
export async function labelPage(data: LabelPageData): Promise<string> {
	const body = `<header>
<h1>Label answers</h1>
<progress id="bar" max="${data.answers.length}" value="0" aria-label="Labelled"></progress>
<p id="count" role="status"></p>
</header>
<main id="answer" aria-live="polite"></main>
<footer>
<p id="problem" role="alert"></p>
<div id="choices" role="group"></div>
</footer>
<noscript><p class="warning">This page needs JavaScript.</p></noscript>`;
	return htmlPage({ title: "Label answers", style, body, data, script: await joinedModules(modules), plots: false, asksServer: true });
}
