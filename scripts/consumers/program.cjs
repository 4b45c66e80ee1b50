// The same program, as CommonJS for Node itself; it loads the other entries too.
const { embeddedDefault, InferenceGuard } = require("inferenceguard");

require("inferenceguard/evaluation");
require("inferenceguard/training");

async function main() {
	const guard = await InferenceGuard.load({ ...embeddedDefault, isolate: true });
	const { outcome, text } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 16, blockLength: 8, seed: 1 });
	await guard.dispose();
	console.log(JSON.stringify({ outcome, text }));
}

main();
