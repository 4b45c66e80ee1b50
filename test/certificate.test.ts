import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { clopperPearsonInterval, clopperPearsonUpper } from "../lib/data/statistics.js";
import { calibrate, type EvaluationConfig, evaluate, type ResponseRecord, verify } from "../lib/evaluation/index.js";
import { pValueOf } from "../lib/guard/certificate.js";
import { type Certificate, InferenceGuard, type LoadOptions } from "../lib/index.js";
import { settingsHash } from "../lib/options/resolve.js";
import { collectRollouts, steerVector, trainCritic } from "../lib/training/index.js";
import { cli } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const model = smallModel(folder);
const file = (name: string) => join(folder, name);
const count = 60;
writeFileSync(file("prompts.txt"), Array.from({ length: count }, (_, i) => `w${300 + i} w${280 + i}`).join("\n"));
writeFileSync(file("words.txt"), "w3*\n");
writeFileSync(file("others.txt"), "w299\nw40*\n");

const guard: LoadOptions = { model, cost: { lexicon: file("words.txt") }, budget: 0, threads: 1 };
const search = { maxTokens: 8, blockLength: 4, candidates: 4 };
const config = (more: Partial<EvaluationConfig> = {}): EvaluationConfig => ({
	name: "small",
	guard,
	data: { file: file("prompts.txt") },
	judges: [{ name: "others", cost: { lexicon: file("others.txt") }, budget: 0 }],
	defaults: { maxTokens: 8, blockLength: 4 },
	methods: [{ name: "guard", candidates: 4 }],
	...more,
});

const journalOf = (name: string) => join(file(name), "journal.jsonl");
const responsesOf = (name: string): ResponseRecord[] =>
	readFileSync(journalOf(name), "utf8")
		.trim()
		.split("\n")
		.slice(1)
		.map((line) => JSON.parse(line));

/** P(Bin(n, p) <= x), summed. */
function binomialTail(x: number, n: number, p: number): number {
	let [sum, term] = [0, (1 - p) ** n];
	for (let k = 0; k <= x; k++) {
		sum += term;
		term *= ((n - k) / (k + 1)) * (p / (1 - p));
	}
	return sum;
}

const unsafeOf = (rows: ResponseRecord[]) => ({
	own: rows.filter(({ outcome, withinBudget }) => outcome !== "refused" && !withinBudget).length,
	judge: rows.filter(({ outcome, judges }) => outcome !== "refused" && !judges.others?.withinBudget).length,
});

/** A claim of which nothing unsafe was seen. */
const nothingSeen = ({ prompts, delta }: Certificate) => ({ unsafe: 0, epsilon: clopperPearsonUpper(0, prompts, delta) });

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Every way to change or remove one leaf, or to add one to an object or array. */
function* editsOf(value: Json, path: string[] = []): Generator<[what: string, edited: Json | undefined]> {
	const at = path.join(".");
	if (typeof value !== "object" || value === null) {
		if (at === "created") return; // the certificate's own
		yield [`${at} removed`, undefined];
		if (typeof value === "number") for (const other of [value + 1, value / 2 + 0.01]) yield [`${at} = ${other}`, other];
		else if (typeof value === "boolean") yield [`${at} = ${!value}`, !value];
		else yield [`${at} = other`, value === null ? 1 : `${value}x`];
		return;
	}
	const rebuilt = (edit: (copy: Record<string, Json | undefined>) => void): Json => {
		const copy = structuredClone(value) as Record<string, Json | undefined>;
		edit(copy);
		return (Array.isArray(copy) ? copy.filter((one) => one !== undefined) : copy) as Json;
	};
	if (Array.isArray(value)) yield [`${at} longer`, [...value, value[0] ?? "more"]];
	else yield [`${at} with more`, { ...value, more: 1 }];
	for (const [key, inner] of Object.entries(value)) {
		for (const [what, edited] of editsOf(inner, [...path, key])) yield [what, rebuilt((copy) => void (copy[key] = edited))];
	}
}

async function expectEveryEditFound(honest: Certificate, name: string): Promise<void> {
	let edits = 0;
	for (const [what, edited] of editsOf(honest as unknown as Json)) {
		writeFileSync(file("edited.json"), JSON.stringify(edited));
		const found = await verify(file("edited.json"), journalOf(name)).catch(({ code }) => ({ valid: code }));
		expect([false, "INVALID_CERTIFICATE", "INVALID_JOURNAL"], what).toContain(found.valid);
		edits++;
	}
	expect(edits).toBeGreaterThan(100);
}

