// Generates with the embedded model, and prints what it did: run by cross.mjs on an emulated machine and on this one, in an application that has
// the package installed.
import { embeddedDefault, InferenceGuard } from "inferenceguard";

const prompt = [1, 300, 301, 302, 303, 304];
const guard = await InferenceGuard.load({ ...embeddedDefault, threads: 1 });

const plain = await guard.generate({ prompt, strategy: "sample", temperature: 0, maxTokens: 48, seed: 1 });
const tokens = plain.endToken === null ? plain.tokens : [...plain.tokens, plain.endToken];
const logLikelihoods = await guard.logLikelihoods(prompt, tokens);

const stream = guard.stream({ prompt: "The girl opened the door.", maxTokens: 32, blockLength: 16, seed: 1 });
let streamed = "";
for await (const piece of stream) streamed += piece.text;
const { text, outcome, safety, engine } = await stream.reply;

const stop = new AbortController();
const aborted = guard.generate({ prompt: "The girl opened the door.", signal: stop.signal });
stop.abort();
const abortedWith = await aborted.then(
	() => "nothing",
	({ code }) => code,
);
await guard.dispose();

const isWithinBudget = safety.constraints.every(({ cost, budget }) => cost <= budget);
console.log(
	JSON.stringify({ cpu: engine.cpu, tokens, logLikelihoods, text, outcome, isWithinBudget, isStreamed: streamed === text, abortedWith }),
);
