// Builds and runs the native tests: `node scripts/test-native.mjs [--asan | --tsan] [-- ARGUMENTS OF CTEST]`. Without a sanitizer they are
// linked with what the ordinary build made; with one they have a build folder of their own, after the preset of that name.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { ensureBuilt, ensureDependencies } from "./ensure.mjs";
import { hasTool, main, projectRoot, requireCompiler, requireTool, UserError } from "./tools.mjs";

/** Runs a command to its end; ends this one as it ended where it failed. */
function run(command, ...args) {
	const { status } = spawnSync(command, args, { cwd: projectRoot, stdio: "inherit" });
	if (status !== 0) process.exit(status ?? 1);
}

await main(async () => {
	const { values, positionals } = parseArgs({
		options: { asan: { type: "boolean", default: false }, tsan: { type: "boolean", default: false } },
		allowPositionals: true,
	});
	if (values.asan && values.tsan) throw new UserError("expected --asan or --tsan, got both: a binary can have one of them");
	requireTool("cmake", "to build the native tests");
	requireCompiler("to build the native tests");
	const preset = values.asan ? "asan" : values.tsan ? "tsan" : undefined;
	if (preset === undefined) {
		await ensureBuilt();
		run("cmake", "build"); // doctest may have been installed since
		run("cmake", "--build", "build", "--target", "inferenceguard_tests");
		run("ctest", "--test-dir", "build", "--output-on-failure", ...positionals);
	} else {
		if (!hasTool("ninja")) throw new UserError("the presets of CMakePresets.json build with ninja, which was not found on PATH");
		ensureDependencies();
		run("cmake", "--preset", preset);
		run("cmake", "--build", "--preset", preset);
		run("ctest", "--preset", preset, ...positionals);
	}
});
