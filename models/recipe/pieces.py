#!/usr/bin/env python3
"""Cuts the sections into labelled pieces for the cost model: label 1 for the shelf to avoid.

The books of the held-out authors and every sixth other book test; another sixth validates.
"""
import argparse
import collections
import json
import pathlib

LENGTH = 440  # characters: about the length of a response of 128 tokens


def pieces(section):
    text = " ".join(section["paragraphs"])
    begin = 0
    while begin + LENGTH <= len(text):
        end = text.find(" ", begin + LENGTH)
        end = len(text) if end < 0 else end
        yield text[begin:end].strip()
        begin = end


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--avoid", required=True, help="name of the shelf to avoid")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    counts = collections.Counter()
    books = {}
    with open(options.out, "w") as out:
        for part in ("train", "validation"):
            for line in open(options.data / f"{part}.jsonl"):
                section = json.loads(line)
                book = books.setdefault((section["shelf"], section["title"]), len(books))
                split = "test" if part == "validation" or book % 6 == 1 else "validation" if book % 6 == 3 else "train"
                for text in pieces(section):
                    label = int(section["shelf"] == options.avoid)
                    out.write(json.dumps(dict(text=text, label=label, book=section["title"], split=split)) + "\n")
                    counts[split, label] += 1
    print(dict(counts))


main()
