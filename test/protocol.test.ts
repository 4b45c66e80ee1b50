// Messages between JavaScript and the addon are written down on both sides; here both are read and compared.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Members of the interfaces and type literals of a module. */
function membersIn(path: string): string[] {
	const source = ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.Latest);
	const members: string[] = [];
	const visit = (node: ts.Node) => {
		if (ts.isPropertySignature(node) || ts.isMethodSignature(node)) members.push(node.name.getText(source));
		ts.forEachChild(node, visit);
	};
	visit(source);
	return members;
}

/** Members that the addon's boundary reads or writes: `number_of(o, "topP")`, `o.Get("tabular")`, `exports.Set("open", …)`. */
function membersOfAddon(): string[] {
	const folder = join(root, "native/binding");
	const source = readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
	const named = /(?:\w+_(?:of|from|list)(?:<[^()]*>)?\(\s*\w+, |\.(?:Get|Set|Has)\(|column\()"(\w+)"/g;
	return source.flatMap((text) => [...text.matchAll(named)].map(([, name]) => name as string));
}

const sorted = (names: Iterable<string>) => [...new Set(names)].sort();

test("every member of a message has one name on both sides of the boundary", () => {
	const modules = ["lib/native/protocol.ts", "lib/search-settings.ts", "lib/trace.ts", "lib/progress.ts"];
	const [protocol = [], ...shared] = modules.map(membersIn);
	const addon = new Set(membersOfAddon());
	const known = new Set([protocol, ...shared].flat());
	expect(addon.size).toBeGreaterThan(150);
	expect(sorted(addon).filter((name) => !known.has(name))).toEqual([]);
	// `isolate` is for whoever loads; handles are opaque
	expect(sorted(protocol).filter((name) => !addon.has(name))).toEqual(["__worker", "isolate"]);
	expect(sorted(membersIn("lib/search-settings.ts")).filter((name) => !addon.has(name))).toEqual([]);
});
