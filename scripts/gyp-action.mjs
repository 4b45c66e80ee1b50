// What native/binding.gyp runs: builds the addon with CMake into build/, and copies it to where node-gyp expects its product.
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "./build.mjs";
import { main, projectRoot } from "./tools.mjs";

await main(() => {
	const [product] = process.argv.slice(2);
	build();
	mkdirSync(dirname(product), { recursive: true });
	copyFileSync(join(projectRoot, "build/Release/inferenceguard.node"), product);
});
