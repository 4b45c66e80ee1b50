// What the layout promises: one place for a setting and for a kind of cost model. Arrows between folders point one way, on both sides of the boundary; and the main entry loads no reader of tables.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

type Graph = Map<string, Set<string>>;

function sourcesIn(folder: string, extensions: string[]): string[] {
	const names = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
	return names.filter((name) => extensions.includes(extname(name))).map((name) => join(root, folder, name));
}

const capturesOf = (pattern: RegExp, text: string) => [...text.matchAll(pattern)].map(([, capture]) => capture ?? "");

/** What a module names: packages, and files of its own project. */
function importsOf(file: string): { packages: string[]; files: string[] } {
	const named = capturesOf(/(?:from|import|import\()\s*"([^"\s]+)"/g, readFileSync(file, "utf8"));
	const isFile = (name: string) => name.startsWith(".");
	const sourceOf = (path: string) => (existsSync(path) ? path : path.replace(/\.js$/, ".ts"));
	return {
		packages: named.filter((name) => !isFile(name)),
		files: named.filter(isFile).map((name) => sourceOf(resolve(dirname(file), name))),
	};
}

const roots = ["native/core", "native"].map((folder) => join(root, folder));

function includesOf(file: string): string[] {
	const named = capturesOf(/^#\s*include "([^"]+)"/gm, readFileSync(file, "utf8"));
	return named.flatMap((name) =>
		[...roots, dirname(file)]
			.map((folder) => join(folder, name))
			.filter(existsSync)
			.slice(0, 1),
	);
}

/** Which folders name which others; files that lie in `top` itself count as folders. */
function foldersOf(top: string, edges: (file: string) => string[], extensions: string[]): Graph {
	const folderOf = (file: string) => {
		const [first = "", ...rest] = relative(join(root, top), file).split(sep);
		return rest.length === 0 || first !== "core" ? first : `core/${rest[0]}`;
	};
	const graph: Graph = new Map();
	for (const file of sourcesIn(top, extensions)) {
		const from = folderOf(file);
		const others = edges(file)
			.map(folderOf)
			.filter((to) => to !== from && !to.startsWith(".."));
		graph.set(from, new Set([...(graph.get(from) ?? []), ...others]));
	}
	return graph;
}

/** A way that leads back to where it began. */
function circleIn(graph: Graph): string[] | undefined {
	const done = new Set<string>();
	const walk = (path: string[]): string[] | undefined => {
		const at = path.at(-1)!;
		if (path.indexOf(at) < path.length - 1) return path.slice(path.indexOf(at));
		if (done.has(at)) return undefined;
		for (const next of graph.get(at) ?? []) {
			const found = walk([...path, next]);
			if (found) return found;
		}
		done.add(at);
		return undefined;
	};
	return [...graph.keys()].map((start) => walk([start])).find((found) => found !== undefined);
}

test("circles between folders are found", () => {
	const graph: Graph = new Map([
		["a", new Set(["b"])],
		["b", new Set(["c"])],
		["c", new Set(["b"])],
	]);
	expect(circleIn(graph)).toEqual(["b", "c", "b"]);
});

test("imports between the folders of lib form no circle", () => {
	const graph = foldersOf("lib", (file) => importsOf(file).files.filter((path) => !path.endsWith(".json")), [".ts", ".js"]);
	expect(graph.get("cli")).toContain("server");
	expect(graph.get("server")).toContain("guard");
	expect(graph.get("guard")).toContain("native");
	expect(circleIn(graph)).toBeUndefined();
});

test("includes between the folders of native form no circle", () => {
	const graph = foldersOf("native", includesOf, [".cpp", ".h"]);
	expect(graph.get("core/search")).toContain("core/serving");
	expect(graph.get("core/engine")).toContain("core/serving");
	expect([...(graph.get("core/serving") ?? [])]).toEqual(["core/support"]);
	expect(circleIn(graph)).toBeUndefined();
});

test("the main entry reaches no reader of tables and no page", () => {
	const seen = new Set<string>();
	const packages = new Set<string>();
	const visit = (file: string) => {
		if (seen.has(file) || !existsSync(file)) return;
		seen.add(file);
		const named = importsOf(file);
		for (const name of named.packages) packages.add(name);
		named.files.forEach(visit);
	};
	visit(join(root, "lib/index.ts"));
	const isBuiltin = (name: string) => name.startsWith("node:") || builtinModules.includes(name);
	expect([...packages].filter((name) => !isBuiltin(name)).sort()).toEqual(["detect-libc", "zod"]);
});

/** Files below a folder whose code, without comments, names a word. */
function filesThatName(word: string, folder: string, extensions: string[]): string[] {
	const named = new RegExp(`(?<!\\w)${word}(?!\\w)`);
	const codeOf = (file: string) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
	return sourcesIn(folder, extensions)
		.filter((file) => named.test(codeOf(file)))
		.map((file) => relative(join(root, folder), file).split(sep).join("/"));
}

test.each(["topP", "candidateGrowth", "diversityPenalty"])("the setting %s has one line in each place", (setting) => {
	expect(filesThatName(setting, "lib", [".ts"]).sort()).toEqual(["options/settings.ts", "search-settings.ts"]);
	expect(filesThatName(setting, "native", [".cpp", ".h"])).toEqual(["binding/protocol.h"]);
});

test.each([
	["tokenize", "training/steer-vector.ts"],
	["trainProbes", "training/train-probe.ts"],
	["trainCritic", "training/train-critic.ts"],
])("the native job %s has one row in each table, and its callers", (job, caller) => {
	expect(filesThatName(`"${job}"`, "native", [".cpp", ".h"])).toEqual(["binding/jobs.cpp"]);
	expect(filesThatName(job, "lib/native", [".ts"])).toEqual(["protocol.ts"]);
	expect(filesThatName(`"${job}"`, "lib", [".ts"])).toContain(caller);
});

test.each(["guardModel", "scoreModel"])("the cost model { %s } is known by its own file and the list", (kind) => {
	const files = filesThatName(kind, "lib", [".ts"]).filter(
		(file) => !["options/types.ts", "native/protocol.ts", "costs/rewards.ts"].includes(file),
	);
	const own = kind.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
	expect(files.sort()).toEqual(["costs/index.ts", `costs/${own}.ts`].sort());
});

test.each(["guardModel", "scoreModel", "sequenceClassifier"])(
	"the cost model { %s } has one file in C++, and a line in the list",
	(kind) => {
		const own = kind.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
		const recommending = "core/engine/model_file.cpp"; // in a message
		const naming = (word: string) =>
			filesThatName(word, "native", [".cpp", ".h"]).filter((file) => !file.startsWith("tests/") && file !== recommending);
		expect(naming(kind)).toEqual([`core/safety/${own}.cpp`]);
		expect(naming(`${own}_kind`).sort()).toEqual(["binding/cost_factory.cpp", `core/safety/${own}.cpp`, `core/safety/${own}.h`]);
	},
);
