// The plots of docs/performance.md as SVG: time per generated token against N, T and the length of the prompt, one panel per model, one
// line per system; bars span the quartiles.
import { parse, View } from "vega";
import { compile } from "vega-lite";
import { systems } from "./grid.mjs";
import { models } from "./models.mjs";

const names = systems.map(({ name }) => name);

/** Rows of the summary in the units of the plots: milliseconds per generated token. */
const pointsOf = (rows) =>
	rows.map((row) => ({
		...row,
		milliseconds: 1000 / row.tokensPerSecond,
		fastest: 1000 / row.tokensPerSecondQuartiles[1],
		slowest: 1000 / row.tokensPerSecondQuartiles[0],
	}));

function specification(rows, { field, title }) {
	const x = {
		field,
		type: "quantitative",
		title,
		scale: { type: "log", base: 2, nice: false },
		axis: { values: [...new Set(rows.map((row) => row[field]))], grid: false },
	};
	const colour = {
		field: "system",
		type: "nominal",
		title: "system",
		sort: names,
		scale: { domain: names.filter((name) => rows.some(({ system }) => system === name)), scheme: "tableau10" },
	};
	const y = { type: "quantitative", title: "ms per generated token", scale: { type: "log", nice: false, zero: false } };
	return {
		background: "white",
		data: { values: pointsOf(rows) },
		facet: { field: "model", type: "nominal", title: null, sort: Object.keys(models), columns: 2 },
		columns: 2,
		resolve: { scale: { y: "independent", x: "independent" } },
		spec: {
			width: 330,
			height: 250,
			encoding: { x, color: colour },
			layer: [
				{ mark: { type: "rule", opacity: 0.6 }, encoding: { y: { ...y, field: "fastest" }, y2: { field: "slowest" } } },
				{ mark: { type: "line", point: { size: 25 } }, encoding: { y: { ...y, field: "milliseconds" } } },
			],
		},
		config: { font: "sans-serif", axis: { labelFontSize: 11, titleFontSize: 11 }, view: { stroke: "#ddd" } },
	};
}

/** One SVG of rows of the summary. */
export async function plot(rows, axis) {
	const view = new View(parse(compile(specification(rows, axis)).spec), { renderer: "none" });
	try {
		return await view.toSVG();
	} finally {
		view.finalize();
	}
}
