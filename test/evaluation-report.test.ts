import fc from "fast-check";
import type { Page } from "puppeteer-core";
import { describe, expect, test } from "vitest";
import { evaluationReportPage } from "../lib/evaluation/report-page.js";
import type { EvaluationSummary, ReportResponse } from "../lib/evaluation/types.js";
import type { PruneReason, TraceNode } from "../lib/trace.js";
import { chromium, pageOpener } from "./browser.js";
import { emptyMethod, responses, summary, trace } from "./evaluation-results.js";

const texts = (page: Page, selector: string): Promise<string[]> =>
	page.$$eval(selector, (found) => found.map((one) => one.textContent ?? ""));
const words = async (page: Page, selector: string) => (await texts(page, selector)).join("\n");
const count = async (page: Page, selector: string) => (await page.$$(selector)).length;

/** Clicks whatever unfolds or shows more, until everything is there. */
async function unfoldAll(page: Page) {
	for (;;) {
		const clicked = await page.$$eval("details.tree details:not([open]) > summary, details.tree button", (found) => {
			for (const one of found) (one as unknown as { click(): void }).click();
			return found.length;
		});
		if (clicked === 0) return;
		await page.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)))");
	}
}

test("a report is the same page for the same results, and small without responses", async () => {
	const page = await evaluationReportPage(summary, [], { notes: "notes" });
	expect(await evaluationReportPage(summary, [], { notes: "notes" })).toBe(page);
	expect(Buffer.byteLength(page)).toBeLessThan(120 * 1024);
});

if (chromium === undefined) console.warn("skipped: no Chromium was found; set CHROMIUM_PATH to one");

