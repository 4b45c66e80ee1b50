// Which of the binaries for different processors is loaded.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addonPath } from "../lib/native/addon.js";
import { chooseLevel, type LackingFeatures, levelFor } from "../lib/native/cpu-level.js";
import { testWhere } from "./shared.js";
import { temporaryFolder } from "./temporary.js";

const all = ["avx2", "avx512", "amx"];

/** What a processor lacks for each level, and which of their binaries are there. */
const situations = fc.record({
	lacking: fc
		.tuple(
			...all.map((level) => fc.uniqueArray(fc.constantFrom("fma", "avx512f", "amx-tile"), { maxLength: 2 }).map((lacks) => [level, lacks])),
		)
		.map((entries): LackingFeatures => Object.fromEntries(entries)),
	present: fc.shuffledSubarray([...all, "a level that the probe does not know"]),
});

/** What was chosen, or the error. */
function choice(present: readonly string[], lacking: LackingFeatures, asked?: string) {
	try {
		return { level: chooseLevel(present, lacking, asked) };
	} catch (error) {
		return error as { code: string; message: string; level?: never };
	}
}

const runs = (lacking: LackingFeatures, level: string) => lacking[level]?.length === 0;

describe("the CPU level", () => {
	test("is the most demanding one that is there and that the processor runs", () => {
		fc.assert(
			fc.property(situations, ({ lacking, present }) => {
				const usable = all.filter((level) => present.includes(level) && runs(lacking, level));
				const chosen = choice(present, lacking);
				if (usable.length > 0) {
					expect(chosen).toEqual({ level: usable.at(-1) });
					return;
				}
				expect(chosen).toMatchObject({ code: "CPU_UNSUPPORTED" });
				for (const level of all.filter((level) => present.includes(level))) {
					expect(chosen).toMatchObject({ message: expect.stringContaining(`${level} needs ${lacking[level]?.join(", ")}`) });
				}
			}),
		);
	});

	test("is the one that was asked for, or an error that says which there are and which of them the processor runs", () => {
		fc.assert(
			fc.property(situations, fc.oneof(fc.constantFrom(...all), fc.string()), ({ lacking, present }, asked) => {
				const chosen = choice(present, lacking, asked);
				const there = all.filter((level) => present.includes(level));
				if (there.includes(asked) && runs(lacking, asked)) {
					expect(chosen).toEqual({ level: asked });
					return;
				}
				expect(chosen).toMatchObject({ code: there.includes(asked) ? "CPU_UNSUPPORTED" : "INVALID_OPTION" });
				expect(chosen).toMatchObject({ message: expect.stringContaining(`levels of the binaries here: ${there.join(", ") || "none"};`) });
				const running = there.filter((level) => runs(lacking, level)).join(", ") || "none";
				expect(chosen).toMatchObject({ message: expect.stringContaining(`this processor runs: ${running}`) });
			}),
		);
	});
});

const probeFile = join(dirname(addonPath()), "cpu.node");
const probe = (): LackingFeatures => createRequire(import.meta.url)(probeFile);
const platforms: { cpu: string; levels: string[] }[] = JSON.parse(
	readFileSync(new URL("../scripts/platforms.json", import.meta.url), "utf8"),
);

describe("the probe", () => {
	test("knows the levels of every platform with this processor, from the least demanding up", () => {
		const known = Object.keys(probe());
		for (const { levels } of platforms.filter(({ cpu }) => cpu === process.arch)) {
			expect(known.filter((level) => levels.includes(level))).toEqual(levels);
		}
	});

	testWhere(process.platform === "linux" && process.arch === "x64", "Linux on x86-64")(
		"agrees with what Linux says of the processor",
		() => {
			const flags =
				readFileSync("/proc/cpuinfo", "utf8")
					.match(/^flags\s*:(.*)$/m)?.[1]
					?.trim()
					.split(" ") ?? [];
			const spelled = (feature: string) => feature.replace(/^(avx512)(vnni|bf16)$/, "$1_$2").replace(/[.-]/, "_");
			const needed = {
				avx2: ["sse4.2", "avx", "avx2", "fma", "f16c", "bmi2"],
				avx512: ["avx512f", "avx512vnni"],
				amx: ["amx-tile", "amx-int8"],
			};
			for (const [level, features] of Object.entries(needed)) {
				for (const feature of features)
					expect([feature, probe()[level]?.includes(feature)]).toEqual([feature, !flags.includes(spelled(feature))]);
			}
		},
	);
});

describe("a folder of binaries", () => {
	const folder = join(temporaryFolder(), "prebuilds");
	mkdirSync(folder, { recursive: true });
	copyFileSync(probeFile, join(folder, "cpu.node"));
	const usable = Object.entries(probe()).flatMap(([level, lacking]) => (lacking.length === 0 ? [level] : []));

	test("has its level chosen by its probe", () => {
		expect(levelFor(Object.keys(probe()), folder)).toBe(usable.at(-1));
		expect(levelFor(usable.slice(0, 1), folder)).toBe(usable[0]);
	});
});

const hasEmulator = process.arch === "x64" && spawnSync("qemu-x86_64-static", ["--version"]).status === 0;

testWhere(hasEmulator, "qemu-x86_64-static")(
	"a processor without AVX2 is told what it lacks, and does not crash the probe",
	() => {
		const program = `console.log(JSON.stringify(require(${JSON.stringify(probeFile)})))`;
		const { stdout } = spawnSync("qemu-x86_64-static", ["-cpu", "Nehalem", process.execPath, "-e", program], { encoding: "utf8" });
		expect(choice(all, JSON.parse(stdout))).toMatchObject({
			code: "CPU_UNSUPPORTED",
			message: expect.stringContaining("avx2 needs avx, avx2, fma, f16c, bmi2"),
		});
	},
	300_000,
);
