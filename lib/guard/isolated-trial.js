// @ts-check
// Loads the given files in a separate process and takes a first step. A crash ends only this process. JavaScript without imports of this
// package, so that Node can run it unchanged wherever the package runs.
import { createRequire } from "node:module";

const [opening, stepping] = [1, 2];

process.once("message", ({ addonPath, spec, step, request }) => {
	const addon = createRequire(import.meta.url)(addonPath);
	const end = (/** @type {{ code: string, message: string } | undefined} */ failure) =>
		process.send?.({ failure }, undefined, undefined, () => process.exit());
	const handle = addon.start((/** @type {number} */ id, /** @type {string} */ kind, /** @type {any} */ payload) => {
		if (kind === "failed") end(payload);
		else if (kind === "done" && id === opening) addon.submit(handle, stepping, step, request);
		else if (kind === "done") end(undefined);
		// the application's functions are not available here
		else if (kind === "cost" || kind === "reward") addon.answer(handle, id, new Float64Array(payload.candidates.length));
	});
	addon.submit(handle, opening, "open", spec);
});
