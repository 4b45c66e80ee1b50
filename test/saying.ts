/** A tabular model that says exactly the given pieces, one token each, behind a prompt of token 0. */
export function sayingModel(pieces: string[], prompt = "") {
	const table = [prompt, ...pieces];
	const logits = table.map((_, last) => table.map((_, next) => (next === Math.min(last + 1, pieces.length) ? 0 : -1e4)));
	return { pieces: table, logits };
}
