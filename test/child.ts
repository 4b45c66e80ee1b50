import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { run } from "../lib/cli/program.js";

/** A compiled module, as the specifier of an import in a program of its own. */
export const built = (path: string) => JSON.stringify(new URL(`../dist/${path}`, import.meta.url).href);

export interface ChildResult {
	status: number | null;
	signal: NodeJS.Signals | null;
	stdout: string;
	stderr: string;
}

function collect(child: ReturnType<typeof spawn>): Promise<ChildResult> {
	const result = { stdout: "", stderr: "" };
	child.stdout?.on("data", (chunk) => (result.stdout += chunk));
	child.stderr?.on("data", (chunk) => (result.stderr += chunk));
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (status, signal) => resolve({ status, signal, ...result }));
	});
}

/** Runs a module in a fresh Node process, with InferenceGuard imported. */
export function inChild(code: string): Promise<ChildResult> {
	const source = `import { InferenceGuard } from ${built("index.js")};\n${code}`;
	return collect(spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", source], { stdio: ["ignore", "pipe", "pipe"] }));
}

/** The command line as a program. */
export const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** Runs the command line in a process of its own. */
export function cliProcess(...args: string[]): Promise<ChildResult> {
	return collect(spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] }));
}

/** Runs the command line in this process: starting Node and loading the package would take most of the time. */
export async function cli(...args: string[]): Promise<Pick<ChildResult, "status" | "stdout" | "stderr">> {
	const result = { stdout: "", stderr: "" };
	const writers = (["stdout", "stderr"] as const).map((name) =>
		vi.spyOn(process[name], "write").mockImplementation((text) => {
			result[name] += text;
			return true;
		}),
	);
	process.setMaxListeners(0); // commands listen for the end of their process
	process.exitCode = 0;
	try {
		await run(args);
		return { status: Number(process.exitCode), ...result };
	} finally {
		for (const writer of writers) writer.mockRestore();
		process.exitCode = undefined;
	}
}
