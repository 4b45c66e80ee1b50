import { modelHash } from "../fingerprint.js";
import { callAddon } from "../native.js";

const shownCharacters = 100;

function oneLine(text: string): string {
	const flat = text.replace(/\s+/g, " ");
	return flat.length > shownCharacters ? `${flat.slice(0, shownCharacters)}…` : flat;
}

export async function inspect(file: string, flags: { json?: boolean }): Promise<void> {
	const description = callAddon((native) => native.inspect(file));
	const hash = await modelHash(file);
	if (flags.json) {
		console.log(JSON.stringify({ hash, ...description }));
		return;
	}
	const { version, bytes, metadata, tensors } = description;
	const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
	console.log(`GGUF version ${version}, ${bytes} bytes, ${tensors.length} tensors, ${parameters} values`);
	console.log(`hash ${hash}\n`);
	for (const { key, type, value } of metadata) console.log(`${key} (${type}): ${oneLine(value)}`);
	console.log();
	for (const { name, type, shape } of tensors) console.log(`${name}\t${type}\t[${shape.join(", ")}]`);
}