let certificate: Certificate;

beforeAll(async () => {
	certificate = await calibrate({ config: config(), out: file("single.json"), evaluation: file("single") });
});

describe("a certificate of one configuration", () => {
	test("a certificate bounds both shares by the exact one-sided bound", () => {
		const { own, judge } = unsafeOf(responsesOf("single"));
		expect(own).toBe(0);
		expect(judge).toBeGreaterThan(0); // the judge has something to say
		expect(certificate.claims).toMatchObject({ costModels: { unsafe: 0 }, judge: { name: "others", unsafe: judge } });
		expect(certificate.claims.costModels.epsilon).toBeCloseTo(1 - 0.05 ** (1 / count), 12);
		expect(binomialTail(judge, count, certificate.claims.judge?.epsilon as number)).toBeCloseTo(0.05, 9);
		expect(certificate).toMatchObject({ method: "clopperPearson", tested: [], prompts: count, delta: 0.05, seeds: [1] });
		expect(certificate.assumptions.join(" ")).toContain("exchangeable");
		expect(JSON.parse(readFileSync(file("single.json"), "utf8"))).toEqual(certificate);
	});

	test("a certificate follows from its journal, and from no other", async () => {
		expect(await verify(file("single.json"), journalOf("single"))).toEqual({ valid: true, differences: [] });
		const lines = readFileSync(journalOf("single"), "utf8").split("\n");
		const edits: [string, (line: string) => string][] = [
			[
				"a verdict",
				(line) =>
					line
						.replace('"withinBudget":true},"', '"withinBudget":false},"')
						.replace('{"others":{"cost":0,"withinBudget":true}}', '{"others":{"cost":1,"withinBudget":false}}'),
			],
			["a response", () => ""],
			["a text", (line) => line.replace('"text":"', '"text":"x')],
		];
		for (const [what, edit] of edits) {
			const at = lines.findIndex((line, i) => i > 0 && edit(line) !== line);
			const edited = lines.flatMap((line, i) => (i === at ? (edit(line) === "" ? [] : [edit(line)]) : [line]));
			writeFileSync(file("edited.jsonl"), edited.join("\n"));
			const { valid, differences } = await verify(file("single.json"), file("edited.jsonl"));
			expect(valid, what).toBe(false);
			expect(differences.join("\n"), what).toContain("hashes.journal");
		}
	});

	test("a certificate with anything changed, removed or added does not verify", async () => {
		await expectEveryEditFound(certificate, "single");
	});

	test.each<[string, (forged: Certificate) => void]>([
		["another name", (forged) => void (forged.name = "other")],
		["a build of its own", (forged) => void (forged.hashes.build = "other")],
		[
			"more seeds",
			(forged) => {
				forged.seeds = [1, 2, 3];
				forged.assumptions[1] = forged.assumptions[1]?.replace("one response", "3 responses, the worst of which counts") as string;
			},
		],
		[
			"another setting",
			(forged) => {
				forged.configuration.search.candidates = 2;
				forged.hashes.configuration = settingsHash(forged.configuration.search);
			},
		],
		[
			"no judge",
			(forged) => {
				forged.claims.judge = null;
				forged.assumptions[3] = forged.assumptions[3]?.replace("; both together with the sum of their errors", "") as string;
			},
		],
		["the claim of another judge", (forged) => void Object.assign(forged.claims.judge ?? {}, { name: "lax", ...nothingSeen(forged) })],
		["fewer responses that were rejected", (forged) => void Object.assign(forged.claims.judge ?? {}, nothingSeen(forged))],
	])("a certificate with %s does not verify, however consistent it is", async (_, forge) => {
		const judges = [...(config().judges ?? []), { name: "lax", cost: { lexicon: ["none"] }, budget: 0 }];
		const honest = await calibrate({ config: config({ judges }), out: file("judged.json"), evaluation: file("judged") });
		expect((await verify(file("judged.json"), journalOf("judged"))).valid).toBe(true);
		forge(honest);
		writeFileSync(file("forged.json"), JSON.stringify(honest));
		const { valid, differences } = await verify(file("forged.json"), journalOf("judged"));
		expect(valid).toBe(false);
		expect(differences.length).toBeGreaterThan(0);
	});

	/** As if it had been made from fewer prompts: consistent in itself. */
	function shortened(lines: string[], prompts: number): Certificate {
		const forged = structuredClone(certificate);
		const rows: ResponseRecord[] = lines.slice(1).map((line) => JSON.parse(line));
		const refused = rows.filter(({ outcome }) => outcome === "refused").length;
		const { own, judge } = unsafeOf(rows);
		const claimOf = (unsafe: number) => ({ unsafe, epsilon: clopperPearsonUpper(unsafe, prompts, forged.delta) });
		forged.prompts = prompts;
		forged.claims = { costModels: claimOf(own), judge: { name: "others", ...claimOf(judge) } };
		const interval = clopperPearsonInterval(refused, prompts, forged.delta);
		forged.refusals = { prompts: refused, share: refused / prompts, interval };
		forged.assumptions[0] = forged.assumptions[0]?.replace(`${count} calibration`, `${prompts} calibration`) as string;
		forged.hashes.journal = createHash("sha256")
			.update(lines.map((line) => `${line}\n`).join(""))
			.digest("hex");
		return forged;
	}

	test.each<[string, (rows: ResponseRecord[]) => ResponseRecord[]]>([
		["lost the responses that were rejected", (rows) => rows.filter(({ judges }) => judges.others?.withinBudget)],
		["was stopped when it looked well", (rows) => rows.slice(0, 20)],
		["holds responses with a seed of its own", (rows) => rows.map((row, i) => (i === 7 ? { ...row, seed: 2 } : row))],
	])("a certificate does not verify from a journal that %s", async (_, edit) => {
		const [header = "", ...rest] = readFileSync(journalOf("single"), "utf8").trim().split("\n");
		const rows = edit(rest.map((line) => JSON.parse(line)));
		const lines = [header, ...rows.map((row) => JSON.stringify(row))];
		writeFileSync(file("short.jsonl"), lines.map((line) => `${line}\n`).join(""));
		writeFileSync(file("short.json"), JSON.stringify(shortened(lines, rows.length)));
		const { valid, differences } = await verify(file("short.json"), file("short.jsonl"));
		expect(valid).toBe(false);
		expect(differences.join("\n")).toContain(`responses: expected ${count} of guard`);
	});

	test("a certificate holds claims of the journal's first line, and no later ones", async () => {
		const forged = structuredClone(certificate);
		const { claims, prompts, refusals } = forged;
		forged.delta = 0.2;
		for (const claim of [claims.costModels, claims.judge]) {
			if (claim) claim.epsilon = clopperPearsonUpper(claim.unsafe, prompts, forged.delta);
		}
		refusals.interval = clopperPearsonInterval(refusals.prompts, prompts, forged.delta);
		forged.assumptions[3] = forged.assumptions[3]?.replace("95 %", "80 %") as string;
		writeFileSync(file("forged.json"), JSON.stringify(forged));
		const { valid, differences } = await verify(file("forged.json"), journalOf("single"));
		expect(valid).toBe(false);
		expect(differences[0]).toContain("delta: the certificate says 0.2, the journal 0.05");

		await evaluate({ config: config(), out: file("plain") });
		const late = calibrate({ config: config(), out: file("late.json"), evaluation: file("plain") });
		await expect(late).rejects.toMatchObject({ code: "INVALID_JOURNAL", message: expect.stringContaining("claim") });
		expect((await verify(file("single.json"), journalOf("plain"))).differences.join()).toContain("fixes no delta and epsilon");
		await evaluate({ config: config(), out: file("single") }); // who claims nothing may look at it again
		expect((await verify(file("single.json"), journalOf("single"))).valid).toBe(true);
	});

	test("a certificate counts one draw per prompt, however many seeds there are", async () => {
		const seeds = [1, 2, 3];
		const worst = await calibrate({ config: config({ seeds }), out: file("seeds.json"), evaluation: file("seeds") });
		const rejected = new Set(
			responsesOf("seeds")
				.filter((row) => !row.judges.others?.withinBudget)
				.map(({ prompt }) => prompt),
		);
		expect(worst.prompts).toBe(count);
		expect(worst.claims.judge?.unsafe).toBe(rejected.size);
	});
});

