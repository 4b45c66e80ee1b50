// The utility process: the model lives here, so that whatever happens to it leaves the windows alone.
import { embeddedDefault, InferenceGuard } from "inferenceguard";

const loading = InferenceGuard.load(embeddedDefault);
loading.catch(() => {}); // every job tells it

/** By the number of the job. */
const running = new Map();

async function generate(job, prompt) {
	const send = (message) => process.parentPort.postMessage({ job, ...message });
	const controller = new AbortController();
	running.set(job, controller);
	try {
		const guard = await loading;
		const stream = guard.stream({ prompt, maxTokens: 64, signal: controller.signal });
		for await (const { text } of stream) send({ type: "piece", text });
		const { outcome, safety } = await stream.reply;
		send({ type: "reply", outcome, cost: safety.cost, budget: safety.budget });
	} catch ({ code, message }) {
		send({ type: "error", code, message });
	} finally {
		running.delete(job);
	}
}

process.parentPort.on("message", ({ data: { type, job, prompt } }) => {
	if (type === "generate") void generate(job, prompt);
	else running.get(job)?.abort();
});
