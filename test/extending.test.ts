// What CONTRIBUTING.md promises to whoever adds a setting or a kind of cost model: a toy of each is added to a copy of the sources, in so many
// files and no more, and works there.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "./temporary.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = temporaryFolder();

/** A new file is its text; a known one gets lines in front of others. */
type Change = string | [before: string, lines: string][];

/** A copy of the sources with changes in it. */
function copyWith(name: string, changes: Record<string, Change>): string {
	const copy = join(folder, name);
	mkdirSync(copy);
	for (const part of ["lib", "native", "models.lock.json", "package.json", "tsconfig.json", "tsconfig.build.json"])
		cpSync(join(root, part), join(copy, part), { recursive: true });
	for (const part of ["node_modules", "models"]) symlinkSync(join(root, part), join(copy, part), "junction");
	for (const [file, change] of Object.entries(changes)) {
		const path = join(copy, file);
		if (typeof change === "string") writeFileSync(path, change);
		else
			writeFileSync(
				path,
				change.reduce((text, [before, lines]) => insert(text, before, lines), readFileSync(path, "utf8")),
			);
	}
	return copy;
}

function insert(text: string, before: string, lines: string): string {
	expect(text).toContain(before);
	return text.replace(before, () => lines + before);
}

function compileTypes(copy: string) {
	const compiler = join(root, "node_modules/typescript/bin/tsc");
	const { stdout } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { cwd: copy, encoding: "utf8" });
	expect(stdout).toBe("");
}

interface Command {
	directory: string;
	command: string;
	file: string;
}

/** Compiles a source of the copy as the build compiles it; where the addon came prebuilt, nothing. */
function compileNative(copy: string, source: string) {
	const commands = join(root, "build/compile_commands.json");
	if (!existsSync(commands)) return;
	const all: Command[] = JSON.parse(readFileSync(commands, "utf8"));
	const known = all.find(({ file, command }) => file === join(root, source) && command.includes("inferenceguard.dir"));
	expect(known).toBeDefined();
	const { command, directory } = known as Command;
	const words = command.split(/\s+/).filter(Boolean);
	const [compiler = "c++", ...given] = words.map((word) => word.replace(join(root, "native"), join(copy, "native")));
	const output = given.indexOf("-o");
	const flags = given.filter((_, i) => i !== output && i !== output + 1);
	execFileSync(compiler, [...flags, "-fsyntax-only"], { cwd: directory, encoding: "utf8" });
}

/** A module of the copy, compiled. */
const compiled = (copy: string, module: string) => import(/* @vite-ignore */ pathToFileURL(join(copy, "dist", module)).href);

test("a setting of the search takes four files", async () => {
	const changes: Record<string, Change> = {
		"lib/search-settings.ts": [["\t/** λ of the Lagrangian", "\t/** A toy; 0..9, default 3. */\n\ttoyWeight?: number;\n"]],
		"lib/options/settings.ts": [
			["\tlatentSteps: {", '\ttoyWeight: { check: real(0, 9), default: 3, symbol: "y", help: "weight of a toy" },\n'],
		],
		"native/core/search/search.h": [["    int32_t               n_retries ", "    double                toy_weight        = 0;\n"]],
		"native/binding/protocol.h": [['row("retries", it.n_retries)', 'row("toyWeight", it.toy_weight), ']],
	};
	expect(Object.keys(changes)).toHaveLength(4);
	const copy = copyWith("setting", changes);
	compileTypes(copy);
	compileNative(copy, "native/binding/jobs.cpp");
	const { checkGenerateOptions } = await compiled(copy, "options/generate.js");
	const { resolveSearch } = await compiled(copy, "options/resolve.js");
	const searchOf = (options: object) => resolveSearch(checkGenerateOptions({ prompt: "x", ...options }), undefined);
	expect(searchOf({})).toMatchObject({ toyWeight: 3 });
	expect(searchOf({ toyWeight: 7 })).toMatchObject({ toyWeight: 7 });
	expect(() => searchOf({ toyWeight: 10 })).toThrow("toyWeight: expected a number from 0 to 9, got 10");
	const help = execFileSync(process.execPath, [join(copy, "dist/cli/main.js"), "generate", "--help"], { encoding: "utf8" });
	expect(help).toContain("--toy-weight <number>");
}, 300_000);

test("a kind of cost model takes two new files, two lists, and its interface and message", async () => {
	const changes: Record<string, Change> = {
		"lib/costs/every-token.ts": `import { z } from "zod";
import { sha256 } from "../files/fingerprint.js";
import type { CostKind } from "./kind.js";

const schema = z.strictObject({ everyToken: z.literal(true) });

export const everyToken = {
	shown: "{ everyToken }",
	schema,
	paths: [],
	toNative: () => ({ kind: "everyToken" }),
	defaultBudget: () => 10,
	hash: () => sha256("everyToken"),
	files: () => [],
} satisfies CostKind<"everyToken", typeof schema>;
`,
		"lib/costs/index.ts": [
			['import { callerFunction } from "./function.js";', 'import { everyToken } from "./every-token.js";\n'],
			["\tencoder,\n\tprobe,", "\teveryToken,\n"],
		],
		"lib/options/types.ts": [["\t| { classifier: string;", "\t| { everyToken: true }\n"]],
		"lib/native/protocol.ts": [
			['\t| { kind: "function" };', '\t| { kind: "everyToken" }\n'],
			['kind === "lexicon" || kind === "tokenCosts"', 'kind === "everyToken" || '],
		],
		"native/core/safety/every_token.h": `#pragma once

#include "safety/cost_kind.h"

namespace ig {

class every_token : public token_cost_model {
  public:
    bool charges_text() const override { return false; }

    double charge(cost_state &, token_id, std::string_view) const override { return 1; }

    double charge_end(const cost_state &) const override { return 0; }
};

inline const cost_kind every_token_kind = {
    "everyToken",
    false,
    [](constraint & made, const constraint_spec &, size_t, cost_materials &) {
        made.per_token = std::make_unique<every_token>();
    },
};

}  // namespace ig
`,
		"native/binding/cost_factory.cpp": [
			['#include "safety/function_model.h"', '#include "safety/every_token.h"\n'],
			["&lexicon_kind, ", "&every_token_kind, "],
		],
	};
	expect(Object.keys(changes)).toHaveLength(6);
	const copy = copyWith("cost", changes);
	compileTypes(copy);
	compileNative(copy, "native/binding/cost_factory.cpp");
	const { checkLoadOptions } = await compiled(copy, "options/load.js");
	const { nativeCost, defaultBudget } = await compiled(copy, "costs/index.js");
	const { constraints } = checkLoadOptions({ model: "m.gguf", cost: { everyToken: true } });
	const cost = await nativeCost(constraints?.[0]?.cost ?? { everyToken: true }, undefined);
	expect(cost).toEqual({ kind: "everyToken" });
	expect(defaultBudget(cost)).toBe(10);
	expect(() => checkLoadOptions({ model: "m.gguf", cost: { everyTokens: true } })).toThrow("{ everyToken }");
}, 300_000);
