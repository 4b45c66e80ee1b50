// What the server says about itself, as llama-server does.
import type { InferenceGuard } from "../guard/guard.js";
import type { ServerOptions } from "./options.js";
import { sampledValues } from "./schema.js";
import { constraintName, type ServerFacts } from "./wire.js";

export function propsOf(guard: InferenceGuard, options: ServerOptions, { model, fingerprint }: ServerFacts) {
	const { contextSize, chatTemplate } = guard.info;
	const { search, resolved, parallel, clientOptions } = options;
	return {
		default_generation_settings: {
			n_ctx: contextSize,
			params: { seed: -1, ...sampledValues(resolved), n_predict: search.maxTokens },
		},
		total_slots: parallel,
		model_alias: model,
		chat_template: chatTemplate,
		modalities: { vision: false, audio: false },
		build_info: fingerprint,
		is_sleeping: false,
		guard: {
			strategy: search.strategy ?? "guard",
			enforced: resolved.objective === "augmented",
			certified: guard.isCertified(resolved),
			constraints: guard.limits.map(({ budget }, i) => ({ id: constraintName(i), budget })),
			client_options: clientOptions,
		},
	};
}
