// @ts-check
// A thread that hashes files: SHA-256 over their bytes, file after file. It posts the size of every piece in bytes, and finally the hash.
// JavaScript, since a thread needs a file that Node can run directly.
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const piece = Buffer.allocUnsafe(2 ** 22);
const hash = createHash("sha256");

/** @param {string} path */
function add(path) {
	const file = openSync(path, "r");
	try {
		for (let bytes = readSync(file, piece); bytes > 0; bytes = readSync(file, piece)) {
			hash.update(piece.subarray(0, bytes));
			parentPort?.postMessage(bytes);
		}
	} finally {
		closeSync(file);
	}
}

for (const path of workerData) add(path);
parentPort?.postMessage(hash.digest("hex"));