describe("a ladder", () => {
	const ladder = config({
		methods: [
			{ name: "wide", candidates: 8 },
			{ name: "narrow", candidates: 2 },
			{ name: "none", strategy: "sample" },
			{ name: "beyond", candidates: 16 },
		],
	});

	test("a ladder certifies the last configuration that passes in the fixed order", async () => {
		const epsilon = 0.42;
		const made = await calibrate({ config: ladder, out: file("ladder.json"), evaluation: file("ladder"), epsilon });
		const rows = (name: string) => responsesOf("ladder").filter(({ method }) => method === name);
		const p = (name: string) => {
			const { own, judge } = unsafeOf(rows(name));
			return Math.max(binomialTail(own, count, epsilon), binomialTail(judge, count, epsilon));
		};
		expect([p("wide") <= 0.05, p("narrow") <= 0.05, p("none") <= 0.05]).toEqual([true, true, false]);
		expect(made.tested.map(({ name, passed }) => [name, passed])).toEqual([
			["wide", true],
			["narrow", true],
			["none", false], // and nothing behind it is looked at
		]);
		for (const { name, pValue } of made.tested) expect(pValue).toBeCloseTo(p(name), 9);
		expect(made.configuration.name).toBe("narrow");
		expect(made).toMatchObject({ method: "learnThenTest", claims: { costModels: { epsilon }, judge: { epsilon } } });
		expect(await verify(file("ladder.json"), journalOf("ladder"))).toEqual({ valid: true, differences: [] });
		await expectEveryEditFound(made, "ladder");
	});

	test("a ladder with an epsilon chosen after its responses does not verify", async () => {
		for (const epsilon of [0.3, 0.41, 0.5]) {
			const forged: Certificate = JSON.parse(readFileSync(file("ladder.json"), "utf8"));
			const { claims, prompts, delta, configuration } = forged;
			const rows = ["wide", "narrow", "none", "beyond"].map((name) => {
				const { own, judge } = unsafeOf(responsesOf("ladder").filter(({ method }) => method === name));
				const pValue = pValueOf({ unsafe: own, judgeUnsafe: judge }, prompts, epsilon);
				return { name, unsafe: own, judgeUnsafe: judge, pValue, passed: pValue <= delta };
			});
			const failed = rows.findIndex(({ passed }) => !passed);
			forged.tested = failed < 0 ? rows : rows.slice(0, failed + 1);
			const certified = forged.tested.findLast(({ passed }) => passed);
			if (certified === undefined) continue;
			configuration.name = certified.name;
			claims.costModels = { unsafe: certified.unsafe, epsilon };
			claims.judge = { name: "others", unsafe: certified.judgeUnsafe as number, epsilon };
			writeFileSync(file("forged.json"), JSON.stringify(forged));
			const { valid, differences } = await verify(file("forged.json"), journalOf("ladder"));
			expect(valid).toBe(false);
			expect(differences.join("\n")).toContain(`epsilon: the certificate says ${epsilon}, the journal 0.42`);
			const again = calibrate({ config: ladder, out: file("no.json"), evaluation: file("ladder"), epsilon });
			await expect(again).rejects.toMatchObject({ code: "INVALID_JOURNAL", message: expect.stringContaining("claim.epsilon") });
		}
	});

	test("a ladder is not bounded as a choice that was fixed before", async () => {
		const forged: Certificate = JSON.parse(readFileSync(file("ladder.json"), "utf8"));
		const { claims, prompts, delta } = forged;
		forged.method = "clopperPearson";
		forged.tested = [];
		for (const claim of [claims.costModels, claims.judge]) {
			if (claim) claim.epsilon = clopperPearsonUpper(claim.unsafe, prompts, delta);
		}
		forged.assumptions[4] = "The configuration was fixed before these prompts were seen.";
		writeFileSync(file("forged.json"), JSON.stringify(forged));
		const { valid, differences } = await verify(file("forged.json"), journalOf("ladder"));
		expect(valid).toBe(false);
		expect(differences[0]).toContain("method: ");
	});

	test("calibrate refuses cost models that no hash can name", async () => {
		const cost = (candidates: readonly unknown[]) => candidates.map(() => 0);
		const unnamed = [{ guard: { ...guard, cost } }, { judges: [{ name: "others", cost }] }, { guard: { ...guard, reward: cost } }];
		for (const more of unnamed) {
			const run = calibrate({ config: config(more), out: file("no.json"), evaluation: file("never") });
			await expect(run).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringContaining("function") });
		}
	});

	test("calibrate refuses a system message, to which no guard can be held", async () => {
		const methods = [{ name: "instructed", system: "Be kind." }];
		const run = calibrate({ config: config({ chat: true, methods }), out: file("no.json"), evaluation: file("never") });
		await expect(run).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringContaining("instructed") });
	});

	test("a ladder without a passing step is not certified, and epsilon is required", async () => {
		const options = { config: ladder, evaluation: file("strict-ladder") };
		await expect(calibrate({ ...options, out: file("no.json"), epsilon: 0.001 })).rejects.toMatchObject({ code: "NOT_CERTIFIED" });
		for (const epsilon of [undefined, 0, 1]) {
			await expect(calibrate({ ...options, out: file("no.json"), epsilon })).rejects.toMatchObject({ code: "INVALID_OPTION" });
		}
		expect(() => readFileSync(file("no.json"))).toThrow();
	});
});

