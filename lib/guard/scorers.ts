// Cost and reward models on language models, in the form the addon takes.

import { type GuardTemplate, guardTemplate, recogniseGuard } from "../costs/guard-templates.js";
import { selfTestPairs } from "../costs/self-test.js";
import { InvalidOptionError } from "../errors.js";
import { readEncoder } from "../files/encoder.js";
import { readProbe } from "../files/probe.js";
import { callAddon } from "../native/addon.js";
import type { NativeScorer, NativeTemplate } from "../native/protocol.js";
import type { CheckedCostModel, CheckedRewardModel } from "../options/load.js";
import { conversationPieces } from "../prompt/chat.js";

type Model<K extends PropertyKey, M> = M extends Record<K, unknown> ? M : never;
type GuardModel = Model<"guardModel", CheckedCostModel>;
type SequenceClassifier = Model<"sequenceClassifier", CheckedCostModel | CheckedRewardModel>;
type ScoreModel = Model<"scoreModel", CheckedCostModel | CheckedRewardModel>;

interface Pieces {
	before: string;
	between: string;
	after: string;
}

/** How the usual vocabularies write control tokens. */
const controlToken = /<\|[^|<>\s]+\|>|<\/?s>|<[be]os>|\[(?:CLS|SEP)\]/g;

/** A template of prompt and response; whatever looks like a control token has to be one. */
function conversation({ before, between, after }: Pieces): NativeTemplate {
	const controls = [...new Set([before, between, after].flatMap((text) => text.match(controlToken) ?? []))];
	return { before, between, after: [after], controls, trims: false, safe: [], unsafe: [], beforeCategory: "", categories: [] };
}

function metadata(path: string): Map<string, string> {
	return new Map(callAddon((native) => native.inspect(path)).metadata.map(({ key, value }) => [key, value]));
}

const list = (labels: string | string[]) => (typeof labels === "string" ? [labels] : labels);

function guardTemplateOf({ guardModel, template, risk }: GuardModel): NativeTemplate {
	if (typeof template === "object") {
		const { safe, unsafe, categories } = template;
		return {
			...conversation(template),
			safe: list(safe),
			unsafe: list(unsafe),
			beforeCategory: categories?.before ?? "",
			categories: categories?.names ?? [],
		};
	}
	const known = metadata(guardModel);
	const names = ["general.name", "general.basename"].map((key) => known.get(key) ?? "");
	const name = template ?? recogniseGuard(names, known.get("tokenizer.chat_template") ?? "");
	if (name === undefined) {
		throw new InvalidOptionError(
			`template: expected one for ${guardModel}, whose name and chat template are none of a known guard model; ` +
				"name the model it was made from, or give { before, between, after, safe, unsafe }",
		);
	}
	if (risk !== undefined && name !== "graniteGuardian") {
		throw new InvalidOptionError(`risk: expected one with Granite Guardian only, got "${risk}" for ${name}`);
	}
	const found: GuardTemplate = guardTemplate(name, risk);
	return { ...found, controls: [...found.controls] };
}

const beaver: Pieces = { before: "BEGINNING OF CONVERSATION: USER: ", between: " ASSISTANT:", after: "</s>" };

async function scoreTemplate({ scoreModel: { body }, template }: ScoreModel): Promise<NativeTemplate> {
	if (template) return conversation(template === "beaver" ? beaver : template);
	const own = metadata(body).get("tokenizer.chat_template") ?? "";
	const pieces = own === "" || own.includes("eos_token") ? undefined : await conversationPieces(own);
	if (!pieces) {
		throw new InvalidOptionError(
			`template: expected one for ${body}, which has no chat template that says how prompt and response are joined; ` +
				'give "beaver" or { before, between, after }',
		);
	}
	return conversation(pieces);
}

const pairs = (selfTest: GuardModel["selfTest"]) => (selfTest === false ? [] : [...(selfTest ?? selfTestPairs)]);

export function encoderScorer({ encoder, probe, uncertaintyPenalty, selfTest }: Model<"encoder", CheckedCostModel>): NativeScorer {
	const given = { ...(uncertaintyPenalty !== undefined && { uncertaintyPenalty }), ...(probe !== undefined && { probe }) };
	return { kind: "encoder", path: encoder, head: "", ...given, labels: [], selfTest: pairs(selfTest), higher: "unsafe" };
}

export function probeScorer(path: string, selfTest: GuardModel["selfTest"]): NativeScorer {
	const readsMeans = readProbe(path).means !== undefined;
	if (readsMeans && selfTest) {
		throw new InvalidOptionError(`selfTest: expected none for ${path}, which judges what the model generates; test it with CostScorer`);
	}
	return { kind: "probe", path, head: "", labels: [], selfTest: pairs(readsMeans ? false : selfTest), higher: "unsafe" };
}

export function guardModelScorer(cost: GuardModel): NativeScorer {
	const template = guardTemplateOf(cost);
	return { kind: "guardModel", path: cost.guardModel, head: "", template, labels: [], selfTest: pairs(cost.selfTest), higher: "unsafe" };
}

export function sequenceClassifierScorer(
	{ sequenceClassifier, template, multiLabel }: SequenceClassifier,
	labels: string[],
	selfTest: GuardModel["selfTest"],
): NativeScorer {
	const given = { ...(template && { template: conversation(template) }), ...(multiLabel !== undefined && { multiLabel }) };
	return { kind: "sequenceClassifier", path: sequenceClassifier, head: "", ...given, labels, selfTest: pairs(selfTest), higher: "unsafe" };
}

export async function scoreModelScorer(model: ScoreModel, selfTest: GuardModel["selfTest"]): Promise<NativeScorer> {
	const { body, head } = model.scoreModel;
	return {
		kind: "scoreModel",
		path: body,
		head,
		template: await scoreTemplate(model),
		labels: [],
		selfTest: pairs(selfTest),
		higher: "unsafe",
	};
}

/** Names of the categories that it knows. */
export function categoriesOf({ kind, path, template }: NativeScorer): readonly string[] {
	return kind === "encoder" ? readEncoder(path).categories : (template?.categories ?? []);
}
