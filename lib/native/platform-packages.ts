// The packages with native binaries: what they are called, which of them is for this system, and what is in them.
import module from "node:module";
import { packageManifest, unpacked } from "../base/package-files.js";
import type { System } from "../base/package-manager.js";

/** Tools that trace which files a program needs follow a `require` that is made so, and bundlers leave it alone. */
const require = module.createRequire(packageManifest);

/** Throws where the package is not installed as it should be. */
function exportsOf(name: string): { folder: string } | undefined {
	switch (name) {
		case "darwin-arm64":
			return require("@inferenceguard/darwin-arm64");
		case "darwin-x64":
			return require("@inferenceguard/darwin-x64");
		case "linux-arm64-gnu":
			return require("@inferenceguard/linux-arm64-gnu");
		case "linux-arm64-musl":
			return require("@inferenceguard/linux-arm64-musl");
		case "linux-x64-cuda":
			return require("@inferenceguard/linux-x64-cuda");
		case "linux-x64-gnu":
			return require("@inferenceguard/linux-x64-gnu");
		case "linux-x64-musl":
			return require("@inferenceguard/linux-x64-musl");
		case "win32-arm64":
			return require("@inferenceguard/win32-arm64");
		case "win32-x64":
			return require("@inferenceguard/win32-x64");
		default:
			return undefined;
	}
}

/** The folder of a package's binaries; undefined where it is not installed. */
export function binariesOf(name: string): string | undefined {
	try {
		const folder = exportsOf(name)?.folder;
		return folder && unpacked(folder);
	} catch {
		return undefined;
	}
}

/** Platforms with a package of their own, which is installed along. */
export const platforms = [
	"darwin-arm64",
	"darwin-x64",
	"linux-arm64-gnu",
	"linux-arm64-musl",
	"linux-x64-gnu",
	"linux-x64-musl",
	"win32-arm64",
	"win32-x64",
];

/** Packages for GPUs, which are installed on request, by platform and kind of GPU. */
export const gpuPackages: Record<string, Record<string, string>> = { "linux-x64-gnu": { cuda: "linux-x64-cuda" } };

const libcs = () => require("detect-libc") as typeof import("detect-libc");

/** The system of this process. */
export function thisSystem(): System {
	const { platform: os, arch: cpu } = process;
	return os === "linux" ? { os, cpu, libc: libcs().familySync() ?? libcs().GLIBC } : { os, cpu };
}

export function platformOf({ os, cpu, libc }: System): string {
	const suffix = libc === undefined ? "" : libc === "glibc" ? "-gnu" : `-${libc}`;
	return `${os}-${cpu}${suffix}`;
}

/** That of the C library on Linux; null where it cannot be told. */
export const libcVersion = (): string | null => libcs().versionSync();

/** As an error names it. */
export function describeSystem({ os, cpu, libc }: System): string {
	return libc === undefined ? `${os}-${cpu}` : `${os}-${cpu} with ${libc} ${libcVersion() ?? ""}`.trimEnd();
}
