// What bundlers bundle: all entries, and of the main one what reads files of the package, starts threads and processes, and loads the binary.
import { embeddedDefault, InferenceGuard } from "inferenceguard";
import { evaluate } from "inferenceguard/evaluation";
import { createHandler } from "inferenceguard/server";
import { trainCost } from "inferenceguard/training";

async function main() {
	const guard = await InferenceGuard.load({ ...embeddedDefault, isolate: true });
	const { outcome, text } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 16, blockLength: 8, seed: 1 });
	await guard.dispose();
	if ([createHandler, evaluate, trainCost].some((one) => typeof one !== "function"))
		throw new Error("expected functions of the other entries");
	console.log(JSON.stringify({ outcome, text }));
}

main().catch(({ code, message }) => {
	console.error(`${code}: ${message}`);
	process.exitCode = 1;
});
