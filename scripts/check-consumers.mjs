// Installs the packed package as users do, and checks what they do with it: `npm run check:consumers`, after `npm run prebuild`.
// Bundlers leave it out or bundle its code; CommonJS requires it; compilers read its declarations, without the types of Node; a server of
// Next.js answers with it.
import { execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { answering, freePort } from "./listening.mjs";
import { install, withTarballs } from "./tarball.mjs";
import { main, projectRoot, step } from "./tools.mjs";

const tools = {
	"@rollup/plugin-node-resolve": "16.0.3",
	"@vercel/nft": "1.11.5",
	esbuild: "0.28.2",
	rollup: "4.68.8",
	"typescript-5": "npm:typescript@5.9.3",
	"typescript-7": "npm:typescript@7.0.2",
	vite: "8.4.0",
	webpack: "5.113.0",
};

const next = ["next@16.4.6", "react@19.3.1", "react-dom@19.3.1"];

const both = ["types.ts", "types.cts"];

/** Ways in which a program may be compiled. A CommonJS file may require a module in Node 20.19 and newer, thus since `node20`. */
const compilations = [
	{ compiler: "typescript-5", files: both, options: { module: "nodenext" } },
	{ compiler: "typescript-7", files: both, options: { module: "nodenext" } },
	{ compiler: "typescript-7", files: both, options: { module: "node20" } },
	{ compiler: "typescript-7", files: ["types.ts"], options: { module: "esnext", moduleResolution: "bundler", lib: ["es2022"] } },
];

/** What a route of Next.js says, on a server that was built to stand alone. */
async function storyOfNext(app, tarballs, environment) {
	const env = { ...environment, NEXT_TELEMETRY_DISABLED: "1" };
	cpSync(join(projectRoot, "scripts/consumers/next"), app, { recursive: true });
	writeFileSync(join(app, "package.json"), JSON.stringify({ private: true }));
	install([...next, ...tarballs], { cwd: app });
	await promisify(execFile)(process.execPath, ["node_modules/next/dist/bin/next", "build"], { cwd: app, env });
	const elsewhere = `${app}-server`;
	cpSync(join(app, ".next/standalone"), elsewhere, { recursive: true, verbatimSymlinks: true });
	const port = await freePort();
	const server = spawn(process.execPath, ["server.js"], {
		cwd: elsewhere,
		env: { ...env, PORT: port, HOSTNAME: "127.0.0.1" },
		stdio: "inherit",
	});
	try {
		return await (await answering(`http://127.0.0.1:${port}/api/story`, server)).text();
	} finally {
		server.kill();
	}
}

await main(() =>
	withTarballs(async ({ folder, tarballs }) => {
		const app = join(folder, "app");
		const env = { ...process.env, XDG_CACHE_HOME: join(folder, "cache") };
		const node = async (file, ...rest) => (await promisify(execFile)(process.execPath, [file, ...rest], { cwd: app, env })).stdout;

		step("Installing the packages beside bundlers and compilers");
		mkdirSync(app);
		writeFileSync(join(app, "package.json"), JSON.stringify({ private: true, type: "module", devDependencies: tools }));
		install(tarballs, { cwd: app });
		cpSync(join(projectRoot, "scripts/consumers"), app, { recursive: true });
		cpSync(join(app, "types.ts"), join(app, "types.cts"));

		step("Compiling against the declarations");
		const common = { target: "es2022", types: [], skipLibCheck: false, skipDefaultLibCheck: true, strict: true, noEmit: true };
		for (const { compiler, files, options } of compilations) {
			writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...common, ...options }, files }));
			await node(`node_modules/${compiler}/bin/tsc`, "-p", ".").catch(({ stdout }) => {
				throw new Error(`${compiler} with ${JSON.stringify(options)}:\n${stdout}`);
			});
		}

		step("Tracing the files that a program needs");
		const traced = (await node("trace.mjs")).split("\n");
		if (!traced.some((path) => /@inferenceguard\/.*\/inferenceguard\.\w+\.node$/.test(path)))
			throw new Error(`expected the binary among ${traced}`);

		step("Bundling");
		const bundles = (await node("bundle.mjs")).trim().split("\n");

		step(`Running as CommonJS, and ${bundles.length} bundles`);
		const expected = await node("program.mjs");
		for (const file of ["program.cjs", ...bundles]) {
			const said = await node(file);
			if (said !== expected) throw new Error(`${file}: expected ${expected}, got ${said}`);
		}

		step("Running bundles without the package's folder");
		renameSync(join(app, "node_modules/inferenceguard"), join(folder, "elsewhere"));
		for (const file of bundles.filter((name) => name.includes("bundled"))) {
			const { stderr } = await node(file).catch((error) => error);
			if (!/^ADDON_NOT_FOUND: .*A bundle needs the folder of the package/s.test(stderr)) {
				throw new Error(`${file}, without the package: expected ADDON_NOT_FOUND, got ${stderr.slice(-1000)}`);
			}
		}

		step("Building a server with Next.js and asking it");
		const said = await storyOfNext(join(folder, "next"), tarballs, env);
		if (said !== expected.trim()) throw new Error(`Next.js: expected ${expected}, got ${said}`);
		console.log(`compiled in ${compilations.length} ways, ran ${bundles.length + 2} programs: ${expected.trim()}`);
	}),
);
