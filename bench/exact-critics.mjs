// Critics that were trained on rollouts of random small Markov decision processes, beside the exact critic: errors of pSafe and value, and how
// many searches find as much. `npm run bench:exact-critics [-- --models 10 --json]`
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compareWithExact } from "./exact-critics/compare.mjs";

const { values: flags } = parseArgs({ options: { models: { type: "string", default: "10" }, json: { type: "boolean" } } });

const folder = mkdtempSync(join(tmpdir(), "exact-critics-"));
process.once("exit", () => rmSync(folder, { recursive: true }));

const rows = [];
for (let seed = 1; seed <= Number(flags.models); seed++) rows.push({ model: seed, ...(await compareWithExact(seed, folder)) });

if (flags.json) console.log(JSON.stringify({ rows }));
else console.table(rows.map((row) => ({ ...row, pSafeError: row.pSafeError.toFixed(4), valueError: row.valueError.toFixed(4) })));
