// The package as package managers and packagers lay it out, with the binary of this checkout.
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { platformOf, thisSystem } from "../lib/native/platform-packages.js";
import { writeIndex } from "../scripts/packages.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** This platform, as its package is named. */
export const platform = platformOf(thisSystem());

function place(path: string, to: string): void {
	mkdirSync(dirname(to), { recursive: true });
	cpSync(join(root, path), to, { recursive: true });
}

/** Copies what is JavaScript, and what a guard needs of other packages, into a folder of modules. */
export function placeCode(modules: string): void {
	for (const path of ["dist", "package.json"]) place(path, join(modules, "inferenceguard", path));
	for (const name of ["zod", "detect-libc", "@huggingface/jinja"]) place(`node_modules/${name}`, join(modules, name));
}

/** Links a folder of this checkout as a part of the package. */
export function placeFolder(path: string, modules: string): void {
	const to = join(modules, "inferenceguard", path);
	mkdirSync(dirname(to), { recursive: true });
	symlinkSync(join(root, path), to, "junction");
}

/** Fills a folder with what a package of binaries exports, and with the one that this checkout built. */
export function placeBinary(folder: string, name: string): void {
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "package.json"), '{ "main": "./index.cjs" }');
	writeIndex(folder, { name, levels: [] });
	cpSync(join(root, "build/Release/inferenceguard.node"), join(folder, "inferenceguard.node"));
}
