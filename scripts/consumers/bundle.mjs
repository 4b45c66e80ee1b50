// Bundles program.mjs with every bundler, in every way that it can: run where the bundlers and the package are installed. Prints the files.
import { resolve } from "node:path";
import { promisify } from "node:util";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import { build as esbuild } from "esbuild";
import { rollup } from "rollup";
import { build as vite } from "vite";
import webpack from "webpack";

const entry = resolve("program.mjs");
/** All entries of the package. */
const external = /^inferenceguard(\/|$)/;

async function withRollup({ isExternal, format, file }) {
	const options = isExternal ? { external } : { external: /^node:/, plugins: [nodeResolve({ preferBuiltins: true })] };
	const bundle = await rollup({ input: entry, onwarn: () => {}, ...options });
	await bundle.write({ file, format, inlineDynamicImports: true });
	await bundle.close();
}

async function withWebpack({ isExternal, format, file }) {
	const isModule = format === "esm";
	const stats = await promisify(webpack)({
		mode: "production",
		target: "node20",
		entry,
		externals: isExternal ? external : [],
		externalsType: isModule ? "module" : "commonjs",
		optimization: { minimize: false },
		experiments: { outputModule: isModule },
		output: { path: resolve("."), filename: file, ...(isModule ? { module: true, chunkFormat: "module" } : {}) },
	});
	if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString("errors-warnings"));
}

const bundlers = {
	esbuild: ({ isExternal, format, file }) =>
		esbuild({
			entryPoints: [entry],
			bundle: true,
			platform: "node",
			format,
			outfile: file,
			...(isExternal ? { external: ["inferenceguard"] } : {}),
		}),
	rollup: withRollup,
	vite: ({ isExternal, format, file }) =>
		vite({
			configFile: false,
			logLevel: "error",
			ssr: isExternal ? {} : { noExternal: true },
			build: { ssr: entry, outDir: ".", emptyOutDir: false, rollupOptions: { output: { format, entryFileNames: file } } },
		}),
	webpack: withWebpack,
};

const forms = [
	{ isExternal: true, format: "esm" },
	{ isExternal: false, format: "esm" },
	{ isExternal: false, format: "cjs" },
];

for (const [name, bundle] of Object.entries(bundlers)) {
	for (const { isExternal, format } of forms) {
		const file = `bundles/${name}-${isExternal ? "external" : "bundled"}.${format === "esm" ? "mjs" : "cjs"}`;
		await bundle({ isExternal, format, file });
		console.log(file);
	}
}
