// Reads the body of a request, and no more of it than the server allows.
import { parseJson } from "../data/json.js";
import { clientLeft } from "./admission.js";
import { RequestError } from "./errors.js";

/** Deep enough for messages, their parts and their metadata. */
const deepest = 64;

async function bytesOf({ headers, body }: Request, most: number): Promise<Uint8Array> {
	const tooLarge = () => new RequestError("request_too_large", `expected a body of at most ${most} bytes; send less`);
	if (Number(headers.get("content-length")) > most) throw tooLarge();
	const chunks: Uint8Array[] = [];
	let length = 0;
	for await (const chunk of body ?? []) {
		length += chunk.byteLength;
		if (length > most) throw tooLarge();
		chunks.push(chunk);
	}
	return Buffer.concat(chunks);
}

/** The JSON in a body of at most `most` bytes. Errors: RequestError. */
export async function bodyOf(request: Request, most: number): Promise<unknown> {
	const bytes = await bytesOf(request, most).catch((error) => {
		throw error instanceof RequestError ? error : clientLeft();
	});
	try {
		return parseJson(new TextDecoder().decode(bytes), deepest);
	} catch (error) {
		throw new RequestError("invalid_request", `expected JSON as the body of the request: ${(error as Error).message}`);
	}
}
