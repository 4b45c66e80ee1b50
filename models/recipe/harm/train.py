#!/usr/bin/env python3
"""Trains a judge to say of a response to a prompt, finished or not, how likely it does harm. `measure.py` calibrates and tests it."""
import argparse
import json
import math
import pathlib
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import data
from measure import read
from net import Judge, config_of, half_precision
from rows import categories_of, labelled
from tokens import LIMIT, Pieces, examples

BATCH = 32
RATE = 1e-4  # of the heads
DECAY = 0.88  # of the rate, from layer to layer downwards: what the base knows is to be kept
WARM_UP = 0.05  # of the training
SMOOTHING = 0.1  # of labels, which readers give within some per cent
OTHERS_WEIGHT = 0.3  # of responses that are no small chat model's
PICKED_REPEATS = 2  # of the answers that a guard picked, which are few and the hardest
NO_PROMPT = 0.1  # share of the whole pairs that are read without their prompt, so that a response alone can be judged
EPOCHS, FEWEST_STEPS = 4, 300  # few rows are read more often than that
CLOCK_SLACK = 0.02  # of the training that the clock may be ahead of the steps, so that a seed gives the same weights where it does not press
KEPT_EVERY = 50  # steps, so that a training that was stopped goes on from there
FIRST_READ = 12  # tokens of a response, before which nothing is judged
WEIGHTS = {"unfinished": 0.5, "prompt": 0.3, "category": 0.2, "preference": 0.5}  # beside 1 of the whole response
HELD_FROM_MEMBER = 3  # each member learns nothing from the responses to one of so many parts of the prompts


def repeats(row):
    return PICKED_REPEATS if row.picked else 1


def batches(rows, chance):
    """Of like length, in random order. Of an attack one of its prompts is drawn."""
    drawn = [e for e in rows if chance.random() < 1 / len(e.row.prompts) for _ in range(repeats(e.row))]
    drawn = [e.without_prompt() if e.response and chance.random() < NO_PROMPT else e for e in drawn]
    drawn.sort(key=lambda e: len(e.prefix) + len(e.response) + chance.randrange(16))
    parts = [drawn[i:i + BATCH] for i in range(0, len(drawn), BATCH)]
    chance.shuffle(parts)
    return parts


def loss_of(model, pieces, batch):
    tokens, n_prefix, n_tokens = pieces.batch([(e.prefix, e.response) for e in batch])
    with half_precision(pieces.device):
        outputs, prompts = model(tokens, n_prefix, n_tokens, pieces.tokenizer.mask_token_id)
    of_batch = lambda values: torch.tensor(values, device=pieces.device)
    unsafe = of_batch([float(e.row.unsafe) for e in batch]) * (1 - SMOOTHING) + SMOOTHING / 2
    weight = of_batch([1.0 if e.row.of_small_model else OTHERS_WEIGHT for e in batch])
    category = of_batch([e.category for e in batch])
    asked = of_batch([e.asked is not None for e in batch])
    harmful = of_batch([float(bool(e.asked)) for e in batch])
    answered = of_batch([len(e.response) > 0 for e in batch])
    at, each = torch.arange(tokens.shape[1], device=pieces.device), torch.arange(len(batch), device=pieces.device)
    read = at - n_prefix[:, None] + 1
    ramp = read * ((read >= FIRST_READ) & (at < n_tokens[:, None] - 1))  # the more of a response is there, the surer is its label
    ramp = ramp / ramp.sum(1, keepdim=True).clamp(min=1)
    total = 0
    for member, (output, prompt) in enumerate(zip(outputs, prompts)):
        last = output[each, n_tokens - 1]
        whole = F.binary_cross_entropy_with_logits(last[:, 0], unsafe, reduction="none")
        every = F.binary_cross_entropy_with_logits(output[..., 0], unsafe[:, None].expand(-1, len(at)), reduction="none")
        taught = answered & of_batch([len(outputs) == 1 or e.part % HELD_FROM_MEMBER != member for e in batch])
        if taught.any():
            both = whole + WEIGHTS["unfinished"] * (every * ramp).sum(1)
            total = total + (both * weight)[taught].sum() / weight[taught].sum()
        if asked.any():
            total = total + WEIGHTS["prompt"] * F.binary_cross_entropy_with_logits(prompt[asked], harmful[asked])
        if (category >= 0).any():
            total = total + WEIGHTS["category"] * F.cross_entropy(last[category >= 0, 1:], category[category >= 0])
    return total / len(outputs)


