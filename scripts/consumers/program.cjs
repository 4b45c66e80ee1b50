// The same program, as CommonJS for Node itself.
const { embeddedDefault, InferenceGuard } = require("inferenceguard");
const { evaluate } = require("inferenceguard/evaluation");
const { createHandler } = require("inferenceguard/server");
const { trainCost } = require("inferenceguard/training");

async function main() {
	const guard = await InferenceGuard.load({ ...embeddedDefault, isolate: true });
	const { outcome, text } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 16, blockLength: 8, seed: 1 });
	await guard.dispose();
	if ([createHandler, evaluate, trainCost].some((one) => typeof one !== "function"))
		throw new Error("expected functions of the other entries");
	console.log(JSON.stringify({ outcome, text }));
}

main();
