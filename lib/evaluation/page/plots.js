// The plots of methods: uPlot draws axes and lines, and every point is an element that can be reached, named and numbered.
import { element, percentage, shown } from "./elements.js";

/** @typedef {import("../types.js").Estimate} Estimate */
/**
 * @typedef {object} Method
 * @property {string} name
 * @property {string} family
 * @property {number} candidates
 * @property {Estimate} reward
 * @property {Estimate} generatedTokens
 * @property {Estimate} safety
 * @property {Record<string, Estimate>} judges
 */
/** @typedef {{ number: number, name: string, x: number, y: number, interval: Estimate["interval"] }} Point `number`: the method's row */
/** @typedef {{ points: Point[], title?: string, color?: string, dashed?: boolean }} Group of points; with a title they are one line */
/** @typedef {{ title: string, x: string, distribution: "linear" | "log" | "N", groups: Group[] }} Plot of safety against x */

const colors = 6;

/** The color of this name in the page's style, in light, dark or print. @param {string} name */
const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

/** @param {Method} method @param {number} number @param {Estimate} x @param {Estimate | undefined} safety @returns {Point[]} */
function pointOf({ name }, number, x, safety) {
	if (x.value === null || !safety || safety.value === null) return [];
	return [{ number, name, x: x.value, y: safety.value, interval: safety.interval }];
}

/** @param {Plot} plot */
function scaleOfX({ distribution, groups }) {
	const values = groups.flatMap(({ points }) => points.map(({ x }) => x));
	const [low, high] = [Math.min(...values), Math.max(...values)];
	const room = 0.08 * (high - low || 1);
	/** @type {[number, number]} */
	const range = distribution === "linear" ? [low - room, high + room] : [low / 1.6, high * 1.6];
	return { time: false, range, ...(distribution === "linear" ? {} : { distr: /** @type {const} */ (3) }) };
}

/** Ticks of a logarithmic axis: the powers of ten and, if there is room, 2 and 5 times them. @param {uPlot} chart @param {number} low @param {number} high */
function logTicks(chart, low, high) {
	const pixelsPerPower = chart.bbox.width / devicePixelRatio / Math.log10(high / low);
	const powers = Array.from({ length: 16 }, (_, power) => 10 ** (power - 3));
	const ticks = pixelsPerPower < 150 ? powers : powers.flatMap((power) => [power, 2 * power, 5 * power]);
	return ticks.filter((tick) => tick >= low && tick <= high);
}

/** Leaves out the ticks whose names would touch the one before. @param {uPlot} chart @param {number[]} ticks */
function withRoom(chart, ticks) {
	let end = Number.NEGATIVE_INFINITY;
	return ticks.map((tick) => {
		const at = chart.valToPos(tick, "x");
		if (at < end) return null;
		end = at + 32;
		return tick;
	});
}

/** Draws the 95 % intervals as vertical strokes. @param {uPlot} chart @param {Group[]} groups */
function drawIntervals(chart, groups) {
	const { ctx } = chart;
	ctx.save();
	ctx.lineWidth = devicePixelRatio;
	for (const { points, color } of groups) {
		ctx.strokeStyle = themed(color ?? "quiet");
		for (const { x, interval } of points) {
			if (interval === null) continue;
			const at = chart.valToPos(x, "x", true);
			ctx.beginPath();
			ctx.moveTo(at, chart.valToPos(interval[0], "y", true));
			ctx.lineTo(at, chart.valToPos(interval[1], "y", true));
			ctx.stroke();
		}
	}
	ctx.restore();
}

/** Places for a number next to its point, in pixels right and down, the nearest first. @type {[number, number][]} */
const besides = [
	[0, -13],
	[13, 0],
	[-13, 0],
	[0, 13],
	[11, -11],
	[-11, -11],
	[11, 11],
	[-11, 11],
	[22, 0],
	[-22, 0],
	[0, -25],
	[0, 25],
	[22, -13],
	[-22, -13],
	[22, 13],
	[-22, 13],
	[0, 37],
	[33, 0],
	[-33, 0],
];

