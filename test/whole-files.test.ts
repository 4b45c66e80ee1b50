// A file that could not be written whole is an error with a code; what was there stays, and nothing else is left.
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { writeGguf } from "../lib/data/gguf-writer.js";
import { expectWritable, replaceFiles, textFile } from "../lib/data/output.js";
import { callAddon } from "../lib/native.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const built = (path: string) => JSON.stringify(new URL(`../dist/${path}`, import.meta.url).href);
const testOnLinux = test.skipIf(process.platform !== "linux");

/** Every file of a folder, with its content. */
const contents = (place: string) => Object.fromEntries(readdirSync(place).map((name) => [name, readFileSync(join(place, name), "latin1")]));

const values = Float32Array.from({ length: 700 }, (_, i) => i);
const tensor = { name: "direction.1", shape: [values.length], values, half: false };
const writers = {
	text: `(path) => textFile(path, "ä".repeat(1500))`,
	"GGUF of this package": `(path) => ({ path, write: (temporary) => callAddon((native) =>
		native.writeTensors(temporary, "control-vector", {}, {}, [{ name: "direction.1", shape: [700], values: new Float32Array(700), half: false }])) })`,
	"GGUF of any kind": `(path) => ({ path, write: (temporary) => writeGguf(temporary, {
		metadata: [["general.name", "string", "a model"]],
		tensors: [{ name: "direction.1", shape: [700], type: "f32", data: () => new Uint8Array(2800) }] }) })`,
};

testOnLinux.each(Object.entries(writers))(
	"%s that does not fit, by one byte or by all, leaves what was there",
	(name, writer) => {
		const place = file(`limit ${name}`);
		mkdirSync(place);
		const code = `
			import { execFileSync } from "node:child_process";
			import { writeFileSync, readFileSync, readdirSync, statSync } from "node:fs";
			import { jsonFile, replaceFiles, textFile } from ${built("data/output.js")};
			import { writeGguf } from ${built("data/gguf-writer.js")};
			import { callAddon } from ${built("native.js")};
			const place = ${JSON.stringify(place)};
			const out = place + "/out";
			const made = ${writer};
			const limit = (bytes) => execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=" + bytes + ":"]);
			await replaceFiles(made(out));
			const size = statSync(out).size;
			for (const at of [0, 1, 100, 1000, Math.floor(size / 2), size - 33, size - 1]) {
				writeFileSync(out, "good");
				limit(at);
				const told = await replaceFiles(made(out), jsonFile(out + ".json", {})).then(() => "written", ({ code }) => code);
				limit("unlimited");
				console.log([told, readFileSync(out, "utf8"), ...readdirSync(place)].join());
			}
			limit(size);
			await replaceFiles(made(out));
			console.log(statSync(out).size === size);`;
		const told = execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
		expect(told).toBe(`${"WRITE_FAILED,good,out\n".repeat(7)}true\n`);
	},
	120_000,
);

test("writers say how many bytes they wrote", () => {
	const [path, other] = [file("own.gguf"), file("any.gguf")];
	const list = { numbers: Float64Array.of(1, 2, 3), empty: new Float64Array() };
	expect(
		callAddon((native) => native.writeTensors(path, "probe", { text: "ä" }, list, [tensor, { ...tensor, name: "h", half: true }])),
	).toBe(statSync(path).size);
	expect(callAddon((native) => native.writeTensors(path, "probe", {}, { one: 1 }, []))).toBe(statSync(path).size);
	const data = () => new Uint8Array(12);
	expect(writeGguf(other, { metadata: [["a", "string", "ä"]], tensors: [{ name: "t", shape: [3], type: "f32", data }] })).toBe(
		statSync(other).size,
	);
});

describe("files that belong together", () => {
	test("are put in place together, or not at all", async () => {
		const place = file("together");
		mkdirSync(place);
		const all = ["a", "b", "c"].map((name) => join(place, name));
		for (const path of all) writeFileSync(path, "good");
		const write = (temporary: string) => {
			writeFileSync(temporary, "half");
			return 5;
		};
		const short = { path: all[2] as string, write };
		const attempt = replaceFiles(textFile(all[0] as string, "new"), textFile(all[1] as string, "new"), short);
		await expect(attempt).rejects.toMatchObject({ code: "WRITE_FAILED", message: expect.stringContaining("4 of 5 bytes") });
		expect(contents(place)).toEqual({ a: "good", b: "good", c: "good" });
		mkdirSync(join(place, "folder"));
		await expect(replaceFiles(textFile(all[0] as string, "new"), textFile(join(place, "folder"), ""))).rejects.toMatchObject({
			code: "WRITE_FAILED",
		});
		expect(readFileSync(all[0] as string, "utf8")).toBe("good");
		await replaceFiles(...all.map((path) => textFile(path, "new")));
		expect(all.map((path) => readFileSync(path, "utf8"))).toEqual(["new", "new", "new"]);
	});

	test.skipIf(process.platform === "win32")("stay behind links, and never take the place of a device", async () => {
		writeFileSync(file("aim"), "good");
		symlinkSync(file("aim"), file("link"));
		await replaceFiles(textFile(file("link"), "new"));
		expect([readFileSync(file("aim"), "utf8"), lstatSync(file("link")).isSymbolicLink()]).toEqual(["new", true]);
		execFileSync("mkfifo", [file("pipe")]);
		for (const path of ["/dev/null", "/dev/full", file("pipe")]) {
			const refused = { code: "WRITE_FAILED", message: expect.stringContaining("a device, pipe or socket") };
			await expect(expectWritable(path)).rejects.toMatchObject(refused);
			await expect(replaceFiles(textFile(path, "new"))).rejects.toMatchObject(refused);
			expect(lstatSync(path).isFile()).toBe(false);
		}
	});
});

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** Runs the command line where no file may have a byte. */
const limited = (args: string[]) =>
	spawnSync("bash", ["-c", 'ulimit -f 0; exec "$0" "$@"', process.execPath, main, ...args], { encoding: "utf8" });

