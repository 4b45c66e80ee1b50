"""A small llama: RMSNorm, rotary positions (half-split), grouped-query attention, SwiGLU, tied embeddings.

The norms have no weights of their own; the export writes ones.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Shape:
    vocabulary: int = 3072
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 704
    context: int = 512
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_width(self):
        return self.width // self.heads


class RmsNorm(torch.autograd.Function):
    """Written by hand: half the passes over memory that autograd would take."""

    @staticmethod
    def forward(context, x, epsilon):
        scale = torch.rsqrt(torch.linalg.vector_norm(x, dim=-1, keepdim=True) ** 2 / x.shape[-1] + epsilon)
        y = x * scale
        context.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(context, gradient):
        y, scale = context.saved_tensors
        mean = (gradient * y).mean(-1, keepdim=True)
        return torch.addcmul(gradient, y, mean, value=-1).mul_(scale), None


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.width, (shape.heads + 2 * shape.kv_heads) * shape.head_width, bias=False)
        self.output = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)
        self.gate_up = nn.Linear(shape.width, 2 * shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def attention(self, x, cosine, sine, mask):
        shape = self.shape
        batch, length, _ = x.shape
        n_q, n_kv, width = shape.heads, shape.kv_heads, shape.head_width
        qk, v = self.qkv(x).view(batch, length, n_q + 2 * n_kv, width).split((n_q + n_kv, n_kv), 2)
        a, b = qk.chunk(2, -1)
        q, k = torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1).split((n_q, n_kv), 2)
        group = n_q // n_kv
        q = q.transpose(1, 2).reshape(batch * n_kv, group * length, width)  # the heads of a group stacked along rows
        k = k.transpose(1, 2).reshape(batch * n_kv, length, width)
        v = v.transpose(1, 2).reshape(batch * n_kv, length, width)
        bias = mask.repeat(group, 1).unsqueeze(0).expand(batch * n_kv, group * length, length)
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=1 / math.sqrt(width))
        y = torch.bmm(scores.softmax(-1), v).view(batch, n_q, length, width)
        return self.output(y.transpose(1, 2).reshape(batch, length, n_q * width))

    def forward(self, x, cosine, sine, mask):
        x = x + self.attention(RmsNorm.apply(x, self.shape.epsilon), cosine, sine, mask)
        gate, up = self.gate_up(RmsNorm.apply(x, self.shape.epsilon)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class LanguageModel(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        frequencies = shape.rope_base ** (-torch.arange(0, shape.head_width, 2).float() / shape.head_width)
        angles = torch.outer(torch.arange(shape.context).float(), frequencies)
        self.register_buffer("cosine", angles.cos()[:, None, :], persistent=False)
        self.register_buffer("sine", angles.sin()[:, None, :], persistent=False)
        future = torch.full((shape.context, shape.context), float("-inf")).triu(1)
        self.register_buffer("mask", future, persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, weight in self.blocks.named_parameters():
            writes_residual = name.split(".")[1] in ("output", "down")
            depth_scale = 1 / math.sqrt(2 * shape.layers) if writes_residual else 1
            nn.init.normal_(weight, std=0.5 * depth_scale / math.sqrt(weight.shape[1]))

    def forward(self, ids):
        """[batch, length] ids -> [batch, length, vocabulary] logits"""
        length = ids.shape[1]
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine[:length], self.sine[:length], self.mask[:length, :length])
        return F.linear(RmsNorm.apply(x, self.shape.epsilon), self.embedding.weight)
