// Installs the package into an empty folder with a package manager, and generates: `node scripts/smoke.mjs npm|pnpm|yarn|bun`. The packages
// are those in packages/ where there are some, otherwise this version as it is published.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { application, managers, withManagers } from "./managers.mjs";
import { publish } from "./publish.mjs";
import { withRegistry } from "./registry.mjs";
import { main, projectRoot, step, UserError } from "./tools.mjs";

await main(async () => {
	const [name] = process.argv.slice(2);
	const manager = managers[name];
	if (!manager) throw new UserError(`expected one of ${Object.keys(managers).join(", ")}, got ${name}`);
	const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8"));
	const packed = join(projectRoot, "packages");
	const folder = mkdtempSync(join(tmpdir(), "inferenceguard-smoke-"));

	function generate(env) {
		const run = application(join(folder, "app"), withManagers([name], folder, env));
		step(`${name}: inferenceguard@${version}`);
		run([...manager.add, `inferenceguard@${version}`]);
		console.log(run([...manager.run, "program.mjs"]));
	}

	try {
		if (!existsSync(packed)) generate(process.env);
		else {
			await withRegistry(join(folder, "registry"), async (env) => {
				await publish(packed, { env });
				generate(env);
			});
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});
