#!/usr/bin/env python3
"""Writes a trained checkpoint and its tokenizer as a GGUF file of llama.cpp's `llama` architecture.

LLAMA_CPP_DIR must name a llama.cpp checkout, for its gguf-py.
"""
import argparse
import os
import pathlib
import sys

import numpy as np
import sentencepiece
import torch

sys.path.insert(0, os.path.join(os.environ["LLAMA_CPP_DIR"], "gguf-py"))
import gguf  # noqa: E402

FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def write_tokenizer(writer, tokenizer):
    tokens, scores, kinds = [], [], []
    for i in range(tokenizer.vocab_size()):
        tokens.append(tokenizer.id_to_piece(i).encode())
        scores.append(tokenizer.get_score(i))
        kinds.append(gguf.TokenType.UNKNOWN if tokenizer.is_unknown(i) else
                     gguf.TokenType.CONTROL if tokenizer.is_control(i) else
                     gguf.TokenType.BYTE if tokenizer.is_byte(i) else gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(tokenizer.unk_id())
    writer.add_bos_token_id(tokenizer.bos_id())
    writer.add_eos_token_id(tokenizer.eos_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def interleaved(weight, heads):
    """Rotary pairs of a head stand half a head apart in training and side by side in llama.cpp."""
    head_width = weight.shape[0] // heads
    return weight.reshape(heads, 2, head_width // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--type", choices=FILE_TYPES, default="q8_0")
    parser.add_argument("--name", default="two-shelves")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    saved = torch.load(options.checkpoint)
    shape, weights = saved["shape"], {name: w.float().numpy() for name, w in saved["weights"].items()}
    width, heads, kv_heads = shape["width"], shape["heads"], shape["kv_heads"]
    head_width = width // heads

    writer = gguf.GGUFWriter(options.out, "llama")
    writer.add_name(options.name)
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(width)
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["feed_forward"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(head_width)
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["epsilon"])
    writer.add_vocab_size(shape["vocabulary"])
    writer.add_file_type(FILE_TYPES[options.type])
    write_tokenizer(writer, sentencepiece.SentencePieceProcessor(model_file=options.tokenizer))

    def add(name, weight):
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        if options.type == "q8_0":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, weight.astype(np.float16 if options.type == "f16" else np.float32))

    def add_norm(name):
        writer.add_tensor(name, np.ones(width, np.float32))

    add("token_embd.weight", weights["embedding.weight"])
    add_norm("output_norm.weight")
    for i in range(shape["layers"]):
        block = f"blocks.{i}."
        q, k, v = np.split(weights[block + "qkv.weight"], [heads * head_width, (heads + kv_heads) * head_width])
        gate, up = np.split(weights[block + "gate_up.weight"], 2)
        add_norm(f"blk.{i}.attn_norm.weight")
        add_norm(f"blk.{i}.ffn_norm.weight")
        add(f"blk.{i}.attn_q.weight", interleaved(q, heads))
        add(f"blk.{i}.attn_k.weight", interleaved(k, kv_heads))
        add(f"blk.{i}.attn_v.weight", v)
        add(f"blk.{i}.attn_output.weight", weights[block + "output.weight"])
        add(f"blk.{i}.ffn_gate.weight", gate)
        add(f"blk.{i}.ffn_up.weight", up)
        add(f"blk.{i}.ffn_down.weight", weights[block + "down.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
