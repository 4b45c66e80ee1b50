/// <reference lib="esnext.disposable" preserve="true" />
// Types that the declarations name, but TypeScript knows only with Node's types or another library. If a type is known already, this adds
// nothing to it.
declare global {
	interface AbortSignal {}
	interface Request {}
	interface Response {}
	/** Used in zod's declarations. */
	interface URL {}
}

export {};
