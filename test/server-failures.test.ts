// What clients learn when the server itself fails: nothing that it rejected.
import { once } from "node:events";
import { expect, test } from "vitest";
import { InferenceGuard } from "../lib/index.js";
import { createHandler } from "../lib/server/index.js";
import { chatMetadata } from "./listening-model.js";
import { requestOf, short } from "./serving.js";
import { smallModel, temporaryFolder } from "./temporary.js";

test.each([
	["/v1/chat/completions", { messages: [{ role: "user", content: "w301" }] }],
	["/v1/completions", { prompt: "w301" }],
	["/v1/responses", { input: "w301" }],
	["/v1/moderations", { input: "w305 w306" }],
])("a candidate that a cost function quotes as it throws is in no answer of %s", async (path, body) => {
	let quoted = "";
	const cost = (candidates: readonly { text: string }[]) => {
		quoted = candidates.map(({ text }) => text).join();
		throw new Error(`cannot judge ${quoted}`);
	};
	const model = smallModel(temporaryFolder(), { metadata: chatMetadata });
	await using guard = await InferenceGuard.load({ model, cost, budget: 1, threads: 1 });
	const handler = createHandler(guard, short);
	for (const stream of path === "/v1/moderations" ? [false] : [false, true]) {
		const warned = once(process, "warning");
		const answer = await handler(requestOf(path, { ...body, stream }));
		const text = await answer.text();
		expect(text).toMatch(/"code":"callback_failed"/);
		expect(quoted).not.toBe("");
		expect(text).not.toContain("cannot judge");
		expect((await warned)[0]).toMatchObject({ code: "REQUEST_FAILED", message: expect.stringContaining("cannot judge") });
	}
});
