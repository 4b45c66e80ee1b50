// Fuzzes what targets.mjs names: `npm run fuzz -- --target model --seconds 60 --seed 1`, or `--inputs 1000`; `--only 7` repeats one. Every input
// is tried in a child process. What crashes it, takes longer than ten seconds or fails without a code is kept and named; then the exit code is 1.
import { parseArgs } from "node:util";
import { findings, fuzz } from "./fuzz.mjs";
import { targets } from "./targets.mjs";

const { values } = parseArgs({
	options: {
		target: { type: "string" },
		seconds: { type: "string", default: "60" },
		inputs: { type: "string" },
		seed: { type: "string", default: "1" },
		only: { type: "string" },
		keep: { type: "string", default: findings },
	},
});
const names = values.target === undefined ? Object.keys(targets) : values.target.split(",");
const unknown = names.filter((name) => !(name in targets));
if (unknown.length > 0) {
	console.error(
		`--target: expected one of ${Object.keys(targets).join(", ")}, or several with commas between them, got ${unknown.join(", ")}`,
	);
	process.exit(2);
}
const results = {};
for (const name of names) {
	results[name] = await fuzz(name, {
		...(values.inputs === undefined ? { seconds: Number(values.seconds) } : { inputs: Number(values.inputs) }),
		seed: Number(values.seed),
		only: values.only === undefined ? undefined : Number(values.only),
		keep: values.keep,
	});
	console.table(results);
}
process.exitCode = Object.values(results).some(({ uncoded, crashes, hangs }) => uncoded + crashes + hangs > 0) ? 1 : 0;
