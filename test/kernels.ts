import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "../scripts/build.mjs";
import { projectRoot } from "../scripts/tools.mjs";

const name = "inferenceguard_kernels";
const besideAddon = join(dirname(process.env.INFERENCEGUARD_ADDON ?? ""), `${name}.node`); // as the sanitizers' build has it
const isBeside = process.env.INFERENCEGUARD_ADDON !== undefined && existsSync(besideAddon);

/** Once before all tests, of which several use the addon. */
export default function setup() {
	if (!isBeside) build({ target: name });
}

/** The addon that runs ggml's kernels by themselves. */
export const kernels = () => createRequire(import.meta.url)(isBeside ? besideAddon : join(projectRoot, "build/Release", `${name}.node`));
