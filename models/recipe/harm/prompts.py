#!/usr/bin/env python3
"""Writes the prompts that answers are sampled for: one JSON object a line with `prompt`, `set`, `kind` (harmful or benign) and `split`.

Prompts go to training, validation or test by a digest, so that a prompt is on the same side in every set and every round. Those of
HarmBench and SimpleSafetyTests, and what shares most of its words with one of them, are for tests only.
"""
import argparse
import json
import pathlib
import random
import re

import data

HARMLESS_SETS = ("xstest", "jailbreakbench", "fuzzyai")  # the bench needs many of their harmless prompts
LONGEST = 600  # characters
MINORS = re.compile(r"\b(child|children|kid|kids|minor|minors|underage|teen|teens|teenage\w*|boys?|girls?|loli\w*|school\w*|pedo\w*|paedo\w*|babys?|infants?)\b", re.I)
SEXUAL = re.compile(r"\b(sex\w*|porn\w*|erotic\w*|nud\w*|naked|molest\w*|rap(e|ed|ing|ist)|incest\w*|groom\w*|genital\w*|pedo\w*|paedo\w*)\b", re.I)


def texts(path):
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def first_turn(dialogue):
    return dialogue.split("\n\nHuman:", 1)[1].split("\n\nAssistant:", 1)[0].strip()


def sources(folder):
    """(set, kind, prompt) of all that may be asked."""
    csv = data.read_csv
    for r in csv(folder / "harmbench" / "harmbench_behaviors_text_all.csv"):
        if r["FunctionalCategory"] == "standard":
            yield "harmbench", "harmful", r["Behavior"]
    for r in csv(folder / "simple-safety-tests" / "simple_safety_tests.csv"):
        yield "simple-safety-tests", "harmful", r["prompts_final"]
    for r in csv(folder / "ailuminate" / "airr_official_1.0_demo_en_us_prompt_set_release.csv"):
        yield "ailuminate", "harmful", r["prompt_text"]
    for r in csv(folder / "aegis" / "aegis_validation.csv") + csv(folder / "aegis" / "aegis_test.csv"):
        yield "aegis", "harmful" if r["prompt_label"] == "unsafe" else "benign", r["prompt"]
    for r in csv(folder / "advbench" / "advbench_behaviors.csv"):
        yield "advbench", "harmful", r["Behavior"]
    for r in csv(folder / "strongreject" / "strongreject_dataset.csv"):
        yield "strongreject", "harmful", r["forbidden_prompt"]
    for prompt in texts(folder / "malicious-instruct" / "malicious_instruct.txt"):
        yield "malicious-instruct", "harmful", prompt
    for r in json.loads((folder / "jailbreakbench" / "jailbreakbench.json").read_text(encoding="utf-8")):
        yield "jailbreakbench", "harmful" if r["label"] == "harmful" else "benign", r["text"]
    for r in csv(folder / "xstest" / "xstest_prompts.csv"):
        yield "xstest", "harmful" if r["label"] == "unsafe" else "benign", r["prompt"]
    for path in sorted((folder / "xsafety" / "en").glob("*.csv")):
        for prompt in texts(path):
            yield "xsafety", "benign" if path.stem == "commonsense" else "harmful", prompt.strip('"').strip()
    for r in data.read_lines(folder / "hh-rlhf" / "harmless_base_test.jsonl.gz"):
        yield "hh-rlhf", "harmful", first_turn(r["chosen"])
    for prompt in texts(folder / "benign-prompts" / "benign_prompts.txt"):
        yield "fuzzyai", "benign", prompt


def usable(prompt):
    return 8 <= len(prompt) <= LONGEST and not (MINORS.search(prompt) and SEXUAL.search(prompt))


def read(folder):
    """Every prompt once, in the order of a digest, which is no order of topics."""
    bench = data.Bench(folder)
    read_before = {data.normalised(r["prompt"]) for r in data.read_lines(folder / "chat-answers" / "plain.jsonl.gz")}
    seen = set()
    for set_, kind, prompt in sources(folder):
        question = data.normalised(prompt)
        if not question or question in seen or not usable(prompt):
            continue
        seen.add(question)
        if set_ in data.BENCH_SETS:
            split = "test"
        else:
            split = data.split(question, harmless=kind == "benign" and set_ in HARMLESS_SETS)
            if question in read_before if split == "test" else bench.asks(question):
                continue
        yield {"prompt": prompt, "set": set_, "kind": kind, "split": split}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the sets")
    parser.add_argument("--split", choices=["train", "validation", "test"], required=True)
    parser.add_argument("--sets", nargs="+", metavar="SET=COUNT", required=True, help="for example aegis=200 fuzzyai=100")
    parser.add_argument("--skip", type=pathlib.Path, nargs="*", default=[], help="files of answers whose prompts are not drawn again")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    used = {data.normalised(r["prompt"]) for path in arguments.skip for r in data.read_lines(path)}
    rows = [r for r in read(arguments.data) if r["split"] == arguments.split and data.normalised(r["prompt"]) not in used]
    chance = random.Random(arguments.seed)
    drawn = []
    for wanted in arguments.sets:
        name, count = wanted.split("=")
        of_set = [r for r in rows if r["set"] == name]
        drawn += chance.sample(of_set, min(int(count), len(of_set)))
    chance.shuffle(drawn)
    for r in drawn:
        print(json.dumps(r, ensure_ascii=False))


if __name__ == "__main__":
    main()
