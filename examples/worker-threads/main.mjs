// A guard in a worker thread: where the application's threads are separate anyway. A guard keeps its own thread busy, not the one that loads
// it, so that a server does not need this.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { embeddedDefault, InferenceGuard } from "inferenceguard";

async function work() {
	const guard = await InferenceGuard.load(embeddedDefault);
	const stream = guard.stream({ prompt: workerData, maxTokens: 48 });
	for await (const { text } of stream) parentPort.postMessage({ text });
	const { outcome } = await stream.reply;
	await guard.dispose();
	parentPort.postMessage({ outcome });
}

function start(prompt) {
	const worker = new Worker(new URL(import.meta.url), { workerData: prompt });
	worker.on("message", ({ text, outcome }) => process.stdout.write(text ?? `\n${outcome}\n`));
}

if (isMainThread) start(process.argv[2] ?? "The girl opened the door.");
else await work();
