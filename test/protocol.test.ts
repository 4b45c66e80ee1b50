// What crosses between JavaScript and the addon has a type in protocol.ts and a row in the addon's tables. The addon says what it reads and
// writes, and here that is compared with the types: names, kinds, choices, and what may be absent.
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import ts from "typescript";
import { expect, test } from "vitest";
import { callAddon } from "../lib/native/addon.js";
import type { Jobs } from "../lib/native/protocol.js";
import { Worker } from "../lib/native/worker.js";

const path = fileURLToPath(new URL("../lib/native/protocol.ts", import.meta.url));
const program = ts.createProgram([path], {
	strict: true,
	types: [],
	lib: ["lib.es2022.d.ts"],
	module: ts.ModuleKind.NodeNext,
	moduleResolution: ts.ModuleResolutionKind.NodeNext,
});
const checker = program.getTypeChecker();

const alternativesOf = (type: ts.Type) => (type.isUnion() ? type.types : [type]);
const isAbsent = ({ flags }: ts.Type) => (flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)) !== 0;
const elementOf = (type: ts.Type) => checker.getTypeArguments(type as ts.TypeReference)[0] as ts.Type;
const typedArrayOf = ({ symbol }: ts.Type) => /^(Float64|Float32|Int32|Uint8)Array$/.exec(symbol?.name ?? "")?.[0];

/** Of whatever is not an object with members of its own. */
function plainText(type: ts.Type): string | undefined {
	if (type.isStringLiteral()) return JSON.stringify(type.value);
	if (type.flags & ts.TypeFlags.BooleanLike) return "boolean";
	if (!(type.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection))) return checker.typeToString(type);
	if (checker.isArrayType(type)) return `(${textOf(elementOf(type))})[]`;
	const values = typedArrayOf(type) ? undefined : type.getStringIndexType();
	return values ? `{ [key]: ${textOf(values)} }` : typedArrayOf(type);
}

/** Several kinds of object are one: a member that some of them lack may be absent. */
function objectText(types: ts.Type[]): string {
	const names = new Set(types.flatMap((type) => type.getProperties().map(({ name }) => name)));
	const members = Array.from(names, (name) => {
		const found = types.map((type) => type.getProperty(name)).filter((member) => member !== undefined);
		const alternatives = found.flatMap((member) => alternativesOf(checker.getTypeOfSymbol(member)));
		return `${name}: ${unionText(alternatives, found.length < types.length)}`;
	});
	return `{ ${members
		.sort()
		.map((member) => `${member}; `)
		.join("")}}`;
}

function unionText(alternatives: ts.Type[], mayLack = false): string {
	const present = alternatives.filter((type) => !isAbsent(type));
	const objects = present.filter((type) => plainText(type) === undefined);
	const texts = new Set(present.map((type) => plainText(type) ?? objectText(objects)));
	return [...[...texts].sort(), ...(mayLack || present.length < alternatives.length ? ["null"] : [])].join(" | ");
}

const textOf = (type: ts.Type) => (type.flags & ts.TypeFlags.Undefined ? "undefined" : unionText(alternativesOf(type)));

function callText(type: ts.Type): string {
	const [signature] = type.getCallSignatures();
	const given = signature?.getParameters().map((parameter) => textOf(checker.getTypeOfSymbol(parameter))) ?? [];
	return `(${given.join(", ")}) => ${signature && textOf(signature.getReturnType())}`;
}

function jobText(type: ts.Type): string {
	const [request, result] = ["request", "result"].map((name) => textOf(checker.getTypeOfSymbol(type.getProperty(name) as ts.Symbol)));
	return `{ request: ${request}; result: ${result}; }`;
}

/** The members of an interface of protocol.ts as text. */
function membersOf(name: string, textOf: (type: ts.Type) => string): Record<string, string> {
	const declaration = program.getSourceFile(path)?.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === name);
	const members = checker.getTypeAtLocation(declaration as ts.Statement).getProperties();
	return Object.fromEntries(members.map((member) => [member.name, textOf(checker.getTypeOfSymbol(member))]));
}

/** A line per member, so that a difference shows. */
const inLines = (all: Record<string, string>) =>
	Object.fromEntries(Object.entries(all).map(([name, text]) => [name, text.split(/(?<=[;{]) /)]));

test("jobs, calls and events cross as protocol.ts says", () => {
	const described = callAddon((native) => native.describe());
	expect(Object.keys(described).length).toBeGreaterThan(20);
	expect(inLines(described)).toEqual(
		inLines({ ...membersOf("Jobs", jobText), ...membersOf("Calls", callText), ...membersOf("Events", textOf) }),
	);
});

test("a job that is asked for with anything else ends with an error, and its worker goes on", async () => {
	const jobs = Object.keys(membersOf("Jobs", jobText)).filter((kind) => kind !== "close") as (keyof Jobs)[];
	const deep = JSON.parse("[".repeat(5000) + "]".repeat(5000));
	const throwing = { get: () => expect.fail("its members are not to be had") };
	const odd = [deep, [deep], new Proxy({}, throwing), new Proxy([], throwing), [new Proxy({}, throwing)]];
	const worker = new Worker();
	const request = fc.oneof(fc.anything({ withTypedArray: true, withNullPrototype: true }), fc.constantFrom<unknown>(...odd));
	await fc.assert(
		fc.asyncProperty(fc.constantFrom(...jobs, "nothing" as keyof Jobs), request, async (kind, given) => {
			await expect((async () => worker.run(kind, given as never))()).rejects.toBeInstanceOf(Error);
		}),
		{ numRuns: 500 },
	);
	await expect(worker.run("close", undefined)).resolves.toBeUndefined();
});

test("a request with one member of another kind is refused by the member's name", () => {
	const worker = new Worker();
	const request = { promptTokens: 1, sequences: 1, tokens: "1" } as unknown as Jobs["bareDecode"]["request"];
	expect(() => worker.run("bareDecode", request)).toThrow("expected number as tokens");
});
