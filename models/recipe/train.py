#!/usr/bin/env python3
"""Trains the language model: AdamW, bf16 autocast over f32 weights, a fixed number of steps, both shelves equally often.

The first 60 % of the steps read windows of half the context, which is faster; the rest the whole context.
"""
import argparse
import dataclasses
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

from model import LanguageModel, Shape

BOS = 1


class Windows:
    """Draws training windows: most start at a paragraph, behind BOS, as a prompt does; the others anywhere."""

    def __init__(self, data, context, seed):
        self.ids, self.random = data["ids"].astype(np.int64), np.random.default_rng(seed)
        starts, shelves = data["starts"], data["shelves"]
        lengths = np.diff(np.append(starts, len(self.ids)))
        weights = np.sqrt(np.minimum(lengths, 400))  # tempers pages of dialogue, which are many short paragraphs
        fits = starts < len(self.ids) - context - 2
        for shelf in np.unique(shelves):
            weights[shelves == shelf] /= weights[(shelves == shelf) & fits].sum()
        self.starts = starts[fits]
        self.cumulative = np.cumsum(weights[fits]) / weights[fits].sum()

    def draw(self, length):
        start = self.starts[min(np.searchsorted(self.cumulative, self.random.random()), len(self.starts) - 1)]
        if self.random.random() < 0.6:
            return np.concatenate(([BOS], self.ids[start:start + length]))
        begin = start + self.random.integers(-length, length)
        begin = max(0, min(begin, len(self.ids) - length - 1))
        return self.ids[begin:begin + length + 1]

    def batch(self, n_tokens, length):
        return torch.from_numpy(np.stack([self.draw(length) for _ in range(n_tokens // length)]))


def loss_of(model, rows):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(rows[:, :-1])
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), rows[:, 1:].reshape(-1))


@torch.no_grad()
def validation_loss(model, ids, context):
    span = context - 1
    rows = [np.concatenate(([BOS], ids[i:i + context])) for i in range(0, len(ids) - context, span)]
    batches = [torch.from_numpy(np.stack(rows[i:i + 16])) for i in range(0, len(rows), 16)]
    return sum(loss_of(model, rows).item() * len(rows) for rows in batches) / len(rows)


def learning_rate(step, options):
    warm_up = min(1, (step + 1) / 100)
    return options.rate * warm_up * (0.02 + 0.49 * (1 + math.cos(math.pi * step / options.steps)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder written by corpus.py and tokenizer.py")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=4096, help="tokens per step")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    shape = Shape(layers=options.layers)
    model = LanguageModel(shape)
    windows = Windows(np.load(options.data / "train.npz"), shape.context, options.seed)
    held_out = np.load(options.data / "validation.npz")["ids"].astype(np.int64)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.1, foreach=True)
    print(sum(p.numel() for p in model.parameters()), "parameters,", shape, flush=True)

    def save():
        torch.save(dict(shape=dataclasses.asdict(shape), weights=model.state_dict()), options.out)

    begin, average = time.time(), None
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        length = shape.context // 2 if step < 0.6 * options.steps else shape.context
        loss = loss_of(model, windows.batch(options.batch, length))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % 50 == 0:
            seconds = time.time() - begin
            tokens = (step + 1) * options.batch
            print(f"step {step}, {seconds:.0f} s, {tokens / 1e6:.2f} M tokens, {tokens / seconds:.0f} tokens/s, loss {average:.4f}", flush=True)
        if step % 1000 == 999:
            print(f"step {step}, validation loss {validation_loss(model, held_out, shape.context):.4f}", flush=True)
            save()
    save()
    print(f"done in {time.time() - begin:.0f} s, validation loss {validation_loss(model, held_out, shape.context):.4f}", flush=True)


main()
