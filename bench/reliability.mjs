// Hostile inputs of every class, and guarded responses that are checked by arithmetic of their own; prints the table of docs/reliability.md.
// `npm run bench:reliability [-- --inputs 3200 --responses 10000 --seed 1]`: so many inputs of a class whose `share` in test/fuzz/ is 1.
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { fuzz } from "../test/fuzz/fuzz.mjs";
import { targets } from "../test/fuzz/targets.mjs";
import { checkResponses } from "./reliability/responses.mjs";

const { values: flags } = parseArgs({
	options: {
		inputs: { type: "string", default: "3200" },
		responses: { type: "string", default: "10000" },
		seed: { type: "string", default: "1" },
	},
});
const [inputs, seed] = [Number(flags.inputs), Number(flags.seed)];
const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
const count = (n) => n.toLocaleString("en");

line(["class", "seed", "inputs", "taken", "refused with a code", "without a code", "crashes", "hangs"]);
line(Array(8).fill("---"));
const sum = { tried: 0, read: 0, coded: 0, uncoded: 0, crashes: 0, hangs: 0 };
const waiting = Object.keys(targets);

/** Takes classes from those that wait, one after the other. */
async function tryClasses() {
	for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
		const found = await fuzz(name, { inputs, seed });
		for (const key of Object.keys(sum)) sum[key] += found[key];
		line([name, seed, ...Object.keys(sum).map((key) => count(found[key]))]);
	}
}

await Promise.all(Array.from({ length: availableParallelism() }, tryClasses));
line(["all", seed, ...Object.values(sum).map(count)]);

const { responses, aborted, refused, streamed, overBudget, leaked } = await checkResponses(Number(flags.responses), seed);
console.log(
	`\n${count(responses)} guarded responses (${count(streamed)} streamed, ${count(refused)} refused, ${count(aborted)} aborted; seed ${seed}): ` +
		`${overBudget} over budget, ${leaked} that streamed what is not of an answer within budget.`,
);
