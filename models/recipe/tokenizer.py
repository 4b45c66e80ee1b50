#!/usr/bin/env python3
"""Trains the SentencePiece tokenizer and encodes the sections: BOS, paragraphs joined by a newline, EOS."""
import argparse
import json
import pathlib

import numpy as np
import sentencepiece

UNK, BOS, EOS = 0, 1, 2


def train(sections, prefix, vocabulary):
    lines = prefix.with_suffix(".txt")
    with open(lines, "w") as out:
        for section in sections:
            out.writelines(paragraph + "\n" for paragraph in section["paragraphs"])
    sentencepiece.SentencePieceTrainer.train(
        input=str(lines), model_prefix=str(prefix), vocab_size=vocabulary, model_type="bpe", byte_fallback=True,
        character_coverage=1.0, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, split_digits=True, allow_whitespace_only_pieces=False, unk_id=UNK, bos_id=BOS,
        eos_id=EOS, pad_id=-1, max_sentence_length=100000, num_threads=2, minloglevel=1)


def encode(sections, tokenizer, shelves, out):
    newline = tokenizer.piece_to_id("<0x0A>")
    ids, starts, shelf_of_start = [], [], []
    for section in sections:
        ids.append(BOS)
        for i, paragraph in enumerate(tokenizer.encode(section["paragraphs"])):
            if i > 0:
                ids.append(newline)
            starts.append(len(ids))
            shelf_of_start.append(shelves.index(section["shelf"]))
            ids += paragraph
        ids.append(EOS)
    characters = sum(len(p) + 1 for section in sections for p in section["paragraphs"])
    np.savez(out, ids=np.array(ids, dtype=np.uint16), starts=np.array(starts), shelves=np.array(shelf_of_start))
    print(f"{out.name}: {len(ids)} tokens, {characters / len(ids):.2f} characters per token")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of train.jsonl and validation.jsonl")
    parser.add_argument("--vocabulary", type=int, default=3072)
    options = parser.parse_args()
    splits = {name: [json.loads(line) for line in open(options.data / f"{name}.jsonl")] for name in ("train", "validation")}
    shelves = sorted({section["shelf"] for section in splits["train"]})
    prefix = options.data / "tokenizer"
    train(splits["train"], prefix, options.vocabulary)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    for name, sections in splits.items():
        encode(sections, tokenizer, shelves, options.data / f"{name}.npz")


main()
