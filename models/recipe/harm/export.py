#!/usr/bin/env python3
"""Writes a trained judge as the GGUF file that `{ encoder }` reads: the weights, the vocabulary, and what they were calibrated to.

Settings are a JSON object: categories (names, in the order of the outputs behind the first), scale, promptScale, offset,
uncertaintyPenalty, threshold, and perhaps base and licence.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
import torch

from tokens import PROMPT_TOKENS

KIND, VERSION = "encoder", 1
TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q5_0": gguf.GGMLQuantizationType.Q5_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
MATRICES = ("q", "k", "v", "o", "up", "down")  # of a layer; its norms stay as they are
EPSILON = 1e-12
WINDOW = 256  # tokens of a response that is longer than there are positions for, of which half is read again
NUMBERS = {"scale": "scale", "promptScale": "prompt_scale", "offset": "offset", "uncertaintyPenalty": "uncertainty_penalty", "threshold": "threshold"}


def tensors(state):
    """(name in the file, values, whether it is a matrix of a layer) of a state dict of net.Judge, without the table of words."""
    for key, values in state.items():
        names = key.split(".")
        if names[0] in ("dense", "output", "prompt"):
            yield f"member.{names[1]}.{names[0]}.{names[2]}", values, False
        elif key != "word.weight":
            yield key, values, names[-2] in MATRICES and names[-1] == "weight"


def layers(state, beginning):
    """How many layers have names that begin so."""
    return len({key.split(".")[beginning.count(".")] for key in state if key.startswith(beginning)})


def write(path, state, vocabulary, heads, settings, kind="q8_0", word_kind="q8_0", prompt_tokens=PROMPT_TOKENS, window=WINDOW):
    writer = gguf.GGUFWriter(path, "inferenceguard")

    def number(key, value):
        writer.add_key_value(f"inferenceguard.{key}", float(value), gguf.GGUFValueType.FLOAT64)

    writer.add_string("inferenceguard.kind", KIND)
    number("format_version", VERSION)
    number("heads", heads)
    number("shared_layers", layers(state, "shared."))
    number("member_layers", layers(state, "member.0."))
    number("members", layers(state, "dense."))
    number("epsilon", EPSILON)
    number("prompt_tokens", prompt_tokens)
    number("window", window)
    for name, key in NUMBERS.items():
        number(key, settings[name])
    for key in ("base", "licence"):
        if key in settings:
            writer.add_string(f"inferenceguard.{key}", settings[key])
    writer.add_array("inferenceguard.categories", settings["categories"])
    writer.add_array("inferenceguard.tokens", vocabulary)

    def tensor(name, values, as_kind):
        rows = values.detach().float().numpy()
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(rows), TYPES[as_kind]), raw_dtype=TYPES[as_kind])

    tensor("word.weight", state["word.weight"], word_kind)
    for name, values, is_matrix in tensors(state):
        tensor(name, values, kind if is_matrix else "f32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=pathlib.Path, required=True, help="state dict of net.Judge, as torch.save writes it")
    parser.add_argument("--base", type=pathlib.Path, required=True, help="folder of the encoder that it began as, for vocab.txt and config.json")
    parser.add_argument("--settings", type=pathlib.Path, required=True)
    parser.add_argument("--type", choices=("q8_0", "f16", "f32"), default="q8_0", help="of the layers' matrices")
    parser.add_argument("--word-type", choices=TYPES, default="q8_0", help="of the table of words")
    parser.add_argument("--reads", choices=("both", "response", "prompt"), default="both", help="what it judges by, to compare")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    vocabulary = (options.base / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    heads = json.loads((options.base / "config.json").read_text())["num_attention_heads"]
    state = torch.load(options.state, map_location="cpu")
    settings = json.loads(options.settings.read_text())
    if options.reads != "both":
        settings |= settings["alone"][options.reads]
    prompt_tokens = 0 if options.reads == "response" else PROMPT_TOKENS
    write(options.out, state, vocabulary, heads, settings, options.type, options.word_type, prompt_tokens)


if __name__ == "__main__":
    main()
