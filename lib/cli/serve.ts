import { once } from "node:events";
import { basename, extname } from "node:path";
import { reasonOf } from "../base/thrown.js";
import { readText } from "../data/text-file.js";
import { InvalidOptionError } from "../errors.js";
import type { InferenceGuard } from "../guard/guard.js";
import { checkGenerateOptions } from "../options/generate.js";
import { checkLoadOptions } from "../options/load.js";
import { resolveSearch } from "../options/resolve.js";
import { settings } from "../options/settings.js";
import type { StrategyName } from "../options/strategies.js";
import type { GenerateOptions, SearchOptions } from "../options/types.js";
import { listen } from "../server/listen.js";
import { checkListenOptions, handlerRows, type ListenOptions, listenRows } from "../server/options.js";
import { type GuardFlags, guardOptionsOf, listed, loadWithProgress } from "./loading.js";
import { optionsFrom } from "./row-flags.js";
import { say } from "./terminal.js";

interface ServeFlags extends GuardFlags {
	alias?: string;
	strategy: StrategyName;
	onRefusal: string;
	apiKey: string[];
	apiKeyFile?: string;
	corsOrigins?: string;
	allowedHosts?: string;
}

const signals = ["SIGINT", "SIGTERM"] as const;

function linesOf(file: string): string[] {
	try {
		return readText(file)
			.split("\n")
			.map((line) => line.trim());
	} catch (error) {
		throw new InvalidOptionError(`apiKeyFile: expected a file of keys at ${file}, got: ${reasonOf(error)}`);
	}
}

function keysIn(file: string): string[] {
	const keys = linesOf(file).filter((line) => line !== "" && !line.startsWith("#"));
	if (keys.length === 0) throw new InvalidOptionError(`apiKeyFile: expected a file of keys at ${file}, got none in it`);
	return keys;
}

function ownKey(): string[] {
	const { INFERENCEGUARD_API_KEY: given } = process.env;
	if (given === undefined) return [];
	const key = given.trim();
	if (key === "") throw new InvalidOptionError("expected a key in INFERENCEGUARD_API_KEY, got an empty one; unset it to do without");
	return [key];
}

/** A source that was given has a key; otherwise a server that should be closed would be open. */
function keysOf({ apiKey, apiKeyFile }: ServeFlags): string[] {
	return [...apiKey, ...ownKey(), ...(apiKeyFile === undefined ? [] : keysIn(apiKeyFile))];
}

function onRefusalOf(given: string): GenerateOptions["onRefusal"] {
	if (given === "") throw new InvalidOptionError('onRefusal: expected refusal, error or a text, got ""');
	if (given === "refusal") return "return";
	return given === "error" ? "throw" : { text: given };
}

const serverOptionsOf = (flags: ServeFlags): ListenOptions => ({
	alias: listed(flags.alias) ?? [basename(flags.model, extname(flags.model))],
	search: { strategy: flags.strategy, ...optionsFrom(flags, settings) },
	onRefusal: onRefusalOf(flags.onRefusal),
	apiKeys: keysOf(flags),
	corsOrigins: listed(flags.corsOrigins),
	allowedHosts: listed(flags.allowedHosts),
	...optionsFrom(flags, { ...listenRows, ...handlerRows }),
});

/** What the server promises about its responses. */
function promiseOf(guard: InferenceGuard, search: SearchOptions): string {
	const resolved = guard.searchOf(search);
	if (resolved.objective !== "augmented") return "without a budget, since its strategy enforces none";
	const budget = guard.limits.map(({ budget }) => budget).join(" and ");
	return `within the budget ${budget}, ${guard.isCertified(resolved) ? "with" : "without"} a certificate`;
}

/** Serves until SIGINT or SIGTERM, and then lets running requests end. A second signal ends the process at once. */
export async function serveCommand(flags: ServeFlags): Promise<void> {
	const load = guardOptionsOf(flags);
	checkLoadOptions(load);
	const options = serverOptionsOf(flags);
	const { search, alias } = checkListenOptions(options);
	resolveSearch(checkGenerateOptions({ prompt: "", ...search }), flags.critic === undefined ? undefined : {});
	await using guard = await loadWithProgress(load);
	const stopped = Promise.race(signals.map((signal) => once(process, signal)));
	const server = await listen(guard, options);
	say(`${alias.join(", ")} answers at ${server.url}/v1 ${promiseOf(guard, search)}`);
	await stopped;
	for (const signal of signals) process.once(signal, () => process.exit(1));
	say("Waiting for running requests; a second signal ends them");
	await server.close();
}
