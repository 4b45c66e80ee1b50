import { listDevices } from "../guard/devices.js";
import { say } from "./terminal.js";

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

export function devices(flags: { json?: boolean }): void {
	const found = listDevices();
	if (flags.json) {
		say(JSON.stringify(found));
		return;
	}
	for (const { name, type, description, freeBytes, totalBytes, level } of found) {
		const about = level ? `${description}, level ${level}` : description;
		say(`${name}\t${type}\t${about}\t${gib(freeBytes)} free of ${gib(totalBytes)}`);
	}
}
