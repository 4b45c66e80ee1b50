// Packs what is published, installs it into an empty folder with nothing but node on PATH, and generates with the embedded default; then lets
// CMake configure a build from the sources in it: `npm run check:tarball`, after `npm run prebuild`.
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { llamaSource } from "./llama-source.mjs";
import { install, withTarballs } from "./tarball.mjs";
import { main, projectRoot, step } from "./tools.mjs";

const modules = join(projectRoot, "node_modules");

function generate(app, env) {
	const code = `
		import { embeddedDefault, InferenceGuard } from "inferenceguard";
		const guard = await InferenceGuard.load(embeddedDefault);
		const reply = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 32, blockLength: 16, seed: 1 });
		console.log(JSON.stringify(reply));
		await guard.dispose();`;
	const run = ["--input-type=module", "-e", code];
	const reply = JSON.parse(execFileSync(process.execPath, run, { cwd: app, env, encoding: "utf8" }));
	const { constraints, pSafe } = reply.safety;
	if (!["safe", "steered"].includes(reply.outcome) || constraints.some(({ cost, budget }) => cost > budget) || pSafe.length === 0) {
		throw new Error(`expected a response within budget, got ${JSON.stringify(reply)}`);
	}
	return reply;
}

await main(() =>
	withTarballs(({ folder, tarballs }) => {
		step("Checking the manifests");
		for (const tarball of tarballs) {
			execFileSync(process.execPath, [join(modules, "publint/src/cli.js"), tarball, "--strict"], { stdio: ["ignore", 2, 2] });
		}

		step("Installing where there is no compiler, no cmake and no Python");
		const bin = join(folder, "bin");
		const app = join(folder, "app");
		for (const path of [bin, app]) mkdirSync(path);
		symlinkSync(process.execPath, join(bin, "node"));
		const env = { ...process.env, PATH: bin };
		writeFileSync(join(app, "package.json"), '{ "private": true }');
		install(tarballs, { cwd: app, env });

		step("Generating with the installed package");
		const { outcome, usage } = generate(app, env);

		step("Configuring a build of the installed package from its sources");
		const build = join(folder, "build");
		execFileSync("cmake", ["-S", join(app, "node_modules/inferenceguard"), "-B", build, "-D", `LLAMA_CPP_DIR=${llamaSource()}`], {
			env: { ...process.env, NODE_PATH: modules },
			stdio: ["ignore", "ignore", "inherit"],
		});

		for (const tarball of tarballs) console.log(`${basename(tarball)}: ${(statSync(tarball).size / 1e6).toFixed(2)} MB`);
		console.log(`installed and generated: ${outcome}, ${usage.emittedTokens} tokens`);
	}),
);
