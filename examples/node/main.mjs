import { embeddedDefault, InferenceGuard, InferenceGuardError } from "inferenceguard";

const [prompt = "The girl opened the door."] = process.argv.slice(2);
const guard = await InferenceGuard.load(embeddedDefault);
try {
	const { text, outcome, safety } = await guard.generate({ prompt, maxTokens: 48 });
	console.log(`${outcome}, cost ${safety.cost} of ${safety.budget}:${text}`);

	const stream = guard.stream({ prompt, maxTokens: 48, onRefusal: "throw" });
	for await (const piece of stream) process.stdout.write(piece.text);
	console.log(`\n${(await stream.reply).outcome}`);
} catch (error) {
	if (!InferenceGuardError.isInstance(error)) throw error;
	console.error(`${error.code}: ${error.message}`);
	process.exitCode = 1;
} finally {
	await guard.dispose();
}
