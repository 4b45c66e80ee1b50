// Writes the addresses of the project into package.json: `INFERENCEGUARD_REPOSITORY=owner/name node scripts/set-repository.mjs`, before a
// release. Until then OWNER stands there for who is not known yet.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { main, projectRoot, UserError } from "./tools.mjs";

await main(() => {
	const { INFERENCEGUARD_REPOSITORY: repository = "" } = process.env;
	if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) {
		throw new UserError(`expected INFERENCEGUARD_REPOSITORY to be owner/name, got "${repository}"`);
	}
	const path = join(projectRoot, "package.json");
	writeFileSync(
		path,
		readFileSync(path, "utf8").replaceAll(/github\.com\/[\w.-]+\/[\w.-]+?(?=\.git"|\/issues"|#readme")/g, `github.com/${repository}`),
	);
});
