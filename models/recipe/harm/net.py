"""A streaming judge: an encoder that reads the prompt both ways and the response from left to right, so that a token is read once.

The first layers are shared; each member of the ensemble has layers and a head of its own behind them. At every token of the response a
member says the log-odds that what stands there is unsafe, and of which kind; at the prompt's end, that the prompt asks for harm.
"""
import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

EPSILON = 1e-12  # of layer norms
FAR = -1e4  # in the place of minus infinity
BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")  # what processors call their instructions for it


def half_precision(device, wanted=True):
    """bfloat16 where the device multiplies it, which is faster; where it is emulated, it is many times slower than float32."""
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch don't tell
        has = any(capabilities.get(name) for name in BFLOAT16)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted and has)


class Layer(nn.Module):
    def __init__(self, width, inner, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))

    def forward(self, x, mask):
        b, n, width = x.shape
        q, k, v = (of(x).view(b, n, self.heads, -1).transpose(1, 2) for of in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(2, 3) * (width // self.heads) ** -0.5 + mask, -1)
        x = self.norm1(x + self.o((weights @ v).transpose(1, 2).reshape(b, n, width)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


# names in files of Hugging Face's BERT
BERT = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "o": "attention.output.dense",
    "norm1": "attention.output.LayerNorm", "up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm",
}


class Judge(nn.Module):
    def __init__(self, config, categories, shared=4, members=3, inner=128, masked=0.1):
        super().__init__()
        width, self.masked = config["hidden_size"], masked
        layer = lambda: Layer(width, config["intermediate_size"], config["num_attention_heads"])
        own = config["num_hidden_layers"] - shared
        self.word = nn.Embedding(config["vocab_size"], width)
        self.position = nn.Embedding(config["max_position_embeddings"], width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.shared = nn.ModuleList(layer() for _ in range(shared))
        self.member = nn.ModuleList(nn.ModuleList(layer() for _ in range(own)) for _ in range(members))
        self.dense = nn.ModuleList(nn.Linear(2 * width, inner) for _ in range(members))
        self.output = nn.ModuleList(nn.Linear(inner, 1 + categories) for _ in range(members))
        self.prompt = nn.ModuleList(nn.Linear(width, 1) for _ in range(members))
        for head in (*self.output, *self.prompt):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def start_from(self, folder):
        """The body of a BERT; what words mean is known, so their table is not trained: what is rare here shall keep its meaning."""
        stored = load_file(pathlib.Path(folder) / "model.safetensors")
        tensors = {name.removeprefix("bert.").replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias"): values for name, values in stored.items()}
        fill = lambda module, name: module.load_state_dict({part: tensors[f"{name}.{part}"] for part in dict(module.named_parameters())})
        fill(self.word, "embeddings.word_embeddings")
        fill(self.position, "embeddings.position_embeddings")
        self.position.weight.data += tensors["embeddings.token_type_embeddings.weight"][0]
        fill(self.norm, "embeddings.LayerNorm")
        for layers in self.member:
            for i, layer in enumerate([*self.shared, *layers]):
                for mine, theirs in BERT.items():
                    fill(getattr(layer, mine), f"encoder.layer.{i}.{theirs}")
        self.word.requires_grad_(False)

    def by_depth(self):
        """The parameters that learn: of the embeddings, of each layer, of the heads."""
        own = zip(*self.member)
        parts = [[self.position, self.norm], *([layer] for layer in self.shared), *own, [self.dense, self.output, self.prompt]]
        return [[p for module in part for p in module.parameters()] for part in parts]

    def forward(self, tokens, n_prefix, n_tokens, mask_token=0):
        """Tokens [b, n] of which n_prefix [b] are the prompt's and n_tokens [b] are no padding: ([members, b, n, 1 + categories], [members, b])."""
        b, n = tokens.shape
        at = torch.arange(n, device=tokens.device)
        real, prefix = at < n_tokens[:, None], at < n_prefix[:, None]
        seen = ((at[:, None] >= at) | prefix[:, None]) & real[:, None]
        if self.training:
            tokens = torch.where(torch.rand(b, n, device=tokens.device) < self.masked, mask_token, tokens)
        x = self.norm(self.word(tokens) + self.position.weight[:n])
        dtype = torch.bfloat16 if torch.is_autocast_enabled(x.device.type) else x.dtype
        mask = torch.zeros(b, 1, n, n, dtype=dtype, device=x.device).masked_fill(~seen[:, None], FAR)
        for layer in self.shared:
            x = layer(x, mask)
        response = (real & ~prefix).float()
        count = response.cumsum(1).clamp(min=1)
        outputs, prompts = [], []
        for layers, dense, output, prompt in zip(self.member, self.dense, self.output, self.prompt):
            y = x
            for layer in layers:
                y = layer(y, mask)
            mean = (y * response[..., None]).cumsum(1) / count[..., None]
            outputs.append(output(torch.tanh(dense(torch.cat([y, mean.to(y.dtype)], -1)))).float())
            prompts.append(prompt(y[torch.arange(b, device=y.device), n_prefix - 1])[:, 0].float())
        return torch.stack(outputs), torch.stack(prompts)


def config_of(folder):
    return json.loads((pathlib.Path(folder) / "config.json").read_text())