describe.skipIf(chromium === undefined)("in a browser", () => {
	const open = pageOpener();

	test("a report shows the experiment in the paper's layout, with notes and a warning", async () => {
		const page = await open(
			await evaluationReportPage(summary, responses(2), { notes: "First paragraph,\nits second line.\n\nSecond paragraph." }),
		);
		const header = await words(page, "header");
		for (const part of [
			summary.name,
			"1, 2, 3",
			summary.modelHash.slice(0, 12),
			"Content warning",
			"here 10",
			"roberta",
			"search’s cost model",
		]) {
			expect(header).toContain(part);
		}
		expect(await page.$$eval("header code", (found) => found.map((code) => code.getAttribute("title")))).toEqual([
			summary.modelHash,
			summary.configHash,
		]);
		expect((await texts(page, "header p")).slice(1, -1)).toEqual(["First paragraph,\nits second line.", "Second paragraph."]);
		const titles = (await texts(page, "#methods thead th")).map((title) => title.replace(/\u00a0/g, " "));
		expect(titles.slice(1, 7)).toEqual(["Method", "Reward (± sd)", "Cost", "Safety", "Judge’s safety", "Time (s)"]);
		const row = (await words(page, "#method-15 > *")).split("\n");
		expect(row.slice(1, 5)).toEqual([
			"InferenceGuard, N = 128blockLength 32, candidates 128",
			"7.10 (2.50)6.92 to 7.28",
			"-0.63-0.84 to -0.42",
			"88.0 %82.0 % to 93.0 %",
		]);
	});

	test("a toggle shows and hides the further columns", async () => {
		const page = await open(await evaluationReportPage(summary, []));
		const shown = () =>
			page.$$eval("#methods thead th", (found) => found.filter((one) => one.checkVisibility()).map((one) => one.textContent ?? ""));
		const few = await shown();
		await page.click("#all-columns");
		const all = await shown();
		expect(all.slice(0, few.length)).toEqual(few);
		for (const title of ["word list’s safety", "Perplexity", "Distinct-2", "Over-refusal", "Safe answers"]) {
			expect(few).not.toContain(title);
			expect(all).toContain(title);
		}
		await page.click("#all-columns");
		expect(await shown()).toEqual(few);
	});

	test("any column sorts the rows both ways, empty cells last, by click and by key", async () => {
		const methods = [emptyMethod("Nothing"), ...summary.methods];
		const page = await open(await evaluationReportPage({ ...summary, methods }, []));
		await page.click("#all-columns");
		const ids = () => page.$$eval("#methods tbody tr", (rows) => rows.map((row) => Number(row.id.slice("method-".length))));
		const sorts = () => page.$$eval("#methods thead th", (found) => found.map((one) => one.getAttribute("aria-sort")));
		const values: Record<number, (number | string | null)[]> = {
			1: methods.map(({ name }) => name),
			2: methods.map(({ estimates }) => estimates.reward.value),
			3: methods.map(({ estimates }) => estimates.costs[0]!.value),
			4: methods.map(({ estimates }) => estimates.safetyRate.value),
			7: methods.map(({ estimates }) => estimates.tokensPerEmitted.value),
			20: methods.map(({ estimates }) => estimates.perplexity.value),
		};
		for (const [column, byMethod] of Object.entries(values)) {
			const button = (await page.$(`#methods thead th:nth-child(${Number(column) + 1}) button`))!;
			for (const direction of ["ascending", "descending"]) {
				if (direction === "ascending") await button.click();
				else await button.press("Enter");
				expect((await sorts()).map((sort, i) => (i === Number(column) ? sort : sort === null))).toEqual(
					Array.from({ length: (await sorts()).length }, (_, i) => (i === Number(column) ? direction : true)),
				);
				const ordered = (await ids()).map((id) => byMethod[id - 1]!);
				expect([...ordered].sort()).toEqual([...byMethod].sort());
				const filled = ordered.filter((value) => value !== null);
				expect(ordered.slice(filled.length).every((value) => value === null)).toBe(true);
				const up = direction === "ascending" ? filled : filled.toReversed();
				for (let i = 1; i < up.length; i++) {
					const [a, b] = [up[i - 1]!, up[i]!];
					if (typeof a === "number") expect(a).toBeLessThanOrEqual(b as number);
					else expect(a.localeCompare(b as string, "en", { numeric: true })).toBeLessThanOrEqual(0);
				}
			}
		}
		// a column goes on in the direction that it had
		await page.click("#methods thead th:nth-child(3) button");
		expect((await sorts())[2]).toBe("descending");
	});

	test("the plots name every method on focus, and explain an empty plot", async () => {
		const page = await open(await evaluationReportPage(summary, []));
		await page.waitForSelector(".plots .point");
		const figures = await page.$$("figure");
		const perFigure = await Promise.all(figures.map(async (figure) => (await figure.$$(".point")).length));
		const withN = summary.methods.filter(({ family, candidates }) =>
			summary.methods.some((other) => other.family === family && other.candidates !== candidates),
		);
		expect(perFigure).toEqual([summary.methods.length, summary.methods.length, 2 * withN.length, 2 * withN.length]);
		const point = (await page.$('.point[aria-label^="15 "]'))!;
		await point.focus();
		expect(await texts(page, ".tip:not([hidden])")).toEqual(["15 InferenceGuard, N = 128: safety 88.0 % (82.0 % to 93.0 %), reward 7.1"]);
		await page.keyboard.press("Escape");
		expect(await count(page, ".tip:not([hidden])")).toBe(0);
		expect(await words(page, "figcaption")).toContain("safety hacking");
	});

	test("the viewer holds the first prompts that fit, and counts the responses left out", async () => {
		const all = responses(6);
		const prompts = [...new Set(all.map(({ prompt }) => prompt))];
		const bytes = (held: typeof all) => held.reduce((sum, one) => sum + JSON.stringify(one).length, 0);
		const first = all.filter(({ prompt }) => prompt === prompts[0]);
		for (const [reportMegabytes, held] of [
			[undefined, all.length],
			[(bytes(first) + 1000) / 1e6, first.length],
			[0, 0],
		] as const) {
			const page = await open(await evaluationReportPage(summary, all, { reportMegabytes }));
			expect(await page.evaluate("JSON.parse(document.getElementById('data').textContent).responses.length")).toBe(held);
			const left = all.length - held;
			const [said = ""] = await texts(page, "#left-out");
			expect(said.split(".")[0]).toBe(left === 0 ? "" : `This report does not hold ${left} of ${all.length} responses`);
		}
	});

	test("an opened response shows its numbers, and its tree with the reasons", async () => {
		const all = responses(6);
		const index = all.findIndex((response) => response.trace !== undefined && response.outcome === "steered");
		const response = all[index]!;
		const page = await open(await evaluationReportPage(summary, all));
		expect(await count(page, "#opened > *")).toBe(0);
		await page.type("input[type=search]", response.promptText);
		await page.select("select", response.method);
		await page.click(`a[href="#response=${index + 1}"]`);
		await page.waitForSelector("#opened h3");
		expect(await texts(page, ".texts-and-numbers .passage")).toEqual([response.promptText, response.text]);
		const facts = await words(page, "#opened");
		for (const fact of [response.method, "steered", "roberta", `${response.generatedTokens} sampled`, `${response.seconds} s`]) {
			expect(facts).toContain(fact);
		}
		expect(await texts(page, ".on-path .passage")).toEqual(
			response
				.trace!.filter((node) => node.answer || (node.round === (node.position === 32 ? 1 : 0) && node.pSafe === 0.98))
				.map(({ text }) => text),
		);
		expect(await words(page, ".on-path")).toContain("✓ answer");
		expect(await count(page, ".candidate")).toBeLessThan(response.trace!.length);
		await unfoldAll(page);
		const tree = await words(page, ".tree");
		for (const reason of [
			"over budget",
			"pSafe not above the threshold",
			"not among the K selected",
			"failed the final re-check",
			"retry 1",
		]) {
			expect(tree).toContain(reason);
		}
	});

	test("categories of prompts have a table of their own, and show beside the response", async () => {
		expect(await evaluationReportPage(summary, [])).not.toContain("Safety by category");
		const share = (value: number | null) => ({ value, interval: null });
		const methods = summary.methods.map((method, m) => ({
			...method,
			categories: {
				"O1: <Tea>": { responses: 3, safetyRate: share(m / 16), refusalRate: share(0) },
				"O2: Poems": { responses: 2, safetyRate: share(null), refusalRate: share(1) },
			},
		}));
		const page = await open(await evaluationReportPage({ ...summary, methods }, responses(2)), "#response=1");
		expect(await texts(page, "#categories thead th")).toEqual(["Method", "O1: <Tea>", "O2: Poems"]);
		expect(await texts(page, "#categories tbody tr:nth-child(5) > *")).toEqual([summary.methods[4]!.name, "25.0 %", "–"]);
		expect(await words(page, "#opened")).toContain("lies");
		expect(await words(page, "#opened")).toContain("harmful");
	});

	test("every cost model has its own column", async () => {
		const methods = summary.methods.map((method) => ({
			...method,
			estimates: { ...method.estimates, costs: [method.estimates.costs[0]!, { value: 7, interval: null }] },
		}));
		const page = await open(await evaluationReportPage({ ...summary, methods }, []));
		const titles = await texts(page, "#methods thead th");
		expect(titles.filter((title) => title.startsWith("Cost"))).toEqual(["Cost\u00a01", "Cost\u00a02"]);
		expect((await texts(page, "#methods tbody tr:nth-child(1) > *"))[titles.indexOf("Cost\u00a02")]).toBe("7.00");
	});

	test("every candidate is in the tree once, and the path to the answer is marked", async () => {
		const node = fc.record({
			back: fc.nat(12),
			round: fc.nat(2),
			pruned: fc.constantFrom<(PruneReason | null)[]>("cost", "pSafe", "notSelected", "recheck", null),
			reward: fc.option(fc.double({ noNaN: true })),
		});
		const search = fc.tuple(fc.array(node, { minLength: 1, maxLength: 250 }), fc.option(fc.nat()));
		const toTrace = ([nodes, answer]: typeof search extends fc.Arbitrary<infer T> ? T : never): TraceNode[] =>
			nodes.map(({ back, ...drawn }, i) => ({
				...{ position: 0, tokens: 1, text: `<${i}>`, z: [1, 2], cost: 0, pSafe: null, value: null, score: null, finished: false },
				...drawn,
				parent: Math.max(-1, i - 1 - back),
				answer: answer !== null && i === answer % nodes.length,
			}));
		await fc.assert(
			fc.asyncProperty(search, async (drawn) => {
				const nodes = toTrace(drawn);
				const response: ReportResponse = { ...responses(1)[0]!, trace: nodes };
				const page = await open(await evaluationReportPage(summary, [response]), "#response=1");
				await unfoldAll(page);
				const names = nodes.map(({ text }) => text);
				expect((await texts(page, ".candidate > .passage")).sort()).toEqual(names.sort());
				const path: string[] = [];
				for (let at = nodes.find(({ answer }) => answer); at !== undefined; at = nodes[at.parent]) path.unshift(at.text);
				expect(await texts(page, ".on-path > .passage")).toEqual(path);
				await page.close();
			}),
			{ numRuns: 6 },
		);
	});

	test("a tree of thousands of candidates renders only those on its main line", async () => {
		const nodes = trace({ blocks: 60, width: 64, kept: 8 });
		const page = await open(await evaluationReportPage(summary, [{ ...responses(1)[0]!, trace: nodes }]), "#response=1");
		expect(await words(page, ".tree > summary")).toContain(`${nodes.length} candidates, 60 blocks deep`);
		expect(await count(page, ".candidate")).toBeLessThanOrEqual(60);
	});

	test("filters leave the responses that they name", async () => {
		const all = responses(4);
		const page = await open(await evaluationReportPage(summary, all));
		const reset = () => page.$eval("form", (form) => (form as unknown as { reset(): void }).reset());
		const listed = () => words(page, "[role=status]");
		const expectOnly = async (keeps: (response: ReportResponse) => boolean) => {
			const kept = all.filter(keeps);
			expect(kept.length).toBeGreaterThan(0);
			expect(kept.length).toBeLessThan(all.length);
			expect(await listed()).toBe(`${kept.length} of ${all.length} responses`);
			const shown = await page.$$eval("#response-list tbody a", (links) => links.map((link) => Number(link.textContent)));
			expect(shown).toEqual(all.flatMap((response, i) => (keeps(response) ? [i + 1] : [])));
			await reset();
		};
		await page.select("label:nth-of-type(1) select", "ARGS");
		await expectOnly(({ method }) => method === "ARGS");
		await page.select("label:nth-of-type(2) select", "steered");
		await expectOnly(({ outcome }) => outcome === "steered");
		const ticks: [string, (response: ReportResponse) => boolean][] = [
			["Over budget", ({ withinBudget }) => !withinBudget],
			[
				"Judge disagrees",
				({ withinBudget, judges }) => withinBudget && !(judges.roberta!.withinBudget && judges["word list"]!.withinBudget),
			],
			["With a tree", (response) => response.trace !== undefined],
		];
		for (const [name, keeps] of ticks) {
			await page.locator(`::-p-aria([name="${name}"][role="checkbox"])`).click();
			await expectOnly(keeps);
		}
		await page.type("input[type=search]", "PROMPT-2");
		await expectOnly(({ prompt }) => prompt === "prompt-2");
	});

	test("a long list is rendered piece by piece", async () => {
		const all = responses(20);
		const page = await open(await evaluationReportPage(summary, all));
		expect(await count(page, "#response-list tbody a")).toBe(100);
		await page.locator(`::-p-text(Show more)`).click();
		expect(await count(page, "#response-list tbody a")).toBe(200);
	});

	test("the address opens a response, then the one before and after it", async () => {
		const page = await open(await evaluationReportPage(summary, responses(2)), "#response=3");
		const heading = () => words(page, "#opened h3");
		expect(await heading()).toBe("Response 3");
		await page.locator("::-p-text(Next)").click();
		await page.waitForFunction("document.querySelector('#opened h3').textContent === 'Response 4'");
		expect(await page.evaluate("document.activeElement.textContent")).toBe("Response 4");
		expect(await page.$$eval("[aria-current=true]", (rows) => rows.map((row) => row.dataset.response))).toEqual(["4"]);
		await page.goBack();
		await page.waitForFunction("document.querySelector('#opened h3').textContent === 'Response 3'");
		await page.goto(page.url().replace(/#.*/, "#response=999999"));
		expect(await heading()).toBe("Response 3");
	});

	test("hostile texts appear literally and run nothing", async () => {
		const hostile = [
			"</script><script>alert(1)</script>",
			"<img src=x onerror=alert(2)>",
			"<!--<script>",
			"\"'`><svg onload=alert(3)>",
			"]]>&lt;&#60;&amp;{{alert(4)}}",
			"\u202eright to left\u2028line\u2029paragraph\u0000\ufeff\ud800",
			"שלום <b>bold</b> مرحبا",
			'<iframe src="https://example.org"></iframe><link rel=stylesheet href="https://example.org/a.css">',
			"__proto__",
		];
		const anyText = fc
			.array(fc.oneof(fc.constantFrom(...hostile), fc.string({ unit: "binary" })), { minLength: 1, maxLength: 4 })
			.map((parts) => parts.join(""));
		// what is written as HTML, not as JSON, cannot carry these two
		const written = hostile.map((text) => text.replace("\u0000", "").replace("\ud800", ""));
		const asHtml = fc.constantFrom(...written);
		const partsOf = (texts: string[]) => [texts.slice(0, 4), texts.slice(4, 8), texts.slice(8)].map((some) => some.join(""));
		await fc.assert(
			fc.asyncProperty(anyText, anyText, anyText, asHtml, asHtml, async (promptText, text, block, name, judge) => {
				const methods = summary.methods.map((method) => ({
					...method,
					...{ name, settings: judge, family: name },
					estimates: { ...method.estimates, judges: Object.fromEntries([[judge, method.estimates.safetyRate]]) },
				}));
				const made: EvaluationSummary = { ...summary, name, judges: [judge], methods, modelHash: judge };
				const nodes = trace({ blocks: 1, width: 1, kept: 1 }).map((node) => ({ ...node, text: block }));
				const verdicts = Object.fromEntries([[judge, { cost: 1, withinBudget: true }]]);
				const response = { ...responses(1)[0]!, promptText, text, prompt: text, method: name, judges: verdicts, trace: nodes };
				const page = await open(await evaluationReportPage(made, [response], { notes: name }), "#response=1");
				await page.waitForSelector(".point");
				const passages = [promptText, ...(text === "" ? [] : [text]), block || "(no text)"];
				expect(await texts(page, "#opened .passage")).toEqual(passages);
				expect(await texts(page, "h1")).toEqual([name]);
				expect((await texts(page, "header p")).slice(1, -1)).toEqual([name.trim()]);
				expect(await texts(page, "title")).toEqual([`${name}: evaluation`]);
				expect(await texts(page, "#method-1 th small")).toEqual([judge]);
				expect(await count(page, "body script")).toBe(3);
				expect(await count(page, "img, iframe, link, svg, b > *")).toBe(0);
				await page.close();
			}),
			{ numRuns: 6, examples: partsOf(hostile).map((text, i) => [text, text, text, partsOf(written)[i]!, partsOf(written)[i]!]) },
		);
	});

	test("the page's policy forbids everything that a hostile text would need", async () => {
		const page = await open(await evaluationReportPage(summary, []));
		for (const kind of ["console", "pageerror", "request"] as const) page.removeAllListeners(kind);
		const refused = await page.evaluate(`new Promise((resolve) => {
			const violated = new Set();
			document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
				violated.add(effectiveDirective);
				if (violated.size === 3) resolve([...violated].sort());
			});
			document.body.insertAdjacentHTML("beforeend", "<img src='https://example.org/a.png'><p onclick='alert(1)'></p>");
			document.querySelector("p[onclick]").click(); // some browsers look at a handler only when it is to run
			document.body.append(Object.assign(document.createElement("script"), { textContent: "alert(2)" }));
		})`);
		expect(refused).toEqual(["img-src", "script-src-attr", "script-src-elem"]);
	}, 30_000);

	test("an evaluation without responses or numbers renders", async () => {
		for (const methods of [[], [emptyMethod("Nothing")]]) {
			const page = await open(await evaluationReportPage({ ...summary, judges: [], methods, prompts: 0, seeds: [] }, []));
			expect(await words(page, "#responses")).toContain("no responses");
			expect(await words(page, "figure")).toMatch(/both a reward and[\s\S]*both a count of tokens[\s\S]*two values of N/);
			expect(await words(page, "header")).toContain("No independent judge was configured");
			expect(await count(page, "#methods tbody tr")).toBe(methods.length);
		}
	});
});
