// A registry on this machine: it has what was packed, and asks npm's own registry for everything else.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answering, freePort } from "./listening.mjs";
import { npm, step } from "./tools.mjs";

const verdaccio = "verdaccio@6.5.0";

function configuration(folder) {
	const ours = { access: "$all", publish: "$all" };
	return {
		storage: join(folder, "storage"),
		max_body_size: "1gb",
		uplinks: { npm: { url: npm(["config", "get", "registry"]).trim() } },
		packages: { inferenceguard: ours, "@inferenceguard/*": ours, "**": { access: "$all", proxy: "npm" } },
		log: { type: "file", path: join(folder, "log"), level: "warn" },
	};
}

/** Calls `check` with the environment in which package managers use a registry and caches of their own, all of it in `folder`. */
export async function withRegistry(folder, check) {
	step("Starting a registry");
	mkdirSync(folder, { recursive: true });
	// node-fetch is asked for by a tag, which not every mirror of the registry has
	writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, overrides: { "node-fetch": "2.7.0" } }));
	npm(["install", "--no-audit", "--no-fund", "--prefer-offline", verdaccio], { cwd: folder });
	writeFileSync(join(folder, "config.yaml"), JSON.stringify(configuration(folder)));
	const port = await freePort();
	const address = `http://127.0.0.1:${port}/`;
	const program = [join(folder, "node_modules/verdaccio/bin/verdaccio"), "--config", join(folder, "config.yaml")];
	const registry = spawn(process.execPath, [...program, "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "ignore", "inherit"] });
	try {
		await answering(`${address}-/ping`, registry);
		writeFileSync(join(folder, ".npmrc"), `registry=${address}\n//127.0.0.1:${port}/:_authToken=anyone\n`);
		const { npm_config_user_agent: _, ...inherited } = process.env;
		await check({
			...inherited,
			npm_config_userconfig: join(folder, ".npmrc"),
			npm_config_registry: address,
			npm_config_cache: join(folder, "npm"),
			npm_config_store_dir: join(folder, "pnpm"),
			XDG_CACHE_HOME: join(folder, "cache"),
			YARN_NPM_REGISTRY_SERVER: address,
			YARN_UNSAFE_HTTP_WHITELIST: "127.0.0.1",
			YARN_GLOBAL_FOLDER: join(folder, "yarn"),
			BUN_CONFIG_REGISTRY: address,
			BUN_INSTALL_CACHE_DIR: join(folder, "bun"),
		});
	} finally {
		registry.kill();
	}
}
