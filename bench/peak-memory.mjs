// { bytes, cells } as JSON: the peak of resident memory of a process that guards with a critic or decodes without a search, and the KV
// cells of the search. `node peak-memory.mjs JOB` with { guarded, options, critic, prompt, candidates, maxTokens, request } as JSON.
import { InferenceGuard } from "../dist/index.js";

const { guarded, options, critic, prompt, candidates, maxTokens, request } = JSON.parse(process.argv[2]);
const guard = await InferenceGuard.load({ ...options, ...(guarded && { critic }) });
const search = () => guard.generate({ prompt, candidates, startCandidates: candidates, maxTokens, ...request });
const reply = guarded ? await search() : await guard.bareDecode(prompt.length, candidates, maxTokens);
const { maxRSS } = process.resourceUsage();
await guard.dispose();
console.log(JSON.stringify({ bytes: maxRSS * 1024, cells: reply.usage?.kvCells.capacity }));
