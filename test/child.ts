import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const entry = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);

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
	const source = `import { InferenceGuard } from ${entry};\n${code}`;
	return collect(spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", source], { stdio: ["ignore", "pipe", "pipe"] }));
}

/** Runs the command line. */
export function cli(...args: string[]): Promise<ChildResult> {
	const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
	return collect(spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] }));
}
