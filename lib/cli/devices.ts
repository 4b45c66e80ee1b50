import { listDevices } from "../devices.js";

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

export function devices(flags: { json?: boolean }): void {
	const found = listDevices();
	if (flags.json) {
		console.log(JSON.stringify(found));
		return;
	}
	for (const { name, type, description, freeBytes, totalBytes } of found) {
		console.log(`${name}\t${type}\t${description}\t${gib(freeBytes)} free of ${gib(totalBytes)}`);
	}
}
