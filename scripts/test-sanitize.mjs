// Runs the test suite with the core and the addon built under AddressSanitizer and UndefinedBehaviorSanitizer.
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { build } from "./build.mjs";
import { ensureBuilt } from "./ensure.mjs";
import { main, projectRoot } from "./tools.mjs";

await main(async () => {
	await ensureBuilt();
	for (const target of ["inferenceguard", "inferenceguard_kernels"]) build({ target, out: "build-sanitize", sanitize: true });
	const runtime = execFileSync(process.env.CXX ?? "c++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
	const { status } = spawnSync(process.execPath, [join(projectRoot, "node_modules/vitest/vitest.mjs"), "run", ...process.argv.slice(2)], {
		cwd: projectRoot,
		stdio: "inherit",
		env: {
			...process.env,
			LD_PRELOAD: runtime,
			INFERENCEGUARD_ADDON: join(projectRoot, "build-sanitize/Release/inferenceguard.node"),
			// the JavaScript engine never frees everything at exit; freed memory is kept back only shortly, for the memory test
			ASAN_OPTIONS: "detect_leaks=0:quarantine_size_mb=1",
			UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
		},
	});
	process.exitCode = status ?? 1;
});
