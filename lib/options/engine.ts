// The table of engine options: the load options that are single plain values.
import { z } from "zod";
import { choice, expected, fieldsOf, flag, integer, type OptionRow, text } from "../base/check.js";
import { cappedThreads, defaultThreads } from "../base/threads.js";

const devices = {
	device: {
		check: text("auto, cpu or the name of a device"),
		default: "auto",
		takes: "name",
		help: "auto, cpu, or a name from `inferenceguard devices`",
	},
	gpuLayers: {
		check: z.union([z.literal("all"), integer(0, 10_000)], expected('"all" or an integer from 0 to 10000')),
		default: "all",
		takes: "n|all",
		help: "layers on the GPU (default all)",
	},
	useMmap: { check: flag, default: true, turnsOff: true, help: "read model files into memory instead of mapping them" },
	useMlock: { check: flag, default: false, help: "keep the weights in memory" },
} satisfies Record<string, OptionRow>;

const sizes = {
	contextSize: { check: integer(2, 2 ** 31 - 1), help: "longest prompt and response together, in tokens" },
	kvCells: { check: integer(1, 2 ** 31 - 1), help: "most KV cells, in tokens (default: as many as fit into free memory)" },
	outputs: { check: choice(["auto", "device", "host"]), default: "auto", help: "where logits are reduced and the critic runs" },
	isolate: {
		check: flag,
		default: false,
		help: "load in a child process first, for files from strangers: a file that crashes it is refused",
	},
} satisfies Record<string, OptionRow>;

const threads = { check: integer(1, 512), help: "CPU threads" } satisfies OptionRow;

/** As flags, for everything that is loaded. */
export const engineRows = { threads, ...devices, ...sizes };

export const threadsField = threads.check.default(() => defaultThreads()).transform(cappedThreads);

/** For everything that runs a model. */
export const deviceFields = { ...fieldsOf(devices), threads: threadsField };

/** For a guard, in addition to {@link deviceFields}. */
export const sizeFields = fieldsOf(sizes);
