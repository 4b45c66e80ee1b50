// The commands and their options, and how a command line runs.
import { Command, CommanderError, Option } from "commander";
import { packageVersion } from "../base/package-files.js";
import { printable } from "../base/printable.js";
import {
	InferenceGuardError,
	InvalidCertificateError,
	InvalidDataError,
	InvalidJournalError,
	InvalidLexiconError,
	InvalidOptionError,
} from "../errors.js";
import { presetNames } from "../evaluation/presets.js";
import { engineRows } from "../options/engine.js";
import { settings } from "../options/settings.js";
import { strategyNames } from "../options/strategies.js";
import { handlerRows, listenRows } from "../server/options.js";
import { answersCommand } from "./answers.js";
import { calibrateCommand, verifyCommand } from "./calibrate.js";
import { convertCommand } from "./convert.js";
import { demo } from "./demo.js";
import { devices } from "./devices.js";
import { evalCommand } from "./eval.js";
import { inFlags } from "./flags.js";
import { generate } from "./generate.js";
import { inspect } from "./inspect.js";
import { installCommand } from "./install.js";
import { labelCommand } from "./label.js";
import { collect } from "./loading.js";
import { rolloutsCommand } from "./rollouts.js";
import { addFlags, ofNames } from "./row-flags.js";
import { serveCommand } from "./serve.js";
import { steerVectorCommand } from "./steer-vector.js";
import { complain, print } from "./terminal.js";
import { trainCommand } from "./train.js";
import { trainCostCommand } from "./train-cost.js";

const exitCodes = { answered: 0, failure: 1, usage: 2, refused: 3 };

const strategy = ofNames(new Option("--strategy <name>", "how to search"), strategyNames).default("guard");

const nowHelp = "the date that the chat template reads, such as 2026-11-28 (default: the day on which the run begins)";
const costHelp =
	"cost model: harm (default), a lexicon (one term per line, or JSON), or a GGUF file: a trained classifier, probe or encoder, a sequence " +
	"classifier, or a guard model; may be given several times";
const budgetHelp = "largest cumulative cost of a response, one per --cost in order (default: the cost model's recommendation, or 0)";

const rewardHelp = "lexicon of desirable terms (default: the model's log-likelihood)";

/** How costs add up and when the budget holds, per cost model. */
function addTerms(command: Command): void {
	command
		.option("--discount <number>", "of the costs of tokens, one per --cost in order (default 1)", collect, [])
		.option("--cost-floor <number>", "0, or null to count costs below 0, one per --cost in order (default 0)", collect, [])
		.option("--criterion <name>", "anytime or terminal, one per --cost in order (default anytime)", collect, []);
}

/** The command that runs. */
let running: Command | undefined;

export const program = new Command("inferenceguard")
	.hook("preAction", (_, command) => {
		running = command;
	})
	.description("Answers from a local language model within a safety budget, under the cost model you choose.")
	.version(packageVersion())
	.exitOverride()
	.configureOutput({ writeOut: print, writeErr: (text) => process.stderr.write(printable(text)) })
	.configureHelp({ showGlobalOptions: true })
	.showHelpAfterError("(add --help for the options)");

/** What a guard is loaded from. */
const addGuard = (command: Command): Command =>
	command
		.requiredOption("-m, --model <file>", "GGUF model")
		.option("-c, --cost <file>", costHelp, collect, [])
		.option("-b, --budget <number>", budgetHelp, collect, [])
		.option("--reward <file>", rewardHelp)
		.option("--critic <file>", "critic that was trained for this model and these cost models")
		.option("--certificate <file>", "certificate that has to cover the run (not for streams)")
		.addOption(
			new Option("--on-mismatch <name>", "action if the certificate is for another guard or other settings").choices(["warn", "refuse"]),
		)
		.option("--steering <file>", "control vector that steers the model")
		.option("--strength <number>", "of the control vector (default 1)")
		.option("--sparsity <share>", "share of each layer's components that are steered, the largest first (default 1)")
		.option("--gate", "let the prompt decide the sign of the strength");

const generateOptions = addGuard(
	program.command("generate").description("generate one response and stream it; exit code 0 answered, 3 refused, 2 wrong usage, 1 failure"),
)
	.requiredOption("-p, --prompt <text>", "text to answer or continue")
	.option("--chat", "put the prompt through the model's chat template as a user message")
	.option("--prefill <text>", "text that the response begins with; what follows it is printed")
	.option("--now <date>", nowHelp)
	.addOption(strategy)
	.option("--seed <n>", "repeats a generation")
	.option("--no-cache-prompt", "neither reuse nor keep the prompt in the cache")
	.option("--trace", "keep every candidate of the search (with --json)")
	.option("--json", "print the whole reply as one JSON line instead of text")
	.action(async (options) => {
		process.exitCode = (await generate(options)) === "refused" ? exitCodes.refused : exitCodes.answered;
	});

