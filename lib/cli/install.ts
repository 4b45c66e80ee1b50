import { spawnSync } from "node:child_process";
import { packageFile } from "../base/package-files.js";
import { addCommand } from "../base/package-manager.js";
import { InvalidOptionError } from "../errors.js";
import { describeSystem, gpuPackages, platformOf, thisSystem } from "../native/platform-packages.js";
import { say, tell } from "./terminal.js";

function packageFor(gpu: string): string {
	const system = thisSystem();
	const name = gpuPackages[platformOf(system)]?.[gpu];
	if (name !== undefined) return `@inferenceguard/${name}`;
	const prebuilt = Object.entries(gpuPackages).flatMap(([platform, kinds]) => Object.keys(kinds).map((kind) => `${kind} on ${platform}`));
	throw new InvalidOptionError(
		`expected a GPU with a prebuilt package (${prebuilt.join(", ")}), got ${gpu} on ${describeSystem(system)}; build from source, with ` +
			`INFERENCEGUARD_${gpu.toUpperCase().replace(/\W/g, "_")}=1 in the environment: node "${packageFile("scripts/build.mjs")}"`,
	);
}

/** Prints the command that installs the package of a GPU, and runs it if asked to. Returns the exit code. */
export function installCommand(gpu: string, { yes }: { yes?: boolean }): number {
	const [manager = "", ...args] = addCommand(packageFor(gpu));
	say([manager, ...args].join(" "));
	if (!yes) {
		tell("Run this in the folder of your application, or add --yes to have it run.");
		return 0;
	}
	// package managers are scripts of a shell on Windows
	const { status, error } = spawnSync(manager, args, { stdio: ["inherit", 2, 2], shell: process.platform === "win32" });
	if (error) throw new InvalidOptionError(`expected ${manager} to run, got: ${error.message}; run the command yourself`);
	return status ?? 1;
}
