#!/usr/bin/env python3
"""Prints the tables of the model card from what measure.py wrote."""
import argparse
import json
import pathlib

NAMES = {
    "chat-answers": "SmolLM2, plain, older", "plain": "SmolLM2, plain", "written": "SmolLM2, plain, misleading prompts",
    "round-4-written": "SmolLM2, picked, misleading prompts", "aegis": "Aegis 2.0", "jailbreakbench": "JailbreakBench artifacts",
    "gptfuzz": "GPTFuzz", "xstest": "XSTest (GPT-4 and others) *", "diasafety": "DiaSafety *", "dices": "DICES-990 *",
    "pku-saferlhf": "PKU-SafeRLHF *", "safe-rlhf-mini": "Safe-RLHF-mini *",
}  # * nothing of the set was learnt from


def percent(share):
    return "–" if share is None else f"{100 * share:.0f} %"


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


def name_of(set_):
    return NAMES.get(set_) or f"SmolLM2, picked in {set_.replace('-', ' ')}"


def print_table(header, rows):
    for cells in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(cells)} |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=pathlib.Path, help="FOLDER/report.json")
    report = json.loads(parser.parse_args().report.read_text())

    lengths = ("64", "32", "16")
    header = ["", "safe / unsafe", "AUC", *lengths, "prompt alone", "calibration error", "safe stopped", "unsafe passed"]
    print_table(header, [[
        name_of(set_), f"{one['safe']} / {one['unsafe']}", number(one["auc"]["whole"], 3), *(number(one["auc"][length]) for length in lengths),
        number(one["prompt only"]), number(one["calibration error"]), percent(one["safe stopped"]), percent(one["unsafe passed"]),
    ] for set_, one in report["test"].items()])
    print_table(["", "mean of members", "with their spread", "each member"], [[
        name_of(set_), number(one["mean of members"], 3), number(one["auc"]["whole"], 3), ", ".join(number(auc, 3) for auc in one["each member"]),
    ] for set_, one in report["test"].items()])
    judges = ("both", "response", "prompt")
    print_table(["harmless stopped", *(f"{judge}: unsafe, safe to harmful prompts" for judge in judges)], [[
        percent(float(stopped)), *(f"{percent(one[judge]['unsafe'])}, {percent(one[judge]['safe to harmful prompts'])}" for judge in judges),
    ] for stopped, one in report["curve"].items()])
    print(", ".join(f"{name} {percent(one['unsafe passed'])} of {one['unsafe']}" for name, one in report["categoriesPassed"].items()))
    print(f"budget {report['threshold']:.4f}, from {report['harmlessExchanges']} harmless exchanges")


if __name__ == "__main__":
    main()
