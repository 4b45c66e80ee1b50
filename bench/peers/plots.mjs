// The plots of bench:peers as SVG: time per generated token against N, T and the length of the prompt, one panel per model, one
// line per system; bars span the quartiles.
import { parse, View } from "vega";
import { compile } from "vega-lite";
import { models } from "../models.mjs";
import { systems } from "./grid.mjs";

const names = systems.map(({ name }) => name);
const colours = ["#222222", "#f58518", "#9d755d", "#54a24b", "#b279a2", "#4c78a8", "#e45756", "#72b7b2"];

const milliseconds = (tokensPerSecond) => 1000 / tokensPerSecond;

function specification(rows, { field, title }) {
	const values = rows.map((row) => ({
		...row,
		time: milliseconds(row.tokensPerSecond),
		slow: milliseconds(row.tokensPerSecondQuartiles[0]),
		fast: milliseconds(row.tokensPerSecondQuartiles[1]),
	}));
	const present = names.filter((name) => rows.some(({ system }) => system === name));
	const x = {
		field,
		type: "quantitative",
		title,
		scale: { type: "log", base: 2, nice: false },
		axis: { values: [...new Set(rows.map((row) => row[field]))], grid: false, format: "d", labelFlush: false },
	};
	const color = {
		field: "system",
		type: "nominal",
		title: null,
		scale: { domain: present, range: present.map((name) => colours[names.indexOf(name)]) },
		legend: { symbolOpacity: 1, labelFontSize: 12 },
	};
	const y = { type: "quantitative", title: "ms per generated token", scale: { type: "log", nice: false }, axis: { tickCount: 6 } };
	return {
		background: "white",
		padding: 10,
		data: { values },
		facet: {
			field: "model",
			type: "nominal",
			title: null,
			sort: Object.keys(models),
			header: { labelFontSize: 13, labelFontWeight: "bold" },
		},
		columns: 2,
		resolve: { scale: { x: "independent", y: "independent" } },
		spec: {
			width: 330,
			height: 250,
			encoding: { x, color },
			layer: [
				{ mark: { type: "rule", opacity: 0.6 }, encoding: { y: { ...y, field: "fast" }, y2: { field: "slow" } } },
				{ mark: { type: "line", point: { size: 25 } }, encoding: { y: { ...y, field: "time" } } },
			],
		},
		config: { font: "sans-serif" },
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
