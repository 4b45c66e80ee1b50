import { callAddon } from "../native/addon.js";

/** A device that a model can run on. */
export interface Device {
	/** The value for `load({ device })`. */
	name: string;
	description: string;
	type: "cpu" | "gpu" | "igpu" | "accelerator" | "other";
	freeBytes: number;
	totalBytes: number;
}

/** The devices of this build on this machine. Errors: ADDON_NOT_FOUND, CPU_UNSUPPORTED. */
export function listDevices(): Device[] {
	return callAddon((native) => native.devices()) as Device[];
}
