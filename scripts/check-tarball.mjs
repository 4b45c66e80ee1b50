// Packs the package, installs the tarball into an empty folder with nothing but node on PATH, and generates with the
// embedded default:
// `npm run check:tarball`, after `npm run prebuild`.
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { install, withTarball } from "./tarball.mjs";
import { main, step } from "./tools.mjs";

await main(() =>
	withTarball(({ folder, tarball }) => {
		const megabytes = (statSync(tarball).size / 1e6).toFixed(2);

		step("Installing the tarball where there is no compiler and no cmake");
		const bin = join(folder, "bin");
		const app = join(folder, "app");
		for (const path of [bin, app]) mkdirSync(path);
		symlinkSync(process.execPath, join(bin, "node"));
		const env = { ...process.env, PATH: bin };
		writeFileSync(join(app, "package.json"), "{}");
		install([tarball], { cwd: app, env });

		step("Generating with the installed package");
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
		console.log(`tarball: ${megabytes} MB; installed and generated: ${reply.outcome}, ${reply.usage.emittedTokens} tokens`);
	}),
);
