// Packs the package, installs the tarball into an empty folder with nothing but node on PATH, and generates with it:
// `npm run check:tarball`, after `npm run prebuild`.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { writeRandomLlama } from "../bench/gguf.mjs";
import { main, projectRoot, step } from "./tools.mjs";

const npmCli = join(dirname(process.execPath), "../lib/node_modules/npm/bin/npm-cli.js");

await main(() => {
	if (!existsSync(join(projectRoot, "prebuilds", `${process.platform}-${process.arch}`))) {
		throw new Error("there is no prebuilt binary for this platform: run `npm run prebuild` first");
	}
	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-tarball-"));
	try {
		step("Packing");
		execFileSync("npm", ["pack", "--pack-destination", folder, "--loglevel=error"], {
			cwd: projectRoot,
			stdio: ["ignore", "ignore", "inherit"],
		});
		const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
		const megabytes = (statSync(join(folder, tarball)).size / 1e6).toFixed(2);

		step("Installing the tarball where there is no compiler and no cmake");
		const bin = join(folder, "bin");
		const app = join(folder, "app");
		for (const path of [bin, app]) mkdirSync(path);
		symlinkSync(process.execPath, join(bin, "node"));
		const npm = process.env.npm_execpath ?? npmCli;
		const env = { ...process.env, PATH: bin };
		writeFileSync(join(app, "package.json"), "{}");
		execFileSync(process.execPath, [npm, "install", join(folder, tarball), "--no-audit", "--no-fund", "--loglevel=error"], {
			cwd: app,
			env,
			stdio: "inherit",
		});

		step("Generating with the installed package");
		const model = join(folder, "model.gguf");
		writeRandomLlama(model, { dim: 64, layers: 2, heads: 4, ffn: 128, vocab: 512 });
		writeFileSync(join(folder, "words.txt"), "w300\n");
		const cli = join(app, "node_modules/inferenceguard/dist/cli/main.js");
		const args = ["generate", "--model", model, "--cost", join(folder, "words.txt"), "--prompt", "hello", "--json"];
		const reply = JSON.parse(execFileSync(process.execPath, [cli, ...args], { env, encoding: "utf8" }));
		if (!["safe", "steered"].includes(reply.outcome) || reply.safety.cost > reply.safety.budget) {
			throw new Error(`expected a response within budget, got ${JSON.stringify(reply)}`);
		}
		console.log(`tarball: ${megabytes} MB; installed and generated: ${reply.outcome}, ${reply.usage.emittedTokens} tokens`);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});
