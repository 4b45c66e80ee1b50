// The check that published binaries load on other systems than the one that built them.
import { spawnSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { addonPath } from "../lib/native/addon.js";
import { binaryProblems } from "../scripts/check-binaries.mjs";
import { platformHere } from "../scripts/platforms.mjs";
import { testWhere } from "./shared.js";
import { temporaryFolder } from "./temporary.js";

const isPlainBuild = process.platform === "linux" && process.env.INFERENCEGUARD_ADDON === undefined;
const isReadable = isPlainBuild && spawnSync("readelf", ["--version"]).status === 0;
const testHere = testWhere(isReadable, "readelf, or a build without sanitizers");
const testX64 = testWhere(isReadable && process.arch === "x64", "readelf, or a build for x86-64 without sanitizers");
const folder = temporaryFolder();

/** What is said of a file that would be published under a name; the glibc of this machine may be newer than allowed. */
function problemsOf(file: string, name: string): string[] {
	const copy = join(folder, name);
	copyFileSync(join(dirname(addonPath()), file), copy);
	return binaryProblems(platformHere(), copy, { anyGlibc: true }).map((problem) => problem.slice(copy.length + 1));
}

testHere("a source build cannot be published: it needs the C++ library of its system", () => {
	expect(problemsOf("inferenceguard.node", "inferenceguard.native.node")).toContain("needs libstdc++.so.6 of the system");
});

testHere("the probe needs no C++ library, exports what Node asks for, and has no instruction above the plain baseline", () => {
	expect(problemsOf("cpu.node", "cpu.node")).toEqual([]);
});

testX64("a binary with instructions above its level is found out", () => {
	const found = problemsOf("inferenceguard.node", "cpu.node");
	expect(found).toContainEqual(expect.stringMatching(/^has v\w.*: an instruction above its level$/));
});