describe("a command on a full disk", () => {
	const model = smallModel(folder);
	writeFileSync(file("words.txt"), "w300\n");
	const lines = (make: (i: number) => object) => Array.from({ length: 60 }, (_, i) => JSON.stringify(make(i))).join("\n");
	writeFileSync(
		file("prompts.jsonl"),
		lines((i) => ({ prompt: `w${280 + i}` })),
	);
	writeFileSync(
		file("others.jsonl"),
		lines((i) => ({ prompt: `w${380 + i}` })),
	);
	writeFileSync(
		file("labelled.jsonl"),
		lines((i) => ({ text: `${i % 2 ? "hate" : "like"} w${280 + i}`, label: i % 2 })),
	);
	writeFileSync(
		file("eval.json"),
		JSON.stringify({
			name: "small",
			guard: { model, cost: { lexicon: file("words.txt") }, budget: 0, threads: 1 },
			data: { file: file("prompts.jsonl"), limit: 2 },
			defaults: { maxTokens: 4 },
			methods: [{ name: "base", strategy: "sample" }],
		}),
	);
	const answers = file("answers.jsonl");
	writeFileSync(answers, `${JSON.stringify({ id: "1", prompt: "a", response: "b" })}\n`);
	writeFileSync(file("answers.labels.jsonl"), '{"id":"1","label":"safe"}\n');
	const classifier = fileURLToPath(new URL("reference/encoders/bert-one-label", import.meta.url));
	const own = ["--model", model, "--threads", "1"];
	const commands: [string, (out: string) => string[]][] = [
		[
			"steer-vector",
			(out) => ["steer-vector", ...own, "--positive", file("prompts.jsonl"), "--negative", file("others.jsonl"), "--out", out],
		],
		["train-cost", (out) => ["train-cost", "--data", file("labelled.jsonl"), "--out", out]],
		["train-cost --kind probe", (out) => ["train-cost", "--kind", "probe", ...own, "--data", file("labelled.jsonl"), "--out", out]],
		["convert", (out) => ["convert", classifier, "--out", out]],
		["label --export", (out) => ["label", answers, "--export", out]],
		["answers", (out) => ["answers", ...own, "--prompts", file("prompts.jsonl"), "--methods", "plain", "--max-tokens", "4", "--out", out]],
		["calibrate", (out) => ["calibrate", "--config", file("eval.json"), "--evaluation", join(out, "..", "evaluation"), "--out", out]],
	];

	testOnLinux.each(commands)(
		"%s says so and leaves the good files",
		(name, args) => {
			const place = file(`full ${name}`);
			const out = join(place, "out.jsonl");
			mkdirSync(place);
			const good = name === "answers" ? "" : "good";
			for (const end of ["", ".report.json", ".report.html"]) writeFileSync(`${out}${end}`, good);
			const before = contents(place);
			const { status, stderr } = limited(args(out));
			expect(stderr).toMatch(/^inferenceguard: .*\[WRITE_FAILED\]\n$/s);
			expect(status).toBe(1);
			const after = readdirSync(place).filter((entry) => entry !== "evaluation");
			expect(Object.fromEntries(after.map((entry) => [entry, readFileSync(join(place, entry), "latin1")]))).toEqual(before);
		},
		60_000,
	);

	testOnLinux.each<[string, (out: string) => string[]]>([
		["eval", (out) => ["eval", "--config", file("eval.json"), "--out", out]],
		[
			"rollouts",
			(out) => ["rollouts", ...own, "--cost", file("words.txt"), "--prompts", file("prompts.jsonl"), "--max-tokens", "4", "--out", out],
		],
	])(
		"%s says so, leaves no file, and starts anew where there is room",
		(name, args) => {
			const place = file(`folder ${name}`);
			const { status, stderr } = limited(args(place));
			expect(stderr).toMatch(/\[WRITE_FAILED\]\n$/);
			expect([status, readdirSync(place)]).toEqual([1, []]);
			const again = spawnSync(process.execPath, [main, ...args(place)], { encoding: "utf8" });
			expect(again.status, again.stderr).toBe(0);
		},
		60_000,
	);
});
