import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "./temporary.js";

const folder = temporaryFolder();
const build = fileURLToPath(new URL("../scripts/build.mjs", import.meta.url));

/** A PATH that holds these tools only. */
function pathWith(...tools: string[]): string {
	const bin = join(folder, `bin-${tools.join("-")}`);
	mkdirSync(bin);
	for (const tool of tools) symlinkSync(spawnSync("which", [tool], { encoding: "utf8" }).stdout.trim(), join(bin, tool));
	return bin;
}

describe.skipIf(process.platform === "win32")("building without a tool says what to install", () => {
	test.each([
		["cmake", [], /cmake is needed to build the native addon, and was not found on PATH\.\n {2}Install it with: /],
		["a compiler", ["cmake"], /a C\+\+17 compiler is needed to build the native addon, and was not found on PATH\.\n {2}Install it with: /],
		["git", ["cmake", "c++"], /git is needed to patch llama\.cpp, and was not found on PATH\.\n {2}Install it with: /],
	])("a build without %s says what to install", (_, tools, message) => {
		const { status, stderr } = spawnSync(process.execPath, [build], { env: { PATH: pathWith(...tools) }, encoding: "utf8" });
		expect(status).toBe(1);
		expect(stderr).toMatch(message);
		expect(stderr).not.toMatch(/\bat .*\.mjs/);
	});

	test("a build with a wrong LLAMA_CPP_DIR says what it should name", () => {
		const { status, stderr } = spawnSync(process.execPath, [build], { env: { ...process.env, LLAMA_CPP_DIR: folder }, encoding: "utf8" });
		expect(status).toBe(1);
		expect(stderr).toMatch(/LLAMA_CPP_DIR should name a llama\.cpp checkout/);
	});
});