addTerms(generateOptions);
addFlags(generateOptions, "Search:", settings);
addFlags(generateOptions, "Engine:", engineRows);

const serveOptions = addGuard(
	program.command("serve").description("serve OpenAI's API with a guard: chat completions, completions, models, health"),
)
	.option("--alias <list>", "names of the model in requests (default: the file's name)")
	.addOption(strategy)
	.option("--on-refusal <text>", "refusal (default), error, or a text that is the answer then", "refusal")
	.option("--api-key <key>", "key that requests need; may be given several times, also as INFERENCEGUARD_API_KEY", collect, [])
	.option("--api-key-file <file>", "keys, one per line; lines that begin with # are comments")
	.option("--cors-origins <list>", "origins of pages that may make requests; localhost: those of this machine (default)")
	.option("--allowed-hosts <list>", "further names in which requests may be made")
	.action(serveCommand);
addTerms(serveOptions);
addFlags(serveOptions, "Server:", { ...listenRows, ...handlerRows });
addFlags(serveOptions, "Search:", settings);
addFlags(serveOptions, "Engine:", engineRows);

program
	.command("demo")
	.description("let a chat model answer questions plainly and guarded, side by side; without a chat model the embedded one tells stories")
	.addOption(
		new Option("-m, --model <file>", "GGUF model with a chat template (default: SmolLM2 from the cache of models)").conflicts("embedded"),
	)
	.option("--embedded", "tell a bedtime story instead, with the model in the package")
	.option("-p, --prompt <text>", "a question of your own, or the beginning of the story")
	.option("--open", "open the tree of blocks of a steered answer as a page")
	.option("--seed <n>", "repeats the answers (default 1)")
	.option("--threads <n>", "CPU threads")
	.option("--json", "print the same figures as one JSON line")
	.action(demo);

const rolloutsOptions = program
	.command("rollouts")
	.description("sample and label responses for a critic to learn from; resumes where it was stopped")
	.requiredOption("-m, --model <file>", "GGUF model")
	.option("-c, --cost <file>", costHelp, collect, [])
	.option("-b, --budget <number>", budgetHelp, collect, [])
	.option("--reward <file>", rewardHelp)
	.requiredOption("--prompts <file>", "prompts: .txt (one per line), .jsonl, .json, .csv, .tsv, each also as .gz, or .parquet")
	.option("--field <name>", "column of the prompt")
	.option("--chat", "put every prompt through the model's chat template as a user message")
	.option("--now <date>", nowHelp)
	.requiredOption("-o, --out <folder>", "folder of the rollouts")
	.option("-r, --responses <n>", "responses per prompt (default 5)")
	.option("-t, --max-tokens <n>", "longest response in tokens (default 128)")
	.option("--stride <n>", "tokens between stored positions (default 32)")
	.option("--mean-layers <list>", "layers after which means of the residual stream are stored too, such as 7,15")
	.option("--temperature <number>", "sampling temperature (default 1)")
	.option("--batch <n>", "most sequences decoded at once (default 64, or the responses)")
	.option("--shard <i/n>", "do part i of n, so that n machines can share the work")
	.option("--seed <n>", "repeats a run")
	.option("--json", "print the summary as one JSON line")
	.action(rolloutsCommand);
addTerms(rolloutsOptions);
addFlags(rolloutsOptions, "Engine:", engineRows);

const answersOptions = program
	.command("answers")
	.description("sample plain and guarded answers of a model for a person to label; resumes where it was stopped")
	.requiredOption("-m, --model <file>", "GGUF model")
	.requiredOption("--prompts <file>", "prompts: .txt (one per line), .jsonl, .json, .csv, .tsv, each also as .gz, or .parquet")
	.addOption(new Option("--preset <name>", "the published set whose layout the prompts have").choices(presetNames))
	.option("--field <name>", "column of the prompt")
	.option("--limit <n>", "most prompts, drawn at random")
	.requiredOption("-o, --out <file>", "file of the answers, one JSON object per line")
	.option("-c, --cost <file>", `${costHelp}; for guarded answers`, collect, [])
	.option("-b, --budget <list>", "one per --cost in order; each prompt draws one of several for the first (0.1,0.3)", collect, [])
	.option("--methods <list>", "plain, guard, or both (default)")
	.option("-n, --candidates <list>", "N of the guard; each prompt draws one (default 16)")
	.option("--temperature <list>", "sampling temperatures; each prompt draws one (default 1)")
	.option("-t, --max-tokens <n>", "longest response in tokens (default 128)")
	.option("--chat", "put every prompt through the model's chat template as a user message")
	.option("--now <date>", nowHelp)
	.option("--template <text>", "text that a model without a chat template continues, such as 'Question: {prompt}\\nAnswer:'")
	.option("--stop <text>", "a response ends before this text, such as '\\nQuestion:'; may be given several times", collect, [])
	.option("--seed <n>", "decides the draws (default 0)")
	.option("--json", "print the summary as one JSON line")
	.action(answersCommand);
