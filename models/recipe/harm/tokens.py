"""Word pieces of prompt and response, and batches of them: [CLS] prompt [SEP] response."""
import copy
import hashlib

import torch
from transformers import AutoTokenizer

PROMPT_TOKENS = 100  # of a prompt's end
LIMIT = 192  # tokens of a pair


class Pieces:
    def __init__(self, folder):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder, split_special_tokens=True)  # a text that spells one out has none

    def of(self, texts):
        return self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]

    def prefix(self, prompt):
        return [self.tokenizer.cls_token_id, *prompt[-PROMPT_TOKENS:], self.tokenizer.sep_token_id]

    def batch(self, pairs):
        """Tokens [b, n], lengths of the prefixes, lengths of the pairs."""
        lengths = [len(prefix) + len(response) for prefix, response in pairs]
        tokens = torch.full((len(pairs), max(lengths)), self.tokenizer.pad_token_id)
        for row, (prefix, response) in zip(tokens, pairs):
            row[:len(prefix) + len(response)] = torch.tensor(prefix + response)
        return tuple(x.to(self.device) for x in (tokens, torch.tensor([len(prefix) for prefix, _ in pairs]), torch.tensor(lengths)))


class Example:
    def __init__(self, row, prompt, response, pieces, categories):
        self.row = row
        self.empty = pieces.prefix([])
        self.prefix = pieces.prefix(prompt)
        self.asked = row.harmful
        self.response = response[:LIMIT - len(self.prefix)]
        self.part = int(hashlib.sha256(row.question.encode()).hexdigest()[8:16], 16)
        self.category = categories.index(row.category) if row.category in categories else -1

    def without_prompt(self):
        other = copy.copy(self)
        other.prefix, other.asked = self.empty, None
        return other


def examples(rows, pieces, categories):
    """Every prompt with its response; in training an attack's also by what it asks in plain words."""
    pairs = [(row, prompt) for row in rows for prompt in (row.prompts if row.split == "train" else row.prompts[-1:])]
    prompts, responses = pieces.of([prompt for _, prompt in pairs]), pieces.of([row.response for row, _ in pairs])
    return [Example(row, prompt, response, pieces, categories) for (row, _), prompt, response in zip(pairs, prompts, responses)]
