// Hostile inputs of every class, and guarded responses that are checked by arithmetic of their own; prints the table of docs/reliability.md.
// `npm run bench:reliability [-- --inputs 8000 --responses 10000 --seed 1]`
import { parseArgs } from "node:util";
import { fuzz } from "../test/fuzz/fuzz.mjs";
import { targets } from "../test/fuzz/targets.mjs";
import { checkResponses } from "./reliability/responses.mjs";

const { values: flags } = parseArgs({
	options: {
		inputs: { type: "string", default: "8000" },
		responses: { type: "string", default: "10000" },
		seed: { type: "string", default: "1" },
	},
});
const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
const count = (n) => n.toLocaleString("en");

line(["class", "seed", "inputs", "taken", "refused with a code", "without a code", "crashes", "hangs"]);
line(Array(8).fill("---"));
const sum = { tried: 0, read: 0, coded: 0, uncoded: 0, crashes: 0, hangs: 0 };
for (const target of Object.keys(targets)) {
	const found = await fuzz(target, { inputs: Number(flags.inputs), seed: Number(flags.seed) });
	for (const key of Object.keys(sum)) sum[key] += found[key];
	line([target, flags.seed, ...Object.keys(sum).map((key) => count(found[key]))]);
}
line(["all", flags.seed, ...Object.values(sum).map(count)]);

const { responses, aborted, refused, streamed, overBudget, leaked } = await checkResponses(Number(flags.responses), Number(flags.seed));
console.log(
	`\n${count(responses)} guarded responses (${count(streamed)} streamed, ${count(refused)} refused, ${count(aborted)} aborted; seed ${flags.seed}): ` +
		`${overBudget} over budget, ${leaked} that streamed what is not of an answer within budget.`,
);
