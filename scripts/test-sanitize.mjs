// Runs tests with the core and the addon built under sanitizers: `node scripts/test-sanitize.mjs memory|threads [ARGUMENTS OF VITEST]`.
// `memory`: the suite under AddressSanitizer and UndefinedBehaviorSanitizer. `threads`: what runs on several threads under ThreadSanitizer.
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { build } from "./build.mjs";
import { ensureBuilt } from "./ensure.mjs";
import { main, projectRoot, UserError } from "./tools.mjs";

const suppressions = join(projectRoot, "test/native/thread-sanitizer.supp");

const kinds = {
	memory: {
		sanitizers: "address,undefined",
		out: "build-sanitize",
		runtime: "libasan.so",
		environment: {
			// the JavaScript engine never frees everything at exit; freed memory is kept back only shortly, for the memory test
			ASAN_OPTIONS: "detect_leaks=0:quarantine_size_mb=1",
			UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
		},
		tests: ["--exclude=test/out-of-memory.test.ts"], // a failed request for memory ends the sanitizer itself
	},
	threads: {
		sanitizers: "thread",
		out: "build-threads",
		runtime: "libtsan.so",
		environment: { TSAN_OPTIONS: `ignore_noninstrumented_modules=1:halt_on_error=1:suppressions=${suppressions}` },
		tests: [
			"--testTimeout=900000",
			"--testNamePattern=^(?!.*could not grow)", // as above
			"concurrency",
			"callbacks",
			"guard.test",
			"search-",
			"rollouts",
			"threads",
			"steering",
		],
	},
};

await main(async () => {
	const [name, ...given] = process.argv.slice(2);
	const kind = kinds[name];
	if (kind === undefined) throw new UserError(`expected memory or threads, got ${name ?? "nothing"}`);
	const { sanitizers, out, runtime, environment, tests } = kind;
	await ensureBuilt();
	for (const target of ["inferenceguard", "inferenceguard_kernels"]) build({ target, out, sanitizers });
	const preloaded = execFileSync(process.env.CXX ?? "c++", [`-print-file-name=${runtime}`], { encoding: "utf8" }).trim();
	const vitest = join(projectRoot, "node_modules/vitest/vitest.mjs");
	const { status } = spawnSync(
		process.execPath,
		[vitest, "run", "--project=fast", "--project=slow", ...(given.length > 0 ? given : tests)],
		{
			cwd: projectRoot,
			stdio: "inherit",
			env: {
				...process.env,
				...environment,
				LD_PRELOAD: preloaded,
				INFERENCEGUARD_ADDON: join(projectRoot, out, "Release/inferenceguard.node"),
			},
		},
	);
	process.exitCode = status ?? 1;
});
