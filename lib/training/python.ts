// Runs the scripts of a recipe in the caller's Python.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { PythonError } from "../errors.js";
import { abortedBy } from "../native/worker.js";

const keptOutput = 10_000; // characters of a script's standard error
const shownLines = 5;

/** A Python with the modules that the recipe imports. */
export class Python {
	constructor(
		private readonly command: string,
		private readonly threads: number,
		private readonly signal: AbortSignal,
	) {}

	/** Errors: PYTHON_FAILED, ABORTED. */
	async expectModules(packages: Readonly<Record<string, string>>): Promise<void> {
		const find = "import importlib.util, sys; print(*(m for m in sys.argv[1:] if importlib.util.find_spec(m) is None), sep='\\n')";
		const missing: string[] = [];
		await this.run(["-c", find, ...Object.keys(packages)], (line) => missing.push(line));
		const lacking = missing.filter((name) => name in packages);
		if (lacking.length === 0) return;
		throw new PythonError(
			`expected the Python modules ${Object.keys(packages).join(", ")} in ${this.command}, got none named ${lacking.join(", ")}; ` +
				`install them: pip install ${Object.values(packages).join(" ")}, or name another Python (python, --python)`,
		);
	}

	/** Runs a script, or whatever the arguments name, to its end. Errors: PYTHON_FAILED, ABORTED. */
	async run(args: string[], onLine: (line: string) => void = () => {}): Promise<void> {
		const { signal } = this;
		if (signal.aborted) throw abortedBy(signal);
		const child = this.#start(args);
		let complaint = "";
		child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint = (complaint + text).slice(-keptOutput)));
		createInterface({ input: child.stdout }).on("line", onLine);
		return new Promise((resolve, reject) => {
			child.on("error", (cause) => {
				if (child.pid === undefined) reject(this.#unstarted(cause)); // otherwise it is being stopped, and the close event follows
			});
			child.on("close", (code, killedBy) => {
				if (code === 0) return resolve();
				if (signal.aborted) return reject(abortedBy(signal));
				const last = complaint.trim().split(/\r?\n/).slice(-shownLines).join("\n");
				const end = killedBy === null ? `exit code ${code}` : `the signal ${killedBy}`;
				reject(new PythonError(`expected ${this.command} ${args[0]} to succeed, got ${end}${last && `:\n${last}`}`));
			});
		});
	}

	/** Node throws some failures, and reports others as events. */
	#start(args: string[]) {
		try {
			return spawn(this.command, args, {
				signal: this.signal,
				stdio: ["ignore", "pipe", "pipe"],
				windowsHide: true,
				env: {
					...process.env,
					HF_HUB_OFFLINE: "1",
					OMP_NUM_THREADS: String(this.threads),
					PYTHONDONTWRITEBYTECODE: "1",
					PYTHONUTF8: "1",
				},
			});
		} catch (cause) {
			throw this.#unstarted(cause as Error);
		}
	}

	#unstarted(cause: Error): PythonError {
		const what = `expected Python as ${this.command}, got: ${cause.message}; install Python 3.10 or newer, or name yours (python, --python)`;
		return new PythonError(what, { cause });
	}
}
