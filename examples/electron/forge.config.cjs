module.exports = {
	packagerConfig: {
		// the native binary and the model files: native code reads them, and cannot read archives
		asar: { unpack: "**/node_modules/{inferenceguard,@inferenceguard}/**" },
	},
	// Node-API binaries fit every Electron
	rebuildConfig: { onlyModules: [] },
	makers: [{ name: "@electron-forge/maker-zip" }],
};
