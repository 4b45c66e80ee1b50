// A file that could not be written whole is an error with a code; what was there stays, and nothing else is left.
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { writeGguf } from "../lib/data/gguf-writer.js";
import { expectWritable, replaceFiles, textFile } from "../lib/data/output.js";
import { callAddon } from "../lib/native/addon.js";
import { built } from "./child.js";
import { smallModel, temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
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
	"%s that does not fit, by one byte or by all, leaves the existing files",
	(name, writer) => {
		const place = file(`limit ${name}`);
		mkdirSync(place);
		const code = `
			import { execFileSync } from "node:child_process";
			import { writeFileSync, readFileSync, readdirSync, statSync } from "node:fs";
			import { jsonFile, replaceFiles, textFile } from ${built("data/output.js")};
			import { writeGguf } from ${built("data/gguf-writer.js")};
			import { callAddon } from ${built("native/addon.js")};
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

test("writers report how many bytes they wrote", () => {
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
	test("files that belong together are put in place together, or not at all", async () => {
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
		for (const path of [join(place, "folder"), join(place, "none", "file"), join(all[1] as string, "below")]) {
			const refused = { code: "WRITE_FAILED" };
			await expect(replaceFiles(textFile(all[0] as string, "new"), textFile(path, ""))).rejects.toMatchObject(refused);
			await expect(expectWritable(path)).rejects.toMatchObject(refused);
		}
		expect(readFileSync(all[0] as string, "utf8")).toBe("good");
		await replaceFiles(...all.map((path) => textFile(path, "new")));
		expect(all.map((path) => readFileSync(path, "utf8"))).toEqual(["new", "new", "new"]);
	});

	test.skipIf(process.platform === "win32")("files are written through links, and never replace a device", async () => {
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

describe.skipIf(process.platform !== "linux")("a command on a full disk", () => {
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
	writeFileSync(file("answers.jsonl"), `${JSON.stringify({ id: "1", prompt: "a", response: "b" })}\n`);
	writeFileSync(file("answers.labels.jsonl"), '{"id":"1","label":"safe"}\n');
	const classifier = fileURLToPath(new URL("reference/encoders/bert-one-label", import.meta.url));
	const own = ["--model", model, "--threads", "1"];
	const sampled = [...own, "--cost", file("words.txt"), "--prompts", file("prompts.jsonl"), "--max-tokens", "4"];
	/** Every command that writes, into the folder `@`. */
	const commands: Record<string, string[]> = {
		"steer-vector": ["steer-vector", ...own, "--positive", file("prompts.jsonl"), "--negative", file("others.jsonl"), "--out", "@/out"],
		"train-cost": ["train-cost", "--data", file("labelled.jsonl"), "--out", "@/out"],
		"train-cost --kind probe": ["train-cost", "--kind", "probe", ...own, "--data", file("labelled.jsonl"), "--out", "@/out"],
		convert: ["convert", classifier, "--out", "@/out"],
		"label --export": ["label", file("answers.jsonl"), "--export", "@/out"],
		answers: ["answers", ...sampled, "--methods", "plain", "--out", "@/answers.jsonl"],
		rollouts: ["rollouts", ...sampled, "--responses", "2", "--out", "@/rollouts"],
		train: ["train", "--rollouts", file("rollouts"), "--width", "8", "--members", "1", "--epochs", "1", "--out", "@/out"],
		eval: ["eval", "--config", file("eval.json"), "--format", "inspect", "--out", "@/evaluation"],
		calibrate: ["calibrate", "--config", file("eval.json"), "--evaluation", "@/evaluation", "--out", "@/out"],
	};
	interface Attempt {
		limit: number;
		told: string;
		/** Every file afterwards, with its content. */
		left: Record<string, string>;
		/** Of another run, where there is room. */
		again: { told: string; names: string[] };
	}

	/** Runs all commands in one process, as often as they write files of different sizes: each time one of them does not fit. */
	function attempts(): Record<string, { names: string[]; attempts: Attempt[] }> {
		const code = `
			import { execFileSync } from "node:child_process";
			import { cpSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
			import { join } from "node:path";
			import { run } from ${built("cli/program.js")};
			process.setMaxListeners(0);
			const limit = (bytes) => execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=" + bytes + ":"]);
			const write = process.stdout.write.bind(process.stdout);
			let told = "";
			for (const stream of [process.stdout, process.stderr]) stream.write = (text) => (told += text, true);
			const filesOf = (place) => readdirSync(place, { recursive: true }).filter((name) => statSync(join(place, name)).isFile()).sort();
			async function tell(args, place) {
				told = "";
				process.exitCode = 0;
				await run(args.map((one) => one.replace("@", place)));
				return process.exitCode + told;
			}
			const isAppended = (name) => /jsonl$|^rollouts/.test(name);
			const found = {};
			await run(${JSON.stringify(commands.rollouts)}.map((one) => one.replace("@", ${JSON.stringify(folder)})));
			for (const [name, args] of Object.entries(${JSON.stringify(commands)})) {
				const whole = join(${JSON.stringify(folder)}, "whole " + name);
				mkdirSync(whole);
				const first = await tell(args, whole);
				if (!first.startsWith("0")) throw new Error(first);
				const names = filesOf(whole);
				const limits = new Set([0, ...names.map((one) => Math.floor(0.9 * statSync(join(whole, one)).size))]); // times take more or fewer digits
				found[name] = { names, attempts: [] };
				for (const bytes of limits) {
					const place = join(${JSON.stringify(folder)}, bytes + " " + name);
					cpSync(whole, place, { recursive: true, filter: (path) => !isAppended(path.slice(whole.length + 1)) });
					for (const one of filesOf(place)) writeFileSync(join(place, one), "good");
					limit(bytes);
					const told = await tell(args, place);
					limit("unlimited");
					const left = Object.fromEntries(filesOf(place).map((one) => [one, readFileSync(join(place, one), "latin1")]));
					found[name].attempts.push({ limit: bytes, told, left, again: { told: await tell(args, place), names: filesOf(place) } });
				}
			}
			process.exitCode = 0;
			write(JSON.stringify(found));`;
		return JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", maxBuffer: 2 ** 28 }));
	}

	let found: ReturnType<typeof attempts>;
	beforeAll(() => {
		found = attempts();
	});

	test.each(Object.keys(commands))("%s on a full disk says so, keeps the good files, and works once there is room", (name) => {
		const { names, attempts } = found[name] as (typeof found)[string];
		expect(attempts.length).toBeGreaterThan(1);
		for (const { told, left, again } of attempts) {
			expect(told).toMatch(/^1(.|\n)*\[WRITE_FAILED\]\n$/);
			expect(told).not.toContain("Wrote");
			for (const [one, content] of Object.entries(left)) {
				expect(names).toContain(one); // nothing temporary
				if (one.endsWith(".jsonl")) for (const line of content.split("\n").slice(0, -1)) JSON.parse(line);
				else if (!one.startsWith("rollouts")) expect(content).toBe("good");
				if (one.endsWith(".jsonl")) expect(content).toMatch(/^$|\n$/);
			}
			expect(again.told).toMatch(/^0/);
			expect(again.names).toEqual(names);
		}
	});

	test("a label on a full disk is reported on its page, and can be given again", () => {
		const code = `
			import { execFileSync } from "node:child_process";
			import { readFileSync, readdirSync } from "node:fs";
			import { openTree } from ${built("cli/demo-page.js")};
			import { InferenceGuard } from ${built("index.js")};
			import { serveLabels } from ${built("training/index.js")};
			const limit = (bytes) => execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=" + bytes + ":"]);
			const server = await serveLabels({ answers: ${JSON.stringify(file("answers.jsonl"))}, reader: "me" });
			const label = async (name) => {
				const options = { method: "POST", headers: { "Content-Type": "application/json", Origin: new URL(server.url).origin } };
				const { status } = await fetch(server.url + "labels", { ...options, body: JSON.stringify({ answer: 0, label: name }) });
				return [status, readFileSync(server.out, "utf8").trim().split("\\n").map((line) => JSON.parse(line).label)];
			};
			const guard = await InferenceGuard.load({ model: { pieces: ["a", "b"], logits: [[0, 0], [0, 0]] }, cost: { tokenCosts: [0, 0] } });
			const reply = await guard.generate({ prompt: [0], maxTokens: 2 });
			const page = () => openTree({ prompt: "a", plain: reply, guarded: reply, names: ["a"] }).then(() => "written", ({ code }) => code);
			const told = [await label("safe")];
			limit(40);
			told.push(await label("unsafe"), await page());
			limit("unlimited");
			process.env.PATH = ""; // there is no browser
			told.push(await label("unsafe"), await page(), readdirSync(process.env.TMPDIR, { recursive: true }).filter((name) => /html|tmp/.test(name)).length);
			console.log(JSON.stringify(told));
			await server.close();
			await guard.dispose();`;
		const place = file("pages");
		mkdirSync(place);
		const options = { encoding: "utf8", env: { ...process.env, TMPDIR: place } } as const;
		const told = execFileSync(process.execPath, ["--input-type=module", "-e", code], options);
		expect(JSON.parse(told)).toEqual([[204, ["safe"]], [500, ["safe"]], "WRITE_FAILED", [204, ["safe", "unsafe"]], "written", 1]);
	});
});