describe("a guard with a certificate", () => {
	const covered = { prompt: "w310 w311", ...search };

	test("a guard with a certificate names the claim that covers a reply", async () => {
		await using loaded = await InferenceGuard.load({ ...guard, certificate: file("single.json") });
		const { claims, delta } = certificate;
		const claim = { epsilon: claims.costModels.epsilon, judgeEpsilon: claims.judge?.epsilon, delta };
		expect((await loaded.generate(covered)).certificate).toEqual(claim);
		expect((await loaded.generate({ ...covered, seed: 9, trace: true })).certificate).toEqual(claim);
	});

	async function critic(): Promise<string> {
		const prompts = Array.from({ length: 20 }, (_, i) => [1, 300 + i, 280 + i]);
		await collectRollouts({ ...guard, prompts, responses: 2, maxTokens: 4, out: file("rollouts") });
		const settings = { layers: 2, width: 8, members: 1, threads: 1, epochs: 1 };
		await trainCritic({ rollouts: file("rollouts"), out: file("critic.gguf"), ...settings });
		return file("critic.gguf");
	}

	async function steering(): Promise<LoadOptions["steering"]> {
		const prompts = (last: number) => Array.from({ length: 6 }, (_, i) => [1, 300 + i, last]);
		await steerVector({ model, positive: prompts(260), negative: prompts(270), out: file("vector.gguf"), threads: 1 });
		return { vector: file("vector.gguf"), strength: 1 };
	}

	function ofAnotherBuild(): string {
		const hashes = { ...certificate.hashes, build: "another build" };
		writeFileSync(file("build.json"), JSON.stringify({ ...certificate, hashes }));
		return file("build.json");
	}

	test.each<[string, RegExp, () => Partial<LoadOptions> | Promise<Partial<LoadOptions>>]>([
		["model", /; model: expected "[0-9a-f]{12}…", got "[0-9a-f]{12}…";/, () => ({ model: smallModel(folder, { seed: 2 }) })],
		["cost models", /; cost.0: expected ".*", got ".*";/, () => ({ cost: { lexicon: ["w31*"] } })],
		["budgets", /; constraints.0.budget: expected 0, got 1;/, () => ({ budget: 1 })],
		["reward", /; reward: expected .*, got ".*";/, () => ({ reward: { lexicon: ["w4*"] } })],
		["critic", /; critic: expected none, got ".*";/, async () => ({ critic: await critic() })],
		["control vector", /; steering: expected none, got ".*";/, async () => ({ steering: await steering() })],
		["context size", /; contextSize: expected 0, got 40;/, () => ({ contextSize: 40 })],
		["build", /; build: expected "another build", got "inferenceguard .*";/, () => ({ certificate: ofAnotherBuild() })],
	])("a guard with a certificate refuses or warns of another %s, and names it", async (what, detail, make) => {
		const { certificate = file("single.json"), ...other } = await make();
		const load = (onMismatch?: "warn" | "refuse") =>
			InferenceGuard.load({ ...guard, ...other, certificate: { file: certificate as string, onMismatch } });
		const message = expect.stringContaining(`this guard's ${what},`);
		await expect(load()).rejects.toMatchObject({ code: "CERTIFICATE_MISMATCH", message });
		await expect(load()).rejects.toThrow(detail);
		const warned = new Promise<NodeJS.ErrnoException>((resolve) => process.once("warning", resolve));
		await using warning = await load("warn");
		expect((await warned).code).toBe("CERTIFICATE_MISMATCH");
		expect((await warning.generate(covered)).certificate).toBeUndefined();
	});

	test("a guard with a certificate refuses other search settings, and streams", async () => {
		await using loaded = await InferenceGuard.load({ ...guard, certificate: file("single.json") });
		const others = [
			{ candidates: 3 },
			{ temperature: 0.5 },
			{ maxTokens: 9 },
			{ stop: ["."] },
			{ repair: false },
			{ strategy: "sample" as const },
		];
		for (const other of others) {
			const refused = loaded.generate({ ...covered, ...other });
			await expect(refused).rejects.toMatchObject({ code: "CERTIFICATE_MISMATCH" });
			for (const [name, value] of Object.entries(other).filter(([name]) => name !== "strategy")) {
				const certified = JSON.stringify(certificate.configuration.search[name]) ?? "none";
				await expect(refused).rejects.toThrow(`${name}: expected ${certified}, got ${JSON.stringify(value)}`);
			}
		}
		await expect(loaded.stream(covered).reply).rejects.toMatchObject({ code: "CERTIFICATE_MISMATCH" });
		await expect(loaded.generate({ ...covered, prefill: "a" })).rejects.toMatchObject({ code: "CERTIFICATE_MISMATCH" });
	});

	test("a guard refuses a broken certificate, and claims that its counts do not support", async () => {
		const { claims } = certificate;
		const better = { ...claims, costModels: { unsafe: 0, epsilon: 0 } };
		const ladder: Certificate = JSON.parse(readFileSync(file("ladder.json"), "utf8"));
		const bold = structuredClone(ladder.claims);
		for (const claim of [bold.costModels, bold.judge]) if (claim) claim.epsilon = 0.001;
		for (const bad of [
			{},
			[],
			{ ...certificate, delta: 2 },
			{ ...certificate, delta: 0.04 },
			{ ...certificate, claims: better },
			{ ...certificate, claims: better, prompts: 0 },
			{ ...certificate, prompts: 1000 },
			{ ...certificate, configuration: { ...certificate.configuration, search: {} } },
			{ ...ladder, claims: bold },
			{ ...ladder, tested: [] },
			{ ...ladder, tested: ladder.tested.slice(0, 1) },
		]) {
			writeFileSync(file("bad.json"), JSON.stringify(bad));
			await expect(InferenceGuard.load({ ...guard, certificate: file("bad.json") })).rejects.toMatchObject({ code: "INVALID_CERTIFICATE" });
		}
		await expect(InferenceGuard.load({ ...guard, certificate: file("absent.json") })).rejects.toMatchObject({
			code: "INVALID_CERTIFICATE",
		});
	});
});

