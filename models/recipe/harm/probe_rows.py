#!/usr/bin/env python3
"""Writes the answers of one chat model that were read, as rows for `inferenceguard train-cost --kind probe`, with the judge's splits."""
import argparse
import json
import pathlib

import data


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the sets")
    parser.add_argument("--model", default="SmolLM2", help="how the model's name begins")
    arguments = parser.parse_args()

    bench = data.Bench(arguments.data)
    for row in (*data.chat_answers(arguments.data), *data.rounds(arguments.data)):
        learnt_from = row.split == "test" or not bench.asks(row.question)
        if row.model.startswith(arguments.model) and row.response.strip() and learnt_from:
            one = {"prompt": row.prompts[0], "response": row.response, "label": int(row.unsafe), "split": row.split}
            print(json.dumps(one, ensure_ascii=False))


if __name__ == "__main__":
    main()