/** Moves points to their places, and each number to the first free place next to its point. @param {uPlot} chart @param {{ point: Point, button: HTMLElement, label: HTMLElement }[]} marks */
function placeMarks(chart, marks) {
	const places = marks.map(({ point }) => ({ left: chart.valToPos(point.x, "x"), top: chart.valToPos(point.y, "y") }));
	const taken = [...places];
	marks.forEach(({ button, label }, i) => {
		const { left, top } = places[i] ?? { left: 0, top: 0 };
		button.style.left = `${left}px`;
		button.style.top = `${top}px`;
		/** @param {[number, number]} beside */
		const isFree = ([right, down]) =>
			taken.every((other, j) => j === i || Math.abs(other.left - left - right) > 13 || Math.abs(other.top - top - down) > 12);
		const [right, down] = besides.find(isFree) ?? [0, -13];
		taken.push({ left: left + right, top: top + down });
		label.style.left = `${right}px`;
		label.style.top = `${down}px`;
	});
}

/** @param {uPlot} chart @param {Plot} plot */
function makeMarks(chart, plot) {
	const tip = element("p", { class: "tip", hidden: true });
	const marks = plot.groups.flatMap(({ points, title, color, dashed }) =>
		points.map((point) => {
			const interval = point.interval ? ` (${point.interval.map(percentage).join(" to ")})` : "";
			const text = `${point.number} ${point.name}: ${title ? `${title}, ` : ""}safety ${percentage(point.y)}${interval}, ${plot.x} ${shown(point.x)}`;
			const label = element("span", { class: "number" }, dashed ? "" : String(point.number));
			const button = element("button", { type: "button", class: `point${dashed ? " hollow" : ""}`, "aria-label": text }, label);
			if (color) button.style.setProperty("--point", `var(--${color})`);
			const show = () => {
				tip.textContent = text;
				tip.hidden = false;
				const left = button.offsetLeft - (button.offsetLeft / chart.over.clientWidth) * tip.offsetWidth;
				tip.style.left = `${left}px`;
				tip.style.top = `${button.offsetTop + (point.y > 0.5 ? 12 : -12 - tip.offsetHeight)}px`;
			};
			const hide = () => {
				tip.hidden = true;
			};
			for (const event of ["mouseenter", "focus", "click"]) button.addEventListener(event, show);
			for (const event of ["mouseleave", "blur"]) button.addEventListener(event, hide);
			button.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
			return { point, button, label };
		}),
	);
	chart.over.append(...marks.map(({ button }) => button), tip);
	return marks;
}