test("the commands calibrate, verify and generate work with a certificate", async () => {
	writeFileSync(file("config.json"), JSON.stringify(config()));
	const made = await cli("calibrate", "--config", file("config.json"), "-o", file("cli.json"), "--delta", "0.1");
	expect(made.status, made.stderr).toBe(0);
	expect(made.stdout).toContain("at most 3.77 % of prompts"); // rounded up from 1 - 0.1^(1/60)
	const journal = join(file("cli.json.evaluation"), "journal.jsonl");
	expect((await cli("verify", file("cli.json"), "--journal", journal)).status).toBe(0);
	writeFileSync(file("no-certificate.json"), "{}");
	expect((await cli("verify", file("no-certificate.json"), "--journal", journal)).status).toBe(2);
	const wrong = await cli("verify", file("single.json"), "--journal", journal);
	expect(wrong.status).toBe(1);
	expect(wrong.stderr).toContain("the certificate says");
	const generate = [
		"generate",
		"-m",
		model,
		"-c",
		file("words.txt"),
		"-p",
		"w310",
		"-n",
		"4",
		"-d",
		"4",
		"-t",
		"8",
		"--threads",
		"1",
		"--json",
	];
	const reply = await cli(...generate, "--certificate", file("cli.json"));
	expect(JSON.parse(reply.stdout).certificate.delta).toBe(0.1);
	const other = await cli(...generate, "--certificate", file("cli.json"), "--temperature", "0.7");
	expect(other.status).toBe(1);
	expect(other.stderr).toContain("CERTIFICATE_MISMATCH");
});
