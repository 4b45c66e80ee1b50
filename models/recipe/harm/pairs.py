"""Token ids of a pair as llama.cpp presents it: [CLS] prompt [SEP] response [SEP], every token in the first segment."""
import shutil

import torch
from transformers import AutoTokenizer

PROMPT_KEEPS = 100  # tokens of a prompt's end, whatever the length of its response


class Pairs:
    def __init__(self, folder):
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokens(self, texts):
        return self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]

    def join(self, prompt, response, limit):
        """What does not fit is cut: the prompt's beginning down to PROMPT_KEEPS tokens, then the response's end."""
        room = limit - 3
        prompt = prompt[-max(PROMPT_KEEPS, room - len(response)):]
        response = response[:room - len(prompt)]
        separator = self.tokenizer.sep_token_id
        return [self.tokenizer.cls_token_id, *prompt, separator, *response, separator]

    def batch(self, texts):
        longest = max(map(len, texts))
        ids = torch.full((len(texts), longest), self.tokenizer.pad_token_id)
        for i, text in enumerate(texts):
            ids[i, :len(text)] = torch.tensor(text)
        read = torch.arange(longest) < torch.tensor([[len(text)] for text in texts])
        return {"input_ids": ids, "attention_mask": read.long(), "token_type_ids": torch.zeros_like(ids)}

    def save(self, folder):
        for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copy(self.folder / name, folder)
        fast = self.tokenizer.backend_tokenizer
        fast.no_truncation()  # the base cuts at 128 tokens
        fast.no_padding()
        fast.save(str(folder / "tokenizer.json"))
