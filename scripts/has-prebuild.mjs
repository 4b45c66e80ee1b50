// Tells binding.gyp whether there is a binary for this platform already: prints 1 or 0.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { platformHere } from "./platforms.mjs";
import { projectRoot } from "./tools.mjs";

console.log(existsSync(join(projectRoot, "prebuilds", platformHere().name)) ? 1 : 0);
