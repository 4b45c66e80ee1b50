#!/usr/bin/env node
// Stands in for node-gyp under prebuildify: builds the distributable binary and puts it where prebuildify looks for it.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { main, projectRoot } from "./tools.mjs";

await main(() => {
	build({ out: "build-prebuilt", prebuilt: true });
	const release = join(projectRoot, "build", "Release");
	rmSync(release, { recursive: true, force: true });
	mkdirSync(release, { recursive: true });
	copyFileSync(join(projectRoot, "build-prebuilt/Release/inferenceguard.node"), join(release, "inferenceguard.node"));
});
