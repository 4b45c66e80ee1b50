// What bundlers bundle: everything of the main entry that reads a file of the package, starts a thread or a process, or loads the binary.
import { embeddedDefault, InferenceGuard } from "inferenceguard";

async function main() {
	const guard = await InferenceGuard.load({ ...embeddedDefault, isolate: true });
	const { outcome, text } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 16, blockLength: 8, seed: 1 });
	await guard.dispose();
	console.log(JSON.stringify({ outcome, text }));
}

main().catch(({ code, message }) => {
	console.error(`${code}: ${message}`);
	process.exitCode = 1;
});
