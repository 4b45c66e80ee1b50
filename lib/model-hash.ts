import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { callAddon } from "./native.js";

const sampledBlocks = 64;
const blockBytes = 65536;

/**
 * Fingerprint of a model file: SHA-256 over its metadata and tensor directory, its size, and 64 blocks of 64 KiB spread
 * evenly over the tensor data. Costs milliseconds for a file of any size.
 */
export async function modelHash(path: string): Promise<string> {
	const { dataOffset, bytes } = callAddon((native) => native.inspect(path));
	const hash = createHash("sha256").update(`${bytes}`);
	const file = await open(path);
	try {
		const addBytes = async (position: number, length: number) => {
			const buffer = Buffer.alloc(length);
			const { bytesRead } = await file.read(buffer, 0, length, position);
			hash.update(buffer.subarray(0, bytesRead));
		};
		await addBytes(0, dataOffset);
		const stride = Math.max(blockBytes, Math.floor((bytes - dataOffset) / sampledBlocks));
		for (let position = dataOffset; position < bytes; position += stride) await addBytes(position, Math.min(blockBytes, bytes - position));
	} finally {
		await file.close();
	}
	return hash.digest("hex");
}
