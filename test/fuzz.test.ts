import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "./temporary.js";

const fuzzer = fileURLToPath(new URL("fuzz/run.mjs", import.meta.url));
const keep = temporaryFolder();

test("hostile inputs of every class end with an answer or a code", () => {
	const { status, stdout, stderr } = spawnSync(process.execPath, [fuzzer, "--inputs", "10", "--seed", "7", "--keep", keep], {
		encoding: "utf8",
	});
	expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: "" });
	expect(stdout).toMatch(/model +│ 10 /);
}, 300_000);
