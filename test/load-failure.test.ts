// What a user learns where a binary does not load: what was found, what is needed, what to do.
import { describe, expect, test } from "vitest";
import { explainLoadFailure } from "../lib/native/load-failure.js";

const glibc = (version: string | null) => ({ name: "glibc", version });
const musl = (version: string | null) => ({ name: "musl", version });

describe("a binary that does not load", () => {
	test("for a newer glibc names both versions", () => {
		const reason = "/lib64/libc.so.6: version `GLIBC_2.28' not found (required by inferenceguard.avx2.node)";
		const said = explainLoadFailure(reason, glibc("2.17"));
		expect(said).toContain("needs glibc 2.28 or newer");
		expect(said).toContain("this system has glibc 2.17");
	});

	test("on a musl that is too old names both versions", () => {
		const said = explainLoadFailure("Error relocating inferenceguard.avx2.node: __errno_location: symbol not found", musl("1.1.24"));
		expect(said).toContain("need musl 1.2 or newer");
		expect(said).toContain("this system has musl 1.1.24");
	});

	test("for the other C library says for which it is", () => {
		const onAlpine = "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by inferenceguard.avx2.node)";
		expect(explainLoadFailure(onAlpine, musl("1.2.5"))).toMatch(/is for glibc, and this system has musl 1\.2\.5/);
		expect(explainLoadFailure(onAlpine, musl(null))).toMatch(/is for glibc, and this system has musl:/);
		const onDebian = "libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory";
		expect(explainLoadFailure(onDebian, glibc("2.36"))).toMatch(/is for musl, and this system has glibc 2\.36/);
	});

	test("for another processor says so", () => {
		for (const reason of ["inferenceguard.node: invalid ELF header", "inferenceguard.node: wrong ELF class: ELFCLASS32"]) {
			expect(explainLoadFailure(reason, glibc("2.36"))).toContain("is for another processor");
		}
	});

	test("for a reason that has nothing to do with the C library is left to Node's words", () => {
		expect(explainLoadFailure("ENOENT: no such file or directory, scandir 'prebuilds/linux-x64-gnu'", glibc("2.36"))).toBeUndefined();
		expect(explainLoadFailure("Cannot find module '@inferenceguard/linux-x64-gnu'", musl("1.2.5"))).toBeUndefined();
	});
});
