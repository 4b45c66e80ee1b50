// What binding.gyp runs: builds the addon with CMake and copies it to where node-gyp puts its products.
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { main, projectRoot } from "./tools.mjs";

await main(() => {
	const [product] = process.argv.slice(2);
	build({ out: "build-gyp" }); // node-gyp owns build/
	mkdirSync(product, { recursive: true });
	copyFileSync(join(projectRoot, "build-gyp/Release/inferenceguard.node"), join(product, "inferenceguard.node"));
});
