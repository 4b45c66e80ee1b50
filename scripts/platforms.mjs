// The platforms with binaries: scripts/platforms.json.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { projectRoot, UserError } from "./tools.mjs";

export const platforms = JSON.parse(readFileSync(join(projectRoot, "scripts/platforms.json"), "utf8"));

/** The one that this process runs on. */
export function platformHere() {
	const libcs = createRequire(import.meta.url)("detect-libc"); // here, since publishing and smoke tests run without dependencies
	const libc = libcs.familySync() ?? undefined;
	const here = platforms.find((one) => one.os === process.platform && one.cpu === process.arch && one.libc === libc);
	if (!here) throw new UserError(`there are no binaries for ${process.platform}-${process.arch}${libc ? ` with ${libc}` : ""}`);
	return here;
}

export function platformNamed(name) {
	const platform = platforms.find((one) => one.name === name);
	if (!platform) throw new UserError(`expected one of ${platforms.map((one) => one.name).join(", ")}, got ${name}`);
	return platform;
}