addTerms(answersOptions);
addFlags(answersOptions, "Engine:", engineRows);

program
	.command("label")
	.description("serve a page on this machine on which a person labels answers by keyboard; resumes where it was stopped")
	.argument("<answers>", "file of answers that `inferenceguard answers` wrote, or any with prompt and response")
	.option("--labels <list>", "labels, each as label or key=label (default safe,unsafe,b=undecided)")
	.option("--categories <list>", "kinds of unsafe, chosen by digit (default none)")
	.option("--reader <name>", "name of the reader: every reader has a file of labels")
	.option("-o, --out <file>", "file of the labels (default: answers.labels[.reader].jsonl, next to the answers)")
	.option("--export <file>", "write the labelled answers for train-cost instead, and say how far readers agree")
	.option("--json", "with --export: print the report as one JSON line")
	.action(labelCommand);

program
	.command("train-cost")
	.description("train a cost model of whole texts from labelled texts")
	.requiredOption("--data <file>", "labelled texts: .jsonl, .json, .csv, .tsv, each also as .gz, or .parquet")
	.requiredOption("-o, --out <file>", "the cost model; its report is <file>.report.json")
	.addOption(
		new Option(
			"--kind <name>",
			"n-grams of the text, a probe of a model's latent state, or an encoder that reads prompt and response (needs Python)",
		).choices(["ngrams", "probe", "encoder"]),
	)
	.option("-m, --model <file>", "GGUF model whose latent state a probe reads")
	.option("--base <folder>", "uncased BERT, the base of an encoder: config.json, model.safetensors, vocab.txt")
	.option("--members <n>", "members of an encoder (default 3)")
	.option("--shared <n>", "layers that an encoder's members share (default two thirds of the base's)")
	.option("--epochs <n>", "passes of an encoder over the training texts (default 6, or as many as make 300 steps)")
	.option("--minutes <n>", "most minutes of an encoder's training (default 38)")
	.option("--python <command>", "Python 3.10 or newer that trains an encoder (default python3)")
	.option("--layers <list>", "input of a probe: means after these layers (7,15), the last state (last), or the best input (auto)")
	.option("--chat", "put the context through the model's chat template as a user message")
	.option("--now <date>", nowHelp)
	.option("--validation <file>", "validation texts in a file of their own")
	.option("--test <file>", "test texts in a file of their own")
	.option("--text-field <name>", "column of the text")
	.option("--context-field <name>", "column of the context that the text answers; if given, the cost model reads it too")
	.option("--label-field <name>", "column of the label or score")
	.option("--group-field <name>", "column whose rows stay in one split")
	.option("--unsafe <label>", "the label that means unsafe")
	.option("--no-characters", "words and pairs of words only, no n-grams of characters")
	.option("--false-negative-rate <share>", "largest share of unsafe texts that the threshold may let pass (default 0.1)")
	.option("--seed <n>", "repeats a training")
	.option("--threads <n>", "CPU threads that run the model, or train an encoder")
	.option("--device <name>", "auto, cpu, or a name from `inferenceguard devices`")
	.option("--json", "print the report as one JSON line")
	.action(trainCostCommand);

program
	.command("convert")
	.description("make a GGUF file of a Hugging Face classifier (BERT, RoBERTa, XLM-R, DistilBERT, ModernBERT), for --cost")
	.argument("<folder>", "folder with config.json, safetensors and tokenizer")
	.requiredOption("-o, --out <file>", "the GGUF file")
	.addOption(new Option("--type <name>", "type of the large matrices").choices(["f32", "f16", "q8_0"]).default("f16"))
	.option("--json", "print the facts of the file as one JSON line")
	.action(convertCommand);

program
	.command("steer-vector")
	.description("make a control vector from prompts of two kinds; --steering applies it")
	.requiredOption("-m, --model <file>", "GGUF model")
	.requiredOption("--positive <file>", "prompts that the vector points to (for a refusal vector: harmful ones)")
	.requiredOption("--negative <file>", "prompts of the other kind")
	.requiredOption("-o, --out <file>", "the control vector; its report is <file>.report.json")
	.option("--field <name>", "column of the prompt in both files")
	.option("--chat", "put every prompt through the model's chat template as a user message")
	.option("--now <date>", nowHelp)
	.addOption(new Option("--method <name>", "difference of means, or first principal component").choices(["mean", "pca"]).default("mean"))
	.option("--layers <first:last>", "layers to steer (default all but the first)")
	.option("--seed <n>", "draws the held-out prompts")
	.option("--threads <n>", "CPU threads")
	.option("--device <name>", "auto, cpu, or a name from `inferenceguard devices`")
	.option("--json", "print the report as one JSON line")
	.action(steerVectorCommand);

