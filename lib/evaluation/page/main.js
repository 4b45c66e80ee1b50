// Brings the page to life with the data in it.
import { byId } from "./elements.js";
import { makeSortable } from "./method-table.js";
import { showPlots } from "./plots.js";
import { showResponses } from "./responses.js";

/** @type {{ judges: string[], methods: import("./plots.js").Method[], responses: import("../types.js").ReportResponse[], left: number }} */
const { judges, methods, responses, left } = JSON.parse(byId("data").textContent ?? "");
const table = /** @type {HTMLTableElement} */ (byId("methods"));
makeSortable(table);
byId("all-columns").addEventListener("change", () => table.classList.toggle("compact"));
showPlots(byId("plots"), methods, judges);
showResponses(byId("responses"), responses, left);
