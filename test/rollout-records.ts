import { type RolloutManifest, readManifest, readShards } from "../lib/training/rollout-files.js";

/** Everything that a folder of rollouts holds. */
export async function rolloutRecords(folder: string): Promise<{ manifest: RolloutManifest; records: Buffer[] }> {
	const manifest = await readManifest(folder);
	const records: Buffer[] = [];
	for await (const some of readShards(folder, manifest)) records.push(...some.map((record) => Buffer.from(record)));
	return { manifest, records };
}