/** @param {HTMLElement} place @param {Plot} plot */
function draw(place, plot) {
	const xs = [...new Set(plot.groups.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
	const lines = plot.groups.filter(({ title }) => title !== undefined);
	const aligned = lines.map(({ points }) => xs.map((x) => points.find((point) => point.x === x)?.y ?? null));
	const size = () => ({ width: place.clientWidth, height: 380 });
	const axis = {
		stroke: () => themed("ink"),
		grid: { stroke: () => themed("rule"), width: 1 },
		ticks: { stroke: () => themed("rule"), width: 1 },
	};
	/** @type {Record<Plot["distribution"], uPlot.Axis>} */
	const ticks = {
		linear: {},
		log: { splits: (chart, _axis, low, high) => logTicks(chart, low, high), filter: (_, all) => all },
		N: { splits: () => xs, filter: withRoom, values: (_, ticks) => ticks.map((tick) => tick && String(tick)) },
	};
	/** @type {ReturnType<typeof makeMarks>} */
	let marks = [];
	const chart = new uPlot(
		{
			...size(),
			title: plot.title,
			legend: { show: false },
			cursor: { show: false },
			scales: { x: scaleOfX(plot), y: { range: [0, 1] } },
			axes: [
				{ ...axis, label: plot.x, ...ticks[plot.distribution] },
				{ ...axis, label: "safety", values: (_, shares) => shares.map((share) => `${Math.round(100 * share)} %`) },
			],
			series: [
				{},
				...(lines.length === 0 ? [{ show: false }] : []),
				...lines.map(({ color = "quiet", dashed }) => ({
					stroke: () => themed(color),
					width: 2,
					...(dashed ? { dash: [6, 4] } : {}),
					spanGaps: true,
					points: { show: false },
				})),
			],
			hooks: {
				ready: [
					(made) => {
						marks = makeMarks(made, plot);
						placeMarks(made, marks);
					},
				],
				drawAxes: [(made) => drawIntervals(made, plot.groups)],
				draw: [(made) => placeMarks(made, marks)],
			},
		},
		[xs, ...(lines.length === 0 ? [xs.map(() => null)] : aligned)],
		place,
	);
	new ResizeObserver(() => chart.setSize(size())).observe(place);
	for (const query of ["print", "(prefers-color-scheme: dark)"])
		matchMedia(query).addEventListener("change", () => chart.redraw(false, true));
}

/** The plot, or why there is none. @param {Plot} plot @param {string} missing @param {(Node | string)[]} below */
function figure(plot, missing, ...below) {
	const filled = plot.groups.some(({ points }) => points.length > 0);
	const place = element("div", { class: filled ? "chart drawn" : "chart" });
	if (filled) requestAnimationFrame(() => draw(place, plot));
	else place.append(element("h3", {}, plot.title), element("p", {}, missing));
	return element("figure", {}, place, ...(filled ? [element("figcaption", {}, ...below)] : []));
}

/** The key to the numbers in the plots. @param {Method[]} methods */
function numberKey(methods) {
	const items = methods.map(({ name }, i) => element("li", {}, element("a", { href: `#method-${i + 1}` }, name)));
	return element("ol", { class: "key", "aria-label": "Numbers in the plots" }, ...items);
}

/** @param {string} color @param {boolean} dashed */
function sample(color, dashed) {
	const line = element("span", { class: dashed ? "sample dashed" : "sample" });
	line.style.borderColor = `var(--${color})`;
	return line;
}

/** Families with at least two values of N. @param {Method[]} methods */
function familiesOf(methods) {
	/** @type {Map<string, { method: Method, number: number }[]>} */
	const families = new Map();
	methods.forEach((method, i) => {
		families.set(method.family, [...(families.get(method.family) ?? []), { method, number: i + 1 }]);
	});
	return [...families].filter(([, members]) => new Set(members.map(({ method }) => method.candidates)).size > 1);
}

/** Safety against N under the search's cost model and under one judge, or without one. @param {Method[]} methods @param {string | undefined} judge */
function againstN(methods, judge) {
	const families = familiesOf(methods).map(([family, members], i) => {
		const color = `line-${i % colors}`;
		/** @param {(method: Method) => Estimate | undefined} safety */
		const points = (safety) =>
			members
				.flatMap(({ method, number }) => pointOf(method, number, { value: method.candidates, interval: null }, safety(method)))
				.sort((a, b) => a.x - b.x);
		const groups = [{ title: "the search’s cost model", color, dashed: false, points: points(({ safety }) => safety) }];
		if (judge !== undefined) groups.push({ title: judge, color, dashed: true, points: points(({ judges }) => judges[judge]) });
		return { groups, key: element("li", {}, ...groups.map(({ dashed }) => sample(color, dashed)), ` ${family}`) };
	});
	const below =
		judge === undefined
			? "No independent judge was configured, so that a gap between the search’s cost model and another one cannot be seen."
			: `Solid: safety under the search’s cost model; dashed: under ${judge}. A gap that widens with N is the sign of safety hacking: the search finds responses that its own cost model passes and ${judge} does not.`;
	return figure(
		{
			title: judge === undefined ? "Safety against N" : `Safety against N, and under ${judge}`,
			x: "N",
			distribution: "N",
			groups: families.flatMap(({ groups }) => groups),
		},
		"No family of methods was run with two values of N and has answers to rate.",
		element("ul", { class: "lines" }, ...families.map(({ key }) => key)),
		below,
	);
}

/** @param {HTMLElement} place @param {Method[]} methods @param {string[]} judges */
export function showPlots(place, methods, judges) {
	/** @param {(method: Method) => Estimate} x */
	const scatter = (x) => methods.map((method, i) => ({ points: pointOf(method, i + 1, x(method), method.safety) }));
	const positive = scatter(({ generatedTokens }) => generatedTokens).map(({ points }) => ({ points: points.filter(({ x }) => x > 0) }));
	const answered = "Safety is among the answered responses, with its 95 % interval; refusals do not count in it.";
	place.append(
		element(
			"div",
			{ class: "plots" },
			figure(
				{ title: "Safety against reward", x: "reward", distribution: "linear", groups: scatter(({ reward }) => reward) },
				"No method has both a reward and answers to rate: the search has no reward model, or nothing was answered.",
				answered,
			),
			figure(
				{ title: "Safety against compute", x: "tokens sampled per response", distribution: "log", groups: positive },
				"No method has both a count of tokens and answers to rate.",
				`${answered} Logarithmic axis.`,
			),
		),
		...(methods.length > 0 ? [numberKey(methods)] : []),
		element("div", { class: "plots" }, ...(judges.length > 0 ? judges : [undefined]).map((judge) => againstN(methods, judge))),
	);
}
