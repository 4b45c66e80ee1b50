import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "./temporary.js";

const fuzzer = fileURLToPath(new URL("fuzz/run.mjs", import.meta.url));
const keep = temporaryFolder();

/** Without exits and kills, which go by the clock; guard.test.ts, rollouts.test.ts and others try these. */
const classes = [
	"model,classifier,sequence-classifier,guard-model,score-model,split-model,probe,control-vector,encoder,critic,rollouts,convert",
	"lexicon,table,packed-table,config,journal,certificate,template,load-options,generate-options,messages,callbacks",
].join(",");

test("hostile inputs of every class end with an answer or a code", () => {
	const given = ["--target", classes, "--inputs", "3", "--seed", "7", "--keep", keep];
	const { status, stdout, stderr } = spawnSync(process.execPath, [fuzzer, ...given], { encoding: "utf8" });
	expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: "" });
	expect(stdout).toMatch(/model +│ 3 /);
}, 300_000);
