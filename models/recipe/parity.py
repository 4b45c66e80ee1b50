#!/usr/bin/env python3
"""Compares the token ids and logits of the trainer with those of llama.cpp on the exported f32 file, for every line of a text.

Fails when the ids differ or a logit differs by more than the tolerance.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import sentencepiece
import torch

from model import LanguageModel, Shape


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--logits-tool", required=True, help="the program built from logits.cpp")
    parser.add_argument("--lines", type=pathlib.Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    options = parser.parse_args()
    lines = options.lines.read_text().splitlines()
    with tempfile.NamedTemporaryFile() as file:
        ran = subprocess.run([options.logits_tool, options.gguf, file.name], input="\n".join(lines) + "\n",
                             stdout=subprocess.PIPE, text=True, check=True)
        exported = np.fromfile(file.name, np.float32)
    ids = [[int(token) for token in line.split()] for line in ran.stdout.splitlines()]
    saved = torch.load(options.checkpoint)
    shape = Shape(**saved["shape"])
    model = LanguageModel(shape)
    model.load_state_dict(saved["weights"])
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=options.tokenizer)
    same_ids = all(tokens == [tokenizer.bos_id()] + tokenizer.encode(line) for tokens, line in zip(ids, lines))
    with torch.no_grad():
        trained = np.concatenate([model(torch.tensor([tokens]))[0].numpy() for tokens in ids])
    exported = exported.reshape(-1, shape.vocabulary)
    largest = float(np.abs(trained - exported).max())
    agree = int((trained.argmax(-1) == exported.argmax(-1)).sum())
    print(f"{len(lines)} lines, {len(exported)} positions: ids equal {same_ids}, largest logit difference {largest:.2e}, "
          f"most probable token equal at {agree}")
    sys.exit(0 if same_ids and largest <= options.tolerance else 1)


main()
