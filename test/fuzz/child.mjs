// Reads the files that the fuzzer names, one after the other, and says what came of each. It may crash.
import { targets } from "./targets.mjs";

const [name, work] = process.argv.slice(2);

process.on("message", async (path) => {
	try {
		await targets[name].read(path, work);
		process.send({ read: true });
	} catch (error) {
		const { code, crash, hang } = error ?? {};
		process.send({ code, crash, hang, isOurs: error?.[Symbol.for("inferenceguard.error")] === true, stack: String(error?.stack ?? error) });
	}
});
process.send({ ready: true });