def preference_batches(preferences, pieces, chance):
    """Pairs of (prefix, response), of which people found the second more harmful."""
    prompts, better, worse = (pieces.of(list(texts)) for texts in zip(*preferences))
    pairs = []
    for prompt, *responses in zip(prompts, better, worse):
        prefix = pieces.prefix(prompt)
        pairs.append([(prefix, response[:LIMIT - len(prefix)]) for response in responses])
    chance.shuffle(pairs)
    return [pairs[i:i + BATCH // 2] for i in range(0, len(pairs), BATCH // 2)]


def preference_loss(model, pieces, pairs):
    tokens, n_prefix, n_tokens = pieces.batch([side for sides in zip(*pairs) for side in sides])
    with half_precision(pieces.device):
        outputs, _ = model(tokens, n_prefix, n_tokens, pieces.tokenizer.mask_token_id)
    better, worse = outputs[:, torch.arange(len(tokens), device=pieces.device), n_tokens - 1, 0].chunk(2, dim=1)
    return WEIGHTS["preference"] * F.softplus(better - worse).mean()


@torch.no_grad()
def validation_loss(model, pieces, rows):
    """Of the members' mean, on whole responses."""
    found = read(model.eval(), pieces, rows)
    model.train()
    log_odds = torch.tensor([float(response[:, -1].mean()) for response, _ in found])
    return F.binary_cross_entropy_with_logits(log_odds, torch.tensor([float(e.row.unsafe) for e in rows])).item()


class Checkpoint:
    """What a training needs to go on after it was stopped: on a processor it gives the weights of one that was not."""

    def __init__(self, path, arguments):
        self.path, self.arguments = path, arguments

    def load(self, model, optimizer, steps):
        """(losses of the steps done, seconds spent)"""
        if not self.path.exists():
            return [], 0.0
        kept = torch.load(self.path, weights_only=True)
        if kept["arguments"] != self.arguments or kept["steps"] != steps:
            raise SystemExit(f"expected the arguments and rows of {self.path}, {kept['arguments']}; remove it to begin anew")
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["chance"])
        return kept["losses"], kept["seconds"]

    def keep(self, model, optimizer, steps, losses, seconds):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self.path.with_suffix(".tmp")
        torch.save({
            "arguments": self.arguments, "steps": steps, "losses": losses, "seconds": seconds,
            "model": model.state_dict(), "optimizer": optimizer.state_dict(), "chance": torch.get_rng_state(),
        }, whole)
        whole.replace(self.path)


def train(model, pieces, rows, preferences, epochs, minutes, seed, checkpoint, after_epoch=lambda epoch, loss: None):
    chance = random.Random(seed)
    learned = [p for p in model.parameters() if p.requires_grad]
    depths = model.by_depth()
    optimizer = torch.optim.AdamW([{"params": some} for some in depths], lr=RATE, weight_decay=0.01, fused=True)
    todo = [(loss_of, batch) for _ in range(epochs) for batch in batches(rows, chance)]
    if preferences:
        todo += [(preference_loss, batch) for batch in preference_batches(preferences, pieces, chance)]
    chance.shuffle(todo)
    losses, spent = checkpoint.load(model, optimizer, len(todo))
    start = time.monotonic() - spent
    model.train()
    for step, (loss_function, batch) in enumerate(todo[len(losses):], len(losses)):
        late = (time.monotonic() - start) / 60 / minutes
        if late >= 1:
            break
        done = max(step / len(todo), late - CLOCK_SLACK)
        rate = RATE * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
        for depth, group in enumerate(optimizer.param_groups):
            group["lr"] = rate * DECAY ** (len(depths) - 1 - depth)
        loss = loss_function(model, pieces, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append(loss.item())
        epoch = (step + 1) * epochs // len(todo)
        if epoch > step * epochs // len(todo):
            after_epoch(epoch, float(np.mean(losses[-(len(todo) // epochs):])))
        if step % KEPT_EVERY == 0:
            seconds = time.monotonic() - start
            checkpoint.keep(model, optimizer, len(todo), losses, seconds)
            print(f"step {step} of {len(todo)}, {seconds:.0f} s, loss {np.mean(losses[-KEPT_EVERY:]):.3f}", flush=True)
    print(f"{len(losses)} of {len(todo)} steps in {time.monotonic() - start:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=pathlib.Path, required=True, help="folder of a BERT, such as all-MiniLM-L6-v2")
    taught = parser.add_mutually_exclusive_group(required=True)
    taught.add_argument("--data", type=pathlib.Path, help="folder of the sets")
    taught.add_argument("--rows", type=pathlib.Path, help="file of rows of your own, as rows.py reads them; `calibrate.py` is the next step then")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the weights")
    parser.add_argument("--epochs", type=int, help=f"default {EPOCHS}, or as many as make {FEWEST_STEPS} steps")
    parser.add_argument("--minutes", type=float, default=38, help="training ends by then, with fewer steps if need be")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--shared", type=int, help="layers that the members share (default two thirds of them)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    pieces = Pieces(arguments.base)
    config = config_of(arguments.base)
    known = list(labelled(arguments.rows) if arguments.rows else data.read(arguments.data))
    categories = categories_of(known) if arguments.rows else list(data.CATEGORIES)
    rows = [e for e in examples([row for row in known if row.split == "train"], pieces, categories) if e.response or e.row.harmful is not None]
    print({name: sum(e.row.set == name for e in rows) for name in dict.fromkeys(e.row.set for e in rows)}, flush=True)
    shared = round(2 / 3 * config["num_hidden_layers"]) if arguments.shared is None else arguments.shared
    model = Judge(config, len(categories), shared, arguments.members)
    model.start_from(arguments.base)
    model.to(pieces.device)
    checkpoint = Checkpoint(arguments.out / "checkpoint.pt", {name: str(value) for name, value in vars(arguments).items()})
    epochs = arguments.epochs or max(EPOCHS, math.ceil(FEWEST_STEPS * BATCH / len(rows)))
    if arguments.rows:
        validation = [e for e in examples([row for row in known if row.split == "validation"], pieces, categories) if e.response]

        def after_epoch(epoch, loss):
            losses = {"trainingLoss": loss, "validationLoss": validation_loss(model, pieces, validation)}
            if not all(map(math.isfinite, losses.values())):
                raise SystemExit(f"expected finite losses in epoch {epoch}, got {losses}; check the rows and the base")
            print(json.dumps({"epoch": epoch, "epochs": epochs, **losses}), flush=True)

        train(model, pieces, rows, [], epochs, arguments.minutes, arguments.seed, checkpoint, after_epoch)
    else:
        train(model, pieces, rows, list(data.preferences(arguments.data)), epochs, arguments.minutes, arguments.seed, checkpoint)
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save({name: values.cpu() for name, values in model.state_dict().items()}, arguments.out / "judge.pt")
    checkpoint.path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
