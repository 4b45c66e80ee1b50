#!/usr/bin/env python3
"""Calibrates a judge of rows of your own on their validation split, and says of every held-out response what the judge will charge.

Writes FOLDER/calibration.json: the settings that export.py reads but for the threshold, and the log-odds of "unsafe" of every row (null in
training).
"""
import argparse
import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression

from export import WINDOW
from measure import load, read
from rows import categories_of, labelled
from tokens import Pieces

PENALTY = 0.5  # of the members' standard deviation
AT_ONCE = 16  # windows, which are long
NO_RESPONSE = -1000.0  # log-odds, as the native judge has them


class Window:
    """What is read at once of a response."""
    def __init__(self, prefix, response, owner):
        self.prefix, self.response, self.owner = prefix, response, owner


def windows(rows, pieces, positions):
    """All of a response, or where it is longer than there are positions for, overlapping parts of it, as the native judge reads it."""
    prompts, responses = pieces.of([row.prompts[-1] for row in rows]), pieces.of([row.response for row in rows])
    for owner, (prompt, response) in enumerate(zip(prompts, responses)):
        prefix = pieces.prefix(prompt)
        if 0 < len(response) <= positions - len(prefix):
            yield Window(prefix, response, owner)
        elif response:
            for begin in range(0, len(response) - WINDOW // 2, WINDOW // 2):
                yield Window(prefix, response[begin:begin + WINDOW], owner)


def scores(model, pieces, rows):
    """Of every response the mean of its members and what their spread adds, at the end of its worst window; minus infinity where it is empty."""
    parts = list(windows(rows, pieces, model.position.num_embeddings))
    worst = np.full(len(rows), -np.inf)
    for part, (response, _) in zip(parts, read(model, pieces, parts, AT_ONCE, precise=True)):
        members = response[:, -1]
        worst[part.owner] = max(worst[part.owner], members.mean() + PENALTY * members.std())
    return worst


def platt(found, unsafe):
    """Slope and shift that make probabilities of scores (Platt 1999).

    A few dozen rows calibrate, often. Platt's targets keep a distance from 0 and 1, so that rows which can all be told apart do not make
    certainties, and nothing else shrinks the slope: what was trained for some hundred steps has scores in a narrow range, which a penalty
    on the slope would keep there. The judge's second score, of the prompt alone, is left out: it takes labels of prompts, and more rows.
    """
    highest, lowest = (unsafe.sum() + 1) / (unsafe.sum() + 2), 1 / ((1 - unsafe).sum() + 2)
    target = lowest + (highest - lowest) * unsafe
    mean, spread = found.mean(), found.std() + 1e-9
    x = np.tile((found - mean) / spread, 2)[:, None]
    fit = LogisticRegression(C=1e6).fit(x, np.repeat([1, 0], len(found)), np.concatenate([target, 1 - target]))
    slope = max(float(fit.coef_[0, 0]), 1e-3) / spread  # one that turns scores around has learnt nothing
    return slope, float(fit.intercept_[0]) - slope * mean


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=pathlib.Path, required=True, help="folder that the judge began as")
    parser.add_argument("--rows", type=pathlib.Path, required=True, help="file of rows that train.py learnt from")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder that train.py wrote")
    arguments = parser.parse_args()

    pieces, model = Pieces(arguments.base), load(arguments.model, arguments.base)
    rows = list(labelled(arguments.rows))
    held_out = [row for row in rows if row.split != "train"]
    found = scores(model, pieces, held_out)
    fits = [i for i, row in enumerate(held_out) if row.split == "validation" and np.isfinite(found[i])]
    slope, shift = platt(found[fits], np.array([float(held_out[i].unsafe) for i in fits]))
    charged = iter(np.where(np.isfinite(found), slope * found + shift, NO_RESPONSE))
    calibration = {
        "categories": categories_of(rows), "scale": slope, "promptScale": 0, "offset": shift, "uncertaintyPenalty": PENALTY,
        "logOdds": [None if row.split == "train" else float(next(charged)) for row in rows],
    }
    (arguments.model / "calibration.json").write_text(json.dumps(calibration, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
