import { isCached, modelPath } from "../files/model-cache.js";
import { answerQuestions } from "./demo-chat.js";
import type { DemoFlags } from "./demo-figures.js";
import { openTree } from "./demo-page.js";
import { tellStories } from "./demo-stories.js";
import { tell } from "./terminal.js";

/** The model that answers; undefined for stories. */
function chatModel({ model, embedded }: DemoFlags): string | undefined {
	if (model !== undefined || embedded) return model;
	if (isCached("smollm2")) return modelPath("smollm2");
	tell(
		"There is no chat model here (name one with --model FILE, or get one in a clone with `npm run models -- smollm2`), " +
			"so the story model that comes along tells a story.\n",
	);
	return undefined;
}

export async function demo(flags: DemoFlags): Promise<void> {
	const model = chatModel(flags);
	const shown = model === undefined ? await tellStories(flags) : await answerQuestions(model, flags);
	if (flags.open) await openTree(shown);
}
