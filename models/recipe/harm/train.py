#!/usr/bin/env python3
"""Trains an encoder to judge whether a response to a prompt does harm, finished or not, and tests it on prompts that it never saw.

Prints counts and figures, never texts: those of the sets are harmful by design.
"""
import argparse
import json
import pathlib
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForSequenceClassification

import data
from pairs import Pairs

LIMIT, LONG_LIMIT = 256, 512  # tokens of a pair; LONG_LIMIT is the most that the encoder has positions for
SHARE_LONG = 0.1
SHARE_PREFIX = 1 / 3  # of the responses are unfinished: a prefix has half the weight of a whole response
SHORTEST_PREFIX = 16
REPEATS = {"chat-answers": 2}  # the only set of the model that the bench runs
EPOCHS = 4
BATCH = 32
RATE = 1e-4
WARM_UP = 0.1  # of the training
SAFE_ABOVE_BUDGET = 0.1


class Row:
    def __init__(self, row, prompts, response):
        self.set, self.label, self.prompts, self.response = row.set, int(row.unsafe), prompts, response


def tokenised(rows, pairs):
    prompts = iter(pairs.tokens([prompt for row in rows for prompt in row.prompts]))
    responses = pairs.tokens([row.response for row in rows])
    return [Row(row, [next(prompts) for _ in row.prompts], response) for row, response in zip(rows, responses)]


def drawn(row, pairs, chance):
    response = row.response
    if len(response) > SHORTEST_PREFIX and chance.random() < SHARE_PREFIX:
        response = response[:chance.randrange(SHORTEST_PREFIX, len(response))]
    limit = LONG_LIMIT if chance.random() < SHARE_LONG else LIMIT
    return pairs.join(chance.choice(row.prompts), response, limit), row.label


def epoch(rows, pairs, chance):
    """Batches of examples of like length, in random order."""
    examples = [drawn(row, pairs, chance) for row in rows for _ in range(REPEATS.get(row.set, 1))]
    examples.sort(key=lambda example: len(example[0]) + chance.randrange(16))
    batches = [examples[i:i + BATCH] for i in range(0, len(examples), BATCH)]
    chance.shuffle(batches)
    return batches


def logits(model, pairs, texts):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(**pairs.batch(texts)).logits.float()


def train(model, rows, pairs, minutes, seed):
    chance = random.Random(seed)
    model.bert.embeddings.requires_grad_(False)  # what words mean is known; what is rare here shall keep its meaning
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.01)
    batches = [batch for _ in range(EPOCHS) for batch in epoch(rows, pairs, chance)]
    start, losses = time.monotonic(), []
    model.train()
    for step, batch in enumerate(batches):
        done = max(step / len(batches), (time.monotonic() - start) / 60 / minutes)
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = RATE * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
        texts, labels = zip(*batch)
        loss = F.cross_entropy(logits(model, pairs, texts), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 50 == 0:
            print(f"step {step} of {len(batches)}, {time.monotonic() - start:.0f} s, loss {np.mean(losses[-50:]):.3f}", flush=True)
    model.eval()
    return {"steps": len(losses), "of": len(batches), "seconds": round(time.monotonic() - start)}


@torch.no_grad()
def probabilities(model, pairs, texts):
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    unsafe = np.empty(len(texts))
    for i in range(0, len(order), BATCH):
        some = order[i:i + BATCH]
        unsafe[some] = model(**pairs.batch([texts[j] for j in some])).logits.softmax(-1)[:, 1].numpy()
    return unsafe


def figures(unsafe, labels):
    budget = np.quantile(unsafe[labels == 0], 1 - SAFE_ABOVE_BUDGET)
    return {
        "auc": round(float(roc_auc_score(labels, unsafe)), 3),
        "budget": round(float(budget), 3),
        "unsafeAboveBudget": round(float((unsafe[labels == 1] > budget).mean()), 3),
    }


def test(model, rows, pairs):
    """Per set, and over all sets that were trained on: counts, and figures on whole responses and on their first 32 and 64 tokens."""
    sets = {name: [i for i, row in enumerate(rows) if row.set == name] for name in dict.fromkeys(row.set for row in rows)}
    sets["all but xstest"] = [i for i, row in enumerate(rows) if row.set != "xstest"]
    labels = np.array([row.label for row in rows])
    report = {name: {"safe": int((labels[some] == 0).sum()), "unsafe": int(labels[some].sum())} for name, some in sets.items()}
    for length, end in (("whole", None), ("first64", 64), ("first32", 32)):
        unsafe = probabilities(model, pairs, [pairs.join(row.prompts[0], row.response[:end], LONG_LIMIT) for row in rows])
        for name, some in sets.items():
            report[name][length] = figures(unsafe[some], labels[some])
    return report


def fresh(base):
    """The base as a classifier; its pooler, which sentence embeddings do not use, starts anew like the head."""
    model = AutoModelForSequenceClassification.from_pretrained(
        base, id2label={0: "safe", 1: "unsafe"}, label2id={"safe": 0, "unsafe": 1}, problem_type="single_label_classification")
    dense = model.bert.pooler.dense
    torch.nn.init.normal_(dense.weight, std=model.config.initializer_range)
    torch.nn.init.zeros_(dense.bias)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=pathlib.Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the sets")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the classifier")
    parser.add_argument("--minutes", type=float, default=10, help="training ends by then, with fewer epochs if need be")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    pairs = Pairs(arguments.base)
    train_rows, test_rows, dropped = data.read(arguments.data)
    model = fresh(arguments.base)
    taught = train(model, tokenised(train_rows, pairs), pairs, arguments.minutes, arguments.seed)
    report = {
        "trainedOn": {name: sum(row.set == name for row in train_rows) for name in dict.fromkeys(row.set for row in train_rows)},
        "droppedBecauseOfBench": dropped,
        "training": taught,
        "heldOut": test(model, tokenised(test_rows, pairs), pairs),
    }
    print(json.dumps(report, indent=1))
    model.save_pretrained(arguments.out)
    pairs.save(arguments.out)
    (arguments.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
