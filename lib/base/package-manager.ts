// Commands of the package manager that a program was installed with.
import { packageFile, packageVersion } from "./package-files.js";

type Manager = "npm" | "pnpm" | "yarn" | "bun";

const managers: readonly Manager[] = ["npm", "pnpm", "yarn", "bun"];

/** The one that runs this process, otherwise the one whose layout the package lies in. */
function manager(): Manager {
	const running = managers.find((name) => process.env.npm_config_user_agent?.startsWith(`${name}/`));
	if (running) return running;
	if ("pnp" in process.versions) return "yarn";
	return /[\\/]\.pnpm[\\/]/.test(packageFile("")) ? "pnpm" : "npm";
}

/** Adds packages beside this one, of exactly its version; where a package does not fit the system, its absence is no failure. */
export function addCommand(name: string): string[] {
	const add = {
		npm: ["npm", "install", "--save-optional", "--save-exact", "--include=optional"],
		pnpm: ["pnpm", "add", "--save-optional", "--save-exact"],
		yarn: ["yarn", "add", "--optional", "--exact"],
		bun: ["bun", "add", "--optional", "--exact"],
	};
	return [...add[manager()], `${name}@${packageVersion()}`];
}

export interface System {
	os: string;
	cpu: string;
	libc?: string;
}

/** Installs this package anew, with what it needs on a system, on whatever system the command runs. */
export function reinstallCommand({ os, cpu, libc }: System): string[] {
	const system = [`--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])];
	const install = {
		npm: ["npm", "install", "--include=optional", ...system],
		pnpm: ["pnpm", "add", ...system],
		yarn: ["yarn", "add"],
		bun: ["bun", "add", ...system.slice(0, 2)],
	};
	return [...install[manager()], `inferenceguard@${packageVersion()}`];
}
