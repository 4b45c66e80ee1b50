// What is compared: systems, and the grid of models, prompts, candidates N and response lengths T.

const fixedWidth = (candidates) => ({ startCandidates: candidates });
const withCritic = { estimator: "critic", pSafeThreshold: 0, ranksByValue: false };

const inferenceguard = (name, options, more) => ({ name, runner: "inferenceguard", options, ...more });

/** In the order of the tables. `options`: those of `generate` at N candidates. */
export const systems = [
	{ name: "batched-bench", runner: "batched-bench" },
	{ name: "node-llama-cpp", runner: "node-llama-cpp" },
	inferenceguard("sample", () => ({ strategy: "sample" }), { only: (candidates) => candidates === 1 }),
	inferenceguard("bestOfN", () => ({ strategy: "bestOfN" })),
	inferenceguard("beam", () => ({ strategy: "beam" })),
	inferenceguard("guard", (candidates) => ({ estimator: "models", ...fixedWidth(candidates) })),
	inferenceguard("guard-critic", (candidates) => ({ ...withCritic, ...fixedWidth(candidates) }), { critic: true }),
	inferenceguard("guard-adaptive", () => ({ estimator: "models" })),
];

export const prompts = [32, 256, 1024];
export const widths = [1, 4, 8, 16, 32, 64, 128];
export const length = 64;

/** How the time depends on T is asked at one prompt and one N. */
export const lengthSweep = { prompt: 256, candidates: 16, lengths: [16, 32, 64, 128, 256] };

/** Cells { model, prompt, candidates, tokens } of what was asked for; `tokens` undefined: T = 64, and the sweep over T. */
export function cellsOf({ models, prompts, candidates, tokens }) {
	const lengthsOf = (prompt, width) => {
		if (tokens) return tokens;
		return prompt === lengthSweep.prompt && width === lengthSweep.candidates ? lengthSweep.lengths : [length];
	};
	return models.flatMap((model) =>
		prompts.flatMap((prompt) =>
			candidates.flatMap((width) => lengthsOf(prompt, width).map((tokens) => ({ model, prompt, candidates: width, tokens }))),
		),
	);
}
