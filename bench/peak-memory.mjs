// The peak of resident memory, in bytes, of a process that guards with a critic or decodes as much without a search:
// `node peak-memory.mjs JOB` with { guarded, options, critic, prompt, candidates, maxTokens, request } as JSON.
import { InferenceGuard } from "../dist/index.js";

const { guarded, options, critic, prompt, candidates, maxTokens, request } = JSON.parse(process.argv[2]);
const guard = await InferenceGuard.load({ ...options, ...(guarded && { critic }) });
if (guarded) await guard.generate({ prompt, candidates, startCandidates: candidates, maxTokens, ...request });
else await guard.bareDecode(prompt.length, candidates, maxTokens);
const { maxRSS } = process.resourceUsage();
await guard.dispose();
console.log(maxRSS * 1024);
