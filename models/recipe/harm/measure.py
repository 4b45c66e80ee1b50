#!/usr/bin/env python3
"""Calibrates a judge on the validation prompts and tests it on prompts that nothing was trained on.

Prints counts and figures, never texts: those of the sets are harmful by design.
"""
import argparse
import json
import math
import pathlib

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import data
from net import Judge, config_of, half_precision
from tokens import Pieces, examples

SAFE_STOPPED = 0.03  # of the held-out harmless exchanges of the chat models, at the recommended budget: those of validation alone are few
STRICTNESS = (0, 0.25, 0.5, 0.75, 1, 1.25)  # weights of the prompt's log-odds beside 1 of the response's, to choose from
CURVE = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)  # shares of harmless exchanges that are stopped
CHECK_EVERY = 32  # word pieces of a response: what a search would be stopped by on the way
ENDS = (None, 64, 32, 16)  # word pieces


@torch.no_grad()
def read(model, pieces, rows, at_once=64, precise=False):
    """Of every row: log-odds of each member at every token of its response [members, tokens], and of its prompt [members]."""
    model.to(pieces.device)
    found = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].prefix) + len(rows[i].response))
    for begin in range(0, len(order), at_once):
        some = order[begin:begin + at_once]
        tokens, n_prefix, n_tokens = pieces.batch([(rows[i].prefix, rows[i].response) for i in some])
        with half_precision(pieces.device, wanted=not precise):
            outputs, prompts = model(tokens, n_prefix, n_tokens)
        outputs, prompts, n_prefix, n_tokens = (x.cpu().numpy() for x in (outputs, prompts, n_prefix, n_tokens))
        for k, i in enumerate(some):
            found[i] = outputs[:, k, n_prefix[k]:n_tokens[k], 0], prompts[:, k]
    return found


class Calibrated:
    """One log-odds from what a member says of the response and of the prompt, so and so strict, fitted to the validation prompts; the members'
    mean, and what their spread adds. The threshold stops few of the harmless exchanges."""

    def __init__(self, rows, found, of_response, strictness, kappa):
        fitted = [i for i, row in enumerate(rows) if row.split == "validation"]
        x = np.array([of_response * found[i][0][:, -1].mean() + strictness * found[i][1].mean() for i in fitted], float)
        fit = LogisticRegression(C=100).fit(x[:, None], [rows[i].unsafe for i in fitted])
        self.scale, self.prompt_scale = fit.coef_[0, 0] * of_response, fit.coef_[0, 0] * strictness
        self.offset = fit.intercept_[0]
        self.on_the_way = [on_the_way(self(one, None, kappa)) for one in found]
        harmless = [score for score, row in zip(self.on_the_way, rows) if is_harmless(row)]
        self.threshold = sigmoid(np.quantile(harmless, 1 - SAFE_STOPPED))
        passed = [row.unsafe for score, row in zip(self.on_the_way, rows) if row.harmful and not row.picked and sigmoid(score) <= self.threshold]
        self.unsafe_passed = float(np.mean(passed))  # share of the answers to harmful prompts that pass

    def __call__(self, one, end=None, kappa=0.0):
        response, prompt = one
        of_members = self.scale * response[:, :end] + self.prompt_scale * prompt[:, None] + self.offset
        return of_members.mean(0) + kappa * of_members.std(0)

    def settings(self):
        return {"scale": float(self.scale), "promptScale": float(self.prompt_scale), "offset": float(self.offset), "threshold": self.threshold}


def auc(labels, scores):
    return round(float(roc_auc_score(labels, scores)), 3) if 0 < sum(labels) < len(labels) else None


def calibration_error(labels, probabilities, bins=15):
    """Expected calibration error over bins of equal width (Guo et al. 2017)."""
    bin_of = np.minimum((np.array(probabilities) * bins).astype(int), bins - 1)
    gap = lambda b: abs(np.mean(np.array(probabilities)[bin_of == b]) - np.mean(np.array(labels)[bin_of == b])) * np.mean(bin_of == b)
    return round(float(sum(gap(b) for b in set(bin_of))), 3)


def share(some):
    return round(float(np.mean(some)), 3) if len(some) else None


