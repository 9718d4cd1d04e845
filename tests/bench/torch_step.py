#!/usr/bin/env python3
"""The peer of bench gpt-mini/fp32: the same model and shapes in PyTorch, binary32 on the CPU.

Forward and backward of a decoder in LLaMA's style (width 128, 4 layers, 4 heads, SwiGLU of 352,
128 tokens, batch 16), without an optimizer. Prints milliseconds a step: least and median.

    python3 tests/bench/torch_step.py [threads]
"""
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

ITEMS, LENGTH, DIM, LAYERS, HEADS, VOCABULARY, HIDDEN = 16, 128, 128, 4, 4, 96, 352
WARM_UP, STEPS = 5, 40


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class RmsNorm(nn.Module):
    """PyTorch's own where it has one (2.4 and later)."""

    def __new__(cls, dim):
        if hasattr(nn, "RMSNorm"):
            return nn.RMSNorm(dim, eps=1e-5)
        return super().__new__(cls)

    def __init__(self, dim):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.gain


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = RmsNorm(DIM), RmsNorm(DIM)
        self.q, self.k, self.v, self.o = (linear(DIM, DIM) for _ in range(4))
        self.gate, self.up, self.down = linear(DIM, HIDDEN), linear(DIM, HIDDEN), linear(HIDDEN, DIM)

    def forward(self, x, cos, sin):
        n = self.norm1(x)
        q, k, v = (
            f(n).view(ITEMS, LENGTH, HEADS, DIM // HEADS).transpose(1, 2)
            for f in (self.q, self.k, self.v)
        )

        def rotate(z):
            a, b = z.chunk(2, -1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

        o = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + self.o(o.transpose(1, 2).reshape(ITEMS, LENGTH, DIM))
        n = self.norm2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = RmsNorm(DIM), linear(DIM, VOCABULARY)

    def forward(self, tokens, cos, sin):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = Model()
    half = DIM // HEADS // 2
    angle = torch.arange(LENGTH)[:, None] * 10000.0 ** (-torch.arange(half) / half)
    tokens = torch.randint(VOCABULARY, (ITEMS, LENGTH))
    targets = torch.randint(VOCABULARY, (ITEMS, LENGTH))
    seconds = []
    for _ in range(WARM_UP + STEPS):
        model.zero_grad(set_to_none=False)
        start = time.perf_counter()
        logits = model(tokens, angle.cos(), angle.sin())
        F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1)).backward()
        seconds.append(time.perf_counter() - start)
    seconds = sorted(seconds[WARM_UP:])
    print(
        f"gpt-mini/torch-{torch.__version__}/{threads}  "
        f"{1e3 * seconds[0]:.1f} ms least, {1e3 * seconds[STEPS // 2]:.1f} ms median"
    )


if __name__ == "__main__":
    main()
