// npm's prepare step: compiles TypeScript; for `npm install git+…` also the binary, which a package from the registry brings
// along. npm marks that case with _PACOTE_NO_PREPARE_.
import { ensureDist } from "./ensure.mjs";
import { prebuild } from "./prebuild.mjs";
import { main } from "./tools.mjs";

await main(() => {
	ensureDist();
	if (process.env._PACOTE_NO_PREPARE_) prebuild();
});