def figures(rows, found, calibrated, kappa, budget):
    """Per set: counts, the AUC by how much of the response is read, of the prompt, and of each member alone; calibration; what the budget stops."""
    report = {}
    for name in dict.fromkeys(e.row.set for e in rows):
        some = [i for i, e in enumerate(rows) if e.row.set == name]
        labels = [int(rows[i].row.unsafe) for i in some]
        at = lambda end, kappa=kappa: [calibrated(found[i], end, kappa)[-1] for i in some]
        mean = [sigmoid(x) for x in at(None, 0)]
        stopped = [sigmoid(x) > budget for x in at(None)]
        report[name] = {
            "safe": labels.count(0), "unsafe": labels.count(1), "auc": {str(end or "whole"): auc(labels, at(end)) for end in ENDS},
            "prompt only": auc(labels, [found[i][1].mean() for i in some]), "mean of members": auc(labels, mean),
            "each member": [auc(labels, [found[i][0][m, -1] for i in some]) for m in range(len(found[some[0]][1]))],
            "calibration error": calibration_error(labels, mean),
            "safe stopped": share([s for s, label in zip(stopped, labels) if not label]),
            "unsafe passed": share([not s for s, label in zip(stopped, labels) if label]),
        }
    return report


def by_category(rows, found, calibrated, kappa, budget):
    """Of unsafe responses of a category: counts, and the share that the budget lets pass."""
    report = {}
    for name in data.CATEGORIES:
        passed = [sigmoid(calibrated(found[i], None, kappa)[-1]) <= budget for i, e in enumerate(rows) if e.row.unsafe and e.row.category == name]
        report[name] = {"unsafe": len(passed), "unsafe passed": share(passed)}
    return report


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def on_the_way(log_odds):
    """The highest of what a search meets that checks every block of a response."""
    return max([*log_odds[CHECK_EVERY - 1::CHECK_EVERY], log_odds[-1]])


def is_harmless(row):
    return row.harmful is False and not row.unsafe and not row.picked


def curve(rows, judges):
    """What each judge stops of the unsafe answers and of the safe ones to harmful prompts, where all stop the same share of harmless exchanges."""
    wanted = {"harmless": is_harmless, "unsafe": lambda row: row.unsafe, "safe to harmful prompts": lambda row: row.harmful and not row.unsafe}
    report = {stopped: {} for stopped in CURVE}
    for name, judge in judges.items():
        scores = {kind: np.array([score for score, row in zip(judge.on_the_way, rows) if is_one(row)]) for kind, is_one in wanted.items()}
        for stopped in CURVE:
            limit = np.quantile(scores["harmless"], 1 - stopped)
            report[stopped][name] = {kind: share(some > limit) for kind, some in scores.items()}
    return report


def load(folder, base):
    state = torch.load(folder / "judge.pt", map_location="cpu")
    members = sum(name.startswith("dense.") and name.endswith("weight") for name in state)
    shared = len({name.split(".")[1] for name in state if name.startswith("shared.")})
    model = Judge(config_of(base), len(state["output.0.bias"]) - 1, shared, members)
    model.load_state_dict(state)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=pathlib.Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the sets")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--kappa", type=float, default=0.5)
    arguments = parser.parse_args()

    pieces, model, kappa = Pieces(arguments.base), load(arguments.model, arguments.base), arguments.kappa
    rows = [row for row in data.read(arguments.data) if row.response.strip()]
    validation, test = (examples([row for row in rows if row.split == split], pieces, list(data.CATEGORIES)) for split in ("validation", "test"))
    found, seen = read(model, pieces, validation), read(model, pieces, test)
    own = [(e, one) for e, one in zip(validation + test, found + seen) if e.row.of_small_model]
    own_rows, own_found = [e.row for e, _ in own], [one for _, one in own]
    unprompted = read(model, pieces, [e.without_prompt() for e, _ in own])
    judges = {
        "both": min((Calibrated(own_rows, own_found, 1, strictness, kappa) for strictness in STRICTNESS), key=lambda judge: judge.unsafe_passed),
        "response": Calibrated(own_rows, unprompted, 1, 0, kappa),
        "prompt": Calibrated(own_rows, own_found, 0, 1, kappa),
    }
    calibrated, budget = judges["both"], judges["both"].threshold
    report = {
        "base": "all-MiniLM-L6-v2", "licence": "Apache-2.0", "categories": list(data.CATEGORIES), "uncertaintyPenalty": kappa,
        **calibrated.settings(), "alone": {name: judges[name].settings() for name in ("response", "prompt")},
        "strictness": {"chosen": calibrated.prompt_scale / calibrated.scale, "unsafe passed": calibrated.unsafe_passed},
        "curve": curve(own_rows, judges), "harmlessExchanges": sum(map(is_harmless, own_rows)),
        "categoriesPassed": by_category(test, seen, calibrated, kappa, budget),
        "validation": figures(validation, found, calibrated, kappa, budget),
        "test": figures(test, seen, calibrated, kappa, budget),
    }
    print(json.dumps(report, indent=1))
    (arguments.model / "report.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
