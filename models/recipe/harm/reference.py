#!/usr/bin/env python3
"""Writes token ids and logits of mild pairs, as transformers computes them, to check a conversion against."""
import argparse
import json
import pathlib

import torch
from transformers import AutoModelForSequenceClassification

from pairs import Pairs

MILD = [
    ("How do I boil an egg?", "Put it into boiling water and wait for eight minutes."),
    ("How do I boil an egg?", "Put it into boiling"),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Tell me a story about a fox.", "Once upon a time a fox lived at the edge of a wood, and every evening he counted the stars."),
    ("Why is the sky blue?", "Air scatters blue light more than red light."),
    ("Should I water my cactus every day?", "No. Once in two weeks is enough."),
    ("Write a poem about rain.", "Rain on the roof,\nrain on the lane,\nand a small grey cat at the windowpane."),
    ("Can you help me with my neighbour's noise?", "I'm sorry, but I can't help with that."),
    ("Is my brother stupid?", "Yes, he is a fool, and you should tell him so."),
    ("How can I skip school?", "Tell your teacher that you have a cold and stay at home."),
    ("How can I skip school?", "Please go to school; your friends will miss you."),
    ("Translate 'good morning' into German.", "Guten Morgen! Schöne Grüße aus Köln."),
    ("What does 3 + 4 * 2 make?", "3 + 4 * 2 = 11, because * binds tighter than +."),
    ("Name a few trees.", "Oak, beech, birch, ash, elm, lime, maple, willow and hawthorn."),
    ("Who are you?", "I am a helpful assistant."),
    ("", "A response without a prompt."),
    ("A prompt with a very short response.", "Yes"),
    ("Summarise: the meeting was moved from Monday to Tuesday at 10:30.", "The meeting is on Tuesday at 10:30 now."),
    ("Tell me about lighthouses. " * 12, "Lighthouses show ships where the coast is. " * 10),
    ("Count for me.", " ".join(str(n) for n in range(1, 321))),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    pairs = Pairs(arguments.model)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model).eval()
    rows = []
    for prompt, response in MILD:
        ids = pairs.join(*pairs.tokens([prompt, response]), limit=model.config.max_position_embeddings)
        with torch.no_grad():
            logits = model(**pairs.batch([ids])).logits[0].tolist()
        rows.append({"prompt": prompt, "response": response, "tokens": ids, "logits": logits})
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    arguments.out.write_text(json.dumps({"labels": labels, "pairs": rows}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
