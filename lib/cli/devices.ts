import { listDevices } from "../guard/devices.js";
import { say } from "./terminal.js";

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

export function devices(flags: { json?: boolean }): void {
	const found = listDevices();
	if (flags.json) {
		say(JSON.stringify(found));
		return;
	}
	for (const { name, type, description, freeBytes, totalBytes } of found) {
		say(`${name}\t${type}\t${description}\t${gib(freeBytes)} free of ${gib(totalBytes)}`);
	}
}
