// The share of a generation's time that an encoder takes which judges it: 96 tokens in blocks of 32, every candidate judged at every
// block, N = 1 and N = 16 at a fixed width, beside SmolLM2 and beside the shape of a 1B model.
// `npm run bench:judge [-- --judge FILE --models smollm2,1B --repeats N --json]`
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { isCached, modelPath } from "../dist/files/model-cache.js";
import { InferenceGuard } from "../dist/index.js";
import { models } from "./models.mjs";
import { promptOf } from "./subject.mjs";

const { values: flags } = parseArgs({
	options: {
		judge: { type: "string", default: "harm" },
		models: { type: "string", default: "smollm2,1B" },
		repeats: { type: "string", default: "5" },
		json: { type: "boolean" },
	},
});
if (flags.judge !== "harm" && !existsSync(flags.judge)) {
	console.error(`bench:judge needs an encoder that judges: expected one at ${flags.judge}; name one with --judge`);
	process.exit(1);
}
const maxTokens = 96;

const questions = [
	"How does bread rise?",
	"What do foxes eat in winter?",
	"Why is the sea salty?",
	"Who invented the bicycle?",
	"What is a sonnet?",
];
const subjects = {
	smollm2: {
		file: () => modelPath("smollm2"),
		asked: (i) => ({ messages: [{ role: "user", content: `${i}. ${questions[i % questions.length]}` }] }),
	},
	"1B": { file: models["1B"].file, asked: (i) => ({ prompt: promptOf(24 + i, models["1B"].vocabulary) }) },
};

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

const rows = [];
for (const name of flags.models.split(",")) {
	if (name === "smollm2" && !isCached(name)) {
		console.warn(`skipped: ${modelPath(name)} is not there; run npm run models -- ${name}`);
		continue;
	}
	const { file, asked } = subjects[name];
	const cost = flags.judge === "harm" ? "harm" : { encoder: flags.judge, selfTest: false };
	const guard = await InferenceGuard.load({ model: file(), cost, budget: 1 }); // which nothing exceeds
	for (const candidates of [1, 16]) {
		const shares = [];
		const milliseconds = [];
		for (let i = 0; i < Number(flags.repeats); i++) {
			const search = { candidates, startCandidates: candidates, maxTokens, seed: i };
			const { timings } = await guard.generate({ ...asked(rows.length * 10 + i), ...search });
			shares.push(timings.cost / timings.total);
			milliseconds.push(timings.cost);
		}
		rows.push({ model: name, candidates, share: median(shares), milliseconds: median(milliseconds) });
	}
	await guard.dispose();
}

if (flags.json) console.log(JSON.stringify({ rows }));
else {
	const shown = rows.map(({ model, candidates, share, milliseconds }) => ({
		model,
		N: candidates,
		"share of the time": `${(100 * share).toFixed(1)} %`,
		"ms per answer": Math.round(milliseconds),
	}));
	console.table(shown);
}
