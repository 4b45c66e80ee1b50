import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { modelFolder } from "./lib/files/model-cache.js";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		testTimeout: 120_000,
		hookTimeout: 120_000,
		pool: "forks",
		maxWorkers: 2,
		execArgv: ["--expose-gc"],
		// Hashes of the tests' own models stay out of the user's cache.
		env: { XDG_CACHE_HOME: join(tmpdir(), "inferenceguard-test-cache"), INFERENCEGUARD_MODELS: modelFolder("") },
	},
});
