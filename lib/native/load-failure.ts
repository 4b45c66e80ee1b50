// What Node's reason for not loading a binary means on Linux, where a binary depends on the C library.

/** The C library of a process. */
export interface CLibrary {
	name: string;
	/** Null where it cannot be told. */
	version: string | null;
}

/** The oldest versions that the published binaries load on. */
const floors: Readonly<Record<string, string>> = { glibc: "2.28", musl: "1.2" };

const isOlder = (version: string, floor: string) => version.localeCompare(floor, "en", { numeric: true }) < 0;

/** Which library was found, which one is needed, and what mends it; undefined where the reason is another one. */
export function explainLoadFailure(reason: string, { name, version }: CLibrary): string | undefined {
	const here = `this system has ${name}${version === null ? "" : ` ${version}`}`;
	const mend = "use a newer system or image, or build from source on this one";
	const newest = reason.match(/version [`']GLIBC_([\d.]+)' not found/)?.[1];
	if (newest) return `The binary needs glibc ${newest} or newer, and ${here}: ${mend}.`;
	if (/GLIBCXX_|CXXABI_/.test(reason)) {
		return "The binary was built from source with a newer C++ library than this system has: build it on this system.";
	}
	const floor = floors[name];
	if (floor && version !== null && isOlder(version, floor)) return `The binaries need ${name} ${floor} or newer, and ${here}: ${mend}.`;
	const other = { glibc: /libc\.musl|ld-musl/, musl: /ld-linux|libc\.so\.6|Error relocating/ }[name];
	if (other?.test(reason)) {
		const made = name === "musl" ? "glibc" : "musl";
		return `The binary is for ${made}, and ${here}: node_modules comes from another system, or was installed for it. Install the package on this one.`;
	}
	if (/invalid ELF header|wrong ELF class|Exec format error/.test(reason)) {
		return `The binary is for another processor, and ${here} on ${process.arch}: node_modules comes from another system. Install the package on this one.`;
	}
	return undefined;
}
