// Shows one answer at a time and takes its label, by key or by button.
import { byId, counted, element, passage } from "../../evaluation/page/elements.js";
import { Queue } from "./queue.js";

/** @type {import("../label-page.js").LabelPageData} */
const { labels, categories, unsafe, answers, labelled } = JSON.parse(byId("data").textContent ?? "");
const queue = new Queue(answers.length, labelled);

/** @typedef {{ name: string, key: string, run: () => void | Promise<void> }} Action */

/** @type {Action[]} */
const labelActions = labels.map(({ name, key }) => ({
	name,
	key,
	run: () => (name === unsafe && categories.length > 0 ? showChoices(`Kind of ${unsafe}`, categoryActions) : save(name)),
}));
/** @type {Action} */
const undo = { name: "undo", key: "Backspace", run: goBack };
/** @type {Action} */
const skip = { name: "skip", key: "ArrowRight", run: goOn };
/** @type {Action[]} */
const categoryActions = [
	...categories.map((name, i) => ({ name, key: String(i + 1), run: () => save(unsafe, name) })),
	{ name: "back", key: "Backspace", run: showLabels },
];
/** @type {Record<string, string>} */
const keyNames = { Backspace: "⌫", ArrowRight: "→" };

/** The current choices. @type {Action[]} */
let choices = [];
/** A label is being saved. Keys are ignored, because nobody can have read the next answer yet. */
let isSaving = false;

/** @param {string} label @param {string} [category] */
async function save(label, category) {
	if (queue.current === undefined || !(await store({ answer: queue.current, label, category }))) return;
	queue.label();
	showAnswer(`Saved: ${category === undefined ? label : `${label}, ${category}`}.`);
}

async function goBack() {
	const { last } = queue;
	if (last === undefined || (last.isLabelled && !(await store({ answer: last.answer, label: null })))) return;
	queue.undo();
	showAnswer(last.isLabelled ? "Label taken back." : "Back.");
}

function goOn() {
	queue.skip();
	showAnswer("Skipped.");
}

/** Whether it is stored. @param {{ answer: number, label: string | null, category?: string }} message */
async function store(message) {
	isSaving = true;
	try {
		const headers = { "Content-Type": "application/json" };
		const response = await fetch("labels", { method: "POST", headers, body: JSON.stringify(message) });
		byId("problem").textContent = response.ok ? "" : `Not saved: ${await response.text()}`;
		return response.ok;
	} catch {
		byId("problem").textContent = "Not saved: the command does not run any more. Start it again, and open its new address.";
		return false;
	} finally {
		isSaving = false;
	}
}

/** @param {string} done what was done last */
function showAnswer(done) {
	const count = answers.length - queue.left;
	byId("count").textContent = `${count} of ${counted(answers.length, "answer")} labelled, ${queue.left} left. ${done}`;
	byId("bar").setAttribute("value", String(count));
	const answer = queue.current === undefined ? undefined : answers[queue.current];
	const shown =
		answer === undefined
			? [element("p", {}, "All answers are labelled. You can close this page, and stop the command with Ctrl-C.")]
			: [element("h2", {}, "Prompt"), passage(answer.prompt), element("h2", {}, "Answer"), passage(answer.response)];
	byId("answer").replaceChildren(...shown);
	scrollTo(0, 0);
	showLabels();
}

function showLabels() {
	showChoices("Labels", queue.current === undefined ? [undo] : [...labelActions, undo, skip]);
}

/** @param {string} title @param {Action[]} actions */
function showChoices(title, actions) {
	choices = actions;
	const place = byId("choices");
	const hadFocus = place.contains(document.activeElement);
	place.ariaLabel = title;
	place.replaceChildren(...actions.map(button));
	const first = place.querySelector("button");
	if (hadFocus) first?.focus();
}

/** @param {Action} action */
function perform({ run }) {
	if (!isSaving) void run();
}

/** @param {Action} action */
function button(action) {
	const key = element("kbd", { "aria-hidden": "true" }, keyNames[action.key] ?? action.key);
	const made = element("button", { type: "button", "aria-keyshortcuts": action.key }, key, ` ${action.name}`);
	made.addEventListener("click", () => perform(action));
	return made;
}

addEventListener("keydown", (event) => {
	if (event.repeat || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
	const action = choices.find(({ key }) => key.toLowerCase() === event.key.toLowerCase());
	if (action === undefined) return;
	event.preventDefault();
	perform(action);
});

showAnswer("");
