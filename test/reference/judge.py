"""A tiny judge of random weights as `{ encoder }` reads it, and what PyTorch makes of it.

    pip install torch transformers safetensors gguf
    python test/reference/judge.py

writes test/reference/judge.gguf and judge-q8_0.gguf, and judge.json: settings, and for each pair of prompt and response what every
member says at the end of each word. Made with torch 2.13 and transformers 5.24.
"""

import json
import pathlib
import random
import sys
import tempfile

import torch
from safetensors.torch import save_file
from transformers import BertTokenizer

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parent.parent / "models/recipe/harm"))
import export  # noqa: E402
from net import Judge  # noqa: E402

WIDTH, INNER, HEADS, HIDDEN, SHARED, MEMBERS, POSITIONS = 32, 64, 2, 16, 1, 2, 48
PROMPT_TOKENS, WINDOW = 10, 32
SETTINGS = {
    "categories": ["spilling", "scalding", "stealing"], "scale": 1.3, "promptScale": 0.6, "offset": -0.25, "uncertaintyPenalty": 0.8,
    "threshold": 0.4, "base": "random weights", "licence": "MIT",
}
words = "the tea is warm cup of milk they drink some more when water boils ! , don ' t".split()
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *"abdeimnrs", *(f"##{piece}" for piece in ("s", "er", "est", "ing", "ed", "m", "a", "e"))]


def base(folder):
    """A BERT of random weights, from which Judge takes its layers."""
    def matrix(n_out, n_in):
        return torch.randn(n_out, n_in) * n_in**-0.5

    tensors = {
        "embeddings.word_embeddings.weight": torch.randn(len(vocabulary), WIDTH),
        "embeddings.position_embeddings.weight": 0.5 * torch.randn(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": 0.5 * torch.randn(2, WIDTH),
        "embeddings.LayerNorm.weight": 1 + 0.2 * torch.randn(WIDTH), "embeddings.LayerNorm.bias": 0.2 * torch.randn(WIDTH),
    }
    for i in range(SHARED + 1):
        for name, n_out, n_in in (("attention.self.query", WIDTH, WIDTH), ("attention.self.key", WIDTH, WIDTH), ("attention.self.value", WIDTH, WIDTH),
                                  ("attention.output.dense", WIDTH, WIDTH), ("intermediate.dense", INNER, WIDTH), ("output.dense", WIDTH, INNER)):
            tensors[f"encoder.layer.{i}.{name}.weight"] = matrix(n_out, n_in)
            tensors[f"encoder.layer.{i}.{name}.bias"] = 0.2 * torch.randn(n_out)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"encoder.layer.{i}.{name}.weight"] = 1 + 0.2 * torch.randn(WIDTH)
            tensors[f"encoder.layer.{i}.{name}.bias"] = 0.2 * torch.randn(WIDTH)
    save_file(tensors, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder


@torch.no_grad()
def read(judge, prompt, response):
    """[token, member, output] and [member] of a response of at most as many tokens as there are positions for."""
    ids = torch.tensor([prompt + response])
    said, asked = judge(ids, torch.tensor([len(prompt)]), torch.tensor([len(prompt) + len(response)]))
    return said[:, 0, len(prompt):].transpose(0, 1), asked[:, 0]


def at_end(judge, prompt, response):
    """What the members say at the end of a response, in its worst window, and the probabilities of its categories."""
    starts = [0] if len(prompt) + len(response) <= POSITIONS else range(0, len(response) - WINDOW // 2, WINDOW // 2)
    worst = None
    for start in starts:
        said, asked = read(judge, prompt, response[start:] if len(starts) == 1 else response[start:start + WINDOW])
        log_odds = SETTINGS["scale"] * said[-1, :, 0] + SETTINGS["promptScale"] * asked + SETTINGS["offset"]
        score = log_odds.mean() + SETTINGS["uncertaintyPenalty"] * log_odds.std(unbiased=False)
        if worst is None or score > worst[0]:
            worst = score, log_odds, score.sigmoid() * said[-1, :, 1:].softmax(-1).mean(0)
    return [round(x, 6) for x in worst[1].tolist()], [round(x, 6) for x in worst[2].tolist()]


def main():
    torch.manual_seed(12)
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as name:
        folder = base(pathlib.Path(name))
        config = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_attention_heads": HEADS, "num_hidden_layers": SHARED + 1,
                  "vocab_size": len(vocabulary), "max_position_embeddings": POSITIONS}
        judge = Judge(config, len(SETTINGS["categories"]), SHARED, MEMBERS, HIDDEN).eval()
        judge.start_from(folder)
        tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    for layers in judge.member:  # each its own
        for parameter in layers.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    for head in (*judge.output, *judge.prompt):
        torch.nn.init.normal_(head.weight, std=0.5)
        torch.nn.init.normal_(head.bias, std=0.5)

    def ids(text):
        return tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))

    def some(n):
        return " ".join(chance.choice(words) + chance.choice(["", "", "", "s", "er", "zz"]) for _ in range(n))

    cases = []
    for n_prompt, n_response in ((0, 3), (3, 1), (4, 12), (30, 9), (2, 15), (9, 40), (1, 70), (20, 100)):
        prompt, response = some(n_prompt), some(n_response)
        tokens = [vocabulary.index("[CLS]"), *ids(prompt)[-PROMPT_TOKENS:], vocabulary.index("[SEP]")]
        ends, members = [], []
        for n in sorted({*range(1, min(n_response, 20)), *range(20, n_response, 7), n_response}):
            ends.append(len(" ".join(response.split(" ")[:n])))
            said, categories = at_end(judge, tokens, ids(response[:ends[-1]]))
            members.append(said)
        cases.append({"prompt": prompt, "response": response, "ends": ends, "members": members, "categories": categories})
    for kind, name in (("f32", "judge.gguf"), ("q8_0", "judge-q8_0.gguf")):
        export.write(here / name, judge.state_dict(), vocabulary, HEADS, SETTINGS, kind, kind, prompt_tokens=PROMPT_TOKENS, window=WINDOW)
    (here / "judge.json").write_text(json.dumps({"settings": SETTINGS, "words": words, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
