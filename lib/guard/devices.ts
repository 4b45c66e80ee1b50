import { callAddon } from "../native/addon.js";

/** A device that a model can run on. */
export interface Device {
	/** The value for `load({ device })`. */
	name: string;
	description: string;
	type: "cpu" | "gpu" | "igpu" | "accelerator" | "other";
	freeBytes: number;
	totalBytes: number;
	/** Of the CPU: the level that the binary was built for, as in `reply.engine.cpu`. */
	level?: string;
}

/** The devices of this build on this machine. Errors: ADDON_NOT_FOUND, CPU_UNSUPPORTED, INVALID_OPTION for an unknown level in INFERENCEGUARD_CPU. */
export function listDevices(): Device[] {
	return callAddon(({ devices, cpuLevel }) =>
		(devices() as Device[]).map((device) => (device.type === "cpu" ? { ...device, level: cpuLevel } : device)),
	);
}