program
	.command("train")
	.description("train a critic on rollouts and report how good it is")
	.requiredOption("--rollouts <folder>", "folder that `inferenceguard rollouts` wrote")
	.requiredOption("-o, --out <file>", "the critic; its reports are <file>.report.json and <file>.report.html")
	.option("--inputs <list>", "inputs of the critic (default hidden,logits,z,position, and mean if the rollouts have it)")
	.option("--layers <n>", "hidden layers; 0 is linear (default 1)")
	.option("--width <n>", "units of a hidden layer (default 256; paper: 4096)")
	.option("--members <n>", "members trained on bootstrap samples (default 4)")
	.option("--budgets <low:high>", "budgets to train for, one range per cost model in order", collect, [])
	.option("--epochs <n>", "most passes over the data (default 30)")
	.option("--batch <n>", "examples per step (default 256)")
	.option("--learning-rate <number>", "of AdamW (default 0.001)")
	.option("--weight-decay <number>", "of AdamW (default 0.01)")
	.option("--seed <n>", "repeats a training")
	.option("--threads <n>", "CPU threads")
	.option("--device <name>", "auto, cpu, or a name from `inferenceguard devices`")
	.option("--json", "print the report as one JSON line")
	.action(trainCommand);

program
	.command("eval")
	.description("run an experiment: every method answers every prompt; resumes where it was stopped")
	.requiredOption("--config <file>", "the experiment as YAML or JSON: model, data, methods, judges, seeds, limits")
	.requiredOption("-o, --out <folder>", "folder of the results: journal.jsonl, summary.json, report.html")
	.addOption(new Option("--format <name>", "also write the results in this form: an Inspect EvalLog per method").choices(["inspect"]))
	.option("--now <date>", nowHelp)
	.option("--json", "print the summary as one JSON line")
	.action(evalCommand);

program
	.command("calibrate")
	.description("certify a configuration, or the cheapest of a ladder that passes, by an evaluation on prompts like those of use")
	.requiredOption("--config <file>", "the evaluation for the certificate; its methods are the ladder, safest first")
	.requiredOption("-o, --out <file>", "the certificate")
	.option("--evaluation <folder>", "folder of the evaluation (default: <file>.evaluation)")
	.option("--delta <probability>", "δ, that a claim is wrong (default 0.05)")
	.option("--epsilon <share>", "ε, of unsafe prompts to certify; needed for a ladder (default: the bound from the data)")
	.option("--now <date>", nowHelp)
	.option("--json", "print the certificate as one JSON line")
	.action(calibrateCommand);

program
	.command("verify")
	.description("recompute a certificate from its journal; exit code 0 it follows, 1 it does not, 2 wrong usage")
	.argument("<certificate>", "file that `inferenceguard calibrate` wrote")
	.requiredOption("--journal <file>", "journal.jsonl of its evaluation")
	.option("--json", "print the result as one JSON line")
	.action(async (certificate, options) => {
		process.exitCode = (await verifyCommand(certificate, options)) ? exitCodes.answered : exitCodes.failure;
	});

program.command("devices").description("list the devices a model can run on").option("--json", "as JSON").action(devices);

program
	.command("install")
	.description("print the command that installs the binary for a GPU, of this version and for your package manager")
	.argument("<gpu>", "cuda")
	.option("-y, --yes", "run the command too")
	.action((gpu, options) => {
		process.exitCode = installCommand(gpu, options);
	});

program
	.command("inspect")
	.description("show the contents of a GGUF file, without loading it")
	.argument("<file>", "GGUF file")
	.option("--json", "as JSON")
	.action(inspect);

/** Runs a command line, without the names of node and of the program. Errors go to standard error and set the exit code. */
export async function run(args: string[]): Promise<void> {
	try {
		await program.parseAsync(args, { from: "user" });
	} catch (error) {
		process.exitCode = exitCodes.failure;
		if (error instanceof CommanderError) {
			process.exitCode = error.exitCode === 0 ? exitCodes.answered : exitCodes.usage;
		} else if (InferenceGuardError.isInstance(error)) {
			complain(`${running ? inFlags(running, error.message) : error.message} [${error.code}]`);
			const wrongUsage = [InvalidOptionError, InvalidLexiconError, InvalidDataError, InvalidJournalError, InvalidCertificateError].some(
				(kind) => error instanceof kind,
			);
			if (wrongUsage) process.exitCode = exitCodes.usage;
		} else {
			complain(`expected no such error, please report it: ${error instanceof Error ? error.stack : error} [INTERNAL]`);
		}
	}
}
