// What every script shares: where the project is, how progress is told, and what to install when a tool is missing.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)));

const installers = {
	git: { linux: "apt-get install git", darwin: "xcode-select --install", win32: "winget install Git.Git" },
	tar: { linux: "apt-get install tar", darwin: "xcode-select --install", win32: "part of Windows 10 and later" },
	cmake: { linux: "apt-get install cmake", darwin: "brew install cmake", win32: "winget install Kitware.CMake" },
	"clang-tidy": { linux: "apt-get install clang-tidy", darwin: "brew install llvm", win32: "winget install LLVM.LLVM" },
	pip: { linux: "apt-get install python3-pip", darwin: "brew install python", win32: "winget install Python.Python.3.13" },
	"a C++17 compiler": {
		linux: "apt-get install g++",
		darwin: "xcode-select --install",
		win32: "winget install Microsoft.VisualStudio.2022.BuildTools",
	},
};

/** What the user can mend. */
export class UserError extends Error {}

function runs(command, args = ["--version"]) {
	try {
		execFileSync(command, args, { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
}

export function howToInstall(tool) {
	return installers[tool][process.platform] ?? `install ${tool} with your system's package manager`;
}

function missing(tool, purpose) {
	return new UserError(`${tool} is needed ${purpose}, and was not found on PATH.\n  Install it with: ${howToInstall(tool)}`);
}

export function requireTool(tool, purpose) {
	if (!runs(tool)) throw missing(tool, purpose);
}

/** Visual Studio is found by CMake itself, so only Unix compilers are looked for here. */
export function requireCompiler(purpose) {
	if (process.platform === "win32") return;
	const candidates = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
	if (!candidates.some((compiler) => runs(compiler))) throw missing("a C++17 compiler", purpose);
}

export function hasTool(tool, args) {
	return runs(tool, args);
}

const npmFolders = ["../lib/node_modules", "node_modules"].map((folder) => join(dirname(process.execPath), folder));
const npmCli = process.env.npm_execpath ?? npmFolders.map((folder) => join(folder, "npm/bin/npm-cli.js")).find((path) => existsSync(path));

/** Runs npm with this Node, also where PATH has neither; returns what it prints. */
export function npm(args, { cwd = projectRoot, env = process.env } = {}) {
	const options = { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] };
	return execFileSync(process.execPath, [npmCli, ...args, "--loglevel=error"], options);
}

export function step(text) {
	console.error(`» ${text}`);
}

/** Runs a script's main function; what the user can mend is told plainly, without a stack. */
export async function main(run) {
	try {
		await run();
	} catch (error) {
		const isPlain = error instanceof UserError || error.code?.startsWith("ERR_PARSE_ARGS");
		console.error(isPlain ? `\n${error.message}` : error);
		process.exitCode = 1;
	}
}
