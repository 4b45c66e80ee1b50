/// <reference lib="esnext.disposable" preserve="true" />
// What the declarations name, and TypeScript knows with the types of Node or a library of its own only. Each is the same thing where it is
// known already.
declare global {
	interface AbortSignal {}
	/** Named by the declarations of zod. */
	interface URL {}
}

export {};
