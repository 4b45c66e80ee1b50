// A search's tree of blocks. Its main line, the one to the answer, reads from top to bottom. Every other candidate is folded at the place
// where it left that line, and is rendered when it is unfolded.
import { counted, element, inSlices, passage, shown } from "./elements.js";

/** @typedef {import("../../trace.js").TraceNode} TraceNode */
/** @typedef {{ node: TraceNode, children: Branch[], size: number, height: number, onPath: boolean }} Branch with all that grew from it */

/** @type {Record<NonNullable<TraceNode["pruned"]>, string>} */
const reasons = {
	cost: "over budget",
	pSafe: "pSafe not above the threshold",
	notSelected: "not among the K selected",
	recheck: "failed the final re-check",
	limit: "unfinished at the token limit",
};

/** The branches that grow from the prompt. @param {TraceNode[]} trace @returns {Branch[]} */
function branchesOf(trace) {
	const branches = trace.map((node) => /** @type {Branch} */ ({ node, children: [], size: 1, height: 1, onPath: node.answer }));
	/** @type {Branch[]} */
	const roots = [];
	for (const branch of branches) (branches[branch.node.parent]?.children ?? roots).push(branch);
	for (const branch of branches.toReversed()) {
		const parent = branches[branch.node.parent];
		if (parent === undefined) continue;
		parent.size += branch.size;
		parent.height = Math.max(parent.height, branch.height + 1);
		parent.onPath ||= branch.onPath;
	}
	return roots;
}

/** The next branch of the main line: towards the answer, otherwise the deepest one; none if the search continued none. @param {Branch[]} branches */
function mainBranch(branches) {
	const answer = branches.find(({ onPath }) => onPath);
	if (answer !== undefined) return answer;
	const deepest = branches.reduce((best, branch) => (branch.height > best.height ? branch : best));
	return deepest.height > 1 || deepest.node.pruned === null ? deepest : undefined;
}

/** "5 over budget, 2 not among the K selected". @param {Branch[]} branches */
function tally(branches) {
	/** @type {Map<string, number>} */
	const counts = new Map();
	for (const { node } of branches) {
		const fate = node.pruned !== null ? reasons[node.pruned] : node.finished ? "finished" : "went on";
		counts.set(fate, (counts.get(fate) ?? 0) + 1);
	}
	return [...counts].map(([fate, count]) => `${count} ${fate}`).join(", ");
}

/** Renders its content when it is first unfolded. @param {string} title @param {() => Node} content */
function folded(title, content) {
	const details = element("details", {}, element("summary", {}, title));
	details.addEventListener("toggle", () => details.append(content()), { once: true });
	return details;
}

/** One candidate: its text, its numbers, and what became of it. @param {Branch} branch */
function candidate({ node, onPath }) {
	const numbers = [
		`tokens ${node.position + 1}–${node.position + node.tokens}`,
		`cost ${shown(node.cost)}`,
		`z ${node.z.map(shown).join(", ")}`,
		.../** @type {const} */ (["pSafe", "value", "reward", "score"])
			.filter((name) => node[name] !== null)
			.map((name) => `${name} ${shown(node[name])}`),
	];
	const marks = [
		...(node.round > 0 ? [element("span", { class: "mark" }, `retry ${node.round}`)] : []),
		...(node.finished ? [element("span", { class: "mark" }, "finished")] : []),
		...(node.pruned !== null ? [element("span", { class: "mark bad" }, `✕ ${reasons[node.pruned]}`)] : []),
		...(node.answer ? [element("span", { class: "mark good" }, "✓ answer")] : []),
	];
	return element(
		"li",
		{ class: onPath ? "candidate on-path" : "candidate" },
		passage(node.text === "" ? "(no text)" : node.text),
		element("p", { class: "numbers" }, numbers.join(" · "), " ", ...marks),
	);
}

/** A candidate off the main line, with its continuations folded. @param {Branch} branch */
function aside(branch) {
	const item = candidate(branch);
	if (branch.children.length > 0) item.append(folded(`Went on: ${counted(branch.size - 1, "candidate")}`, () => line(branch.children)));
	return item;
}

/** @param {Branch[]} branches */
function asides(branches) {
	const list = element("ol", { class: "line" });
	inSlices(
		list,
		branches.toSorted((a, b) => b.height - a.height),
		aside,
		(button) => element("li", {}, button),
	);
	return list;
}

/** The main line from here on, each block after its siblings, retry by retry. @param {Branch[]} beginning */
function line(beginning) {
	/** @type {(() => HTMLElement)[]} */
	const steps = [];
	for (let branches = beginning; branches.length > 0; ) {
		const main = mainBranch(branches);
		for (const round of new Set(branches.map(({ node }) => node.round).sort((a, b) => a - b))) {
			const others = branches.filter((branch) => branch !== main && branch.node.round === round);
			if (others.length === 0) continue;
			const beside = main?.node.round === round ? "other " : "";
			const title = `${round > 0 ? `Retry ${round}: ` : ""}${counted(others.length, `${beside}candidate`)}: ${tally(others)}`;
			steps.push(() =>
				element(
					"li",
					{ class: "asides" },
					folded(title, () => asides(others)),
				),
			);
		}
		if (main === undefined) break;
		steps.push(() => candidate(main));
		branches = main.children;
	}
	const list = element("ol", { class: "line" });
	inSlices(
		list,
		steps,
		(step) => step(),
		(button) => element("li", {}, button),
	);
	return list;
}

/** @param {TraceNode[]} trace */
export function traceTree(trace) {
	const roots = branchesOf(trace);
	const depth = Math.max(0, ...roots.map(({ height }) => height));
	const answered = roots.some(({ onPath }) => onPath);
	const details = element(
		"details",
		{ class: "tree", open: true },
		element("summary", {}, `Tree of blocks: ${counted(trace.length, "candidate")}, ${counted(depth, "block")} deep`),
		element(
			"p",
			{ class: "quiet" },
			answered
				? "The line with the bar is the path to the answer. "
				: "No candidate became the answer; the line follows the search to its deepest block. ",
			"z: what is left of each budget.",
		),
	);
	if (trace.length > 0) details.append(line(roots));
	return details;
}
