/** A server that runs without the folder of its sources, as containers have it. */
export default {
	serverExternalPackages: ["inferenceguard"],
	output: "standalone",
	outputFileTracingRoot: import.meta.dirname,
	outputFileTracingIncludes: { "/*": ["./node_modules/{inferenceguard,@inferenceguard}/**/*"] },
};
