import { inOneLine } from "../base/printable.js";
import { modelHash } from "../files/fingerprint.js";
import { callAddon } from "../native/addon.js";
import { withBar } from "./loading.js";
import { say } from "./terminal.js";

const shownCharacters = 100;

function shortened(text: string): string {
	const flat = inOneLine(text);
	return flat.length > shownCharacters ? `${flat.slice(0, shownCharacters)}…` : flat;
}

export async function inspect(file: string, flags: { json?: boolean }): Promise<void> {
	const description = callAddon((native) => native.inspect(file));
	const hash = await withBar("reading", (onProgress) => modelHash(file, { onProgress }));
	if (flags.json) {
		say(JSON.stringify({ hash, ...description }));
		return;
	}
	const { version, bytes, metadata, tensors } = description;
	const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
	say(`GGUF version ${version}, ${bytes} bytes, ${tensors.length} tensors, ${parameters} values`);
	say(`hash ${hash}\n`);
	for (const { key, type, value } of metadata) say(`${inOneLine(key)} (${type}): ${shortened(value)}`);
	say();
	for (const { name, type, shape } of tensors) say(`${inOneLine(name)}\t${type}\t[${shape.join(", ")}]`);
}
