"""The tiny Llama of llama2.c (stories260K): its network, its tokenizer, its stories."""

import re
import struct
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


class Attention(nn.Module):
    def __init__(self, dim, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, dim // heads
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, kv_heads * self.size, bias=False)
        self.wv = nn.Linear(dim, kv_heads * self.size, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)

    def forward(self, x, rotation):
        batch, length, dim = x.shape
        q = rotated(self.wq(x).view(batch, length, self.heads, self.size), rotation).transpose(1, 2)
        k = rotated(self.wk(x).view(batch, length, self.kv_heads, self.size), rotation).transpose(1, 2)
        v = self.wv(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(mixed.transpose(1, 2).reshape(batch, length, dim))


def rotated(x, rotation):
    """Rotary position embedding on neighbouring pairs."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation[: x.shape[1], None]).flatten(-2)


class FeedForward(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, dim, hidden, heads, kv_heads):
        super().__init__()
        self.attention_norm, self.ffn_norm = RMSNorm(dim), RMSNorm(dim)
        self.attention, self.feed_forward = Attention(dim, heads, kv_heads), FeedForward(dim, hidden)

    def forward(self, x, rotation):
        x = x + self.attention(self.attention_norm(x), rotation)
        return x + self.feed_forward(self.ffn_norm(x))


class Llama(nn.Module):
    def __init__(self, dim, hidden, layers, heads, kv_heads, vocabulary, context):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.layers = nn.ModuleList(Block(dim, hidden, heads, kv_heads) for _ in range(layers))
        self.norm = RMSNorm(dim)
        size = dim // heads
        angles = torch.outer(torch.arange(context), 10000.0 ** (-torch.arange(0, size, 2) / size))
        self.register_buffer("rotation", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.rotation)
        return F.linear(self.norm(x), self.embedding.weight)


def load_llama(path: Path) -> Llama:
    """The model of a llama2.c file, in eval mode."""
    data = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack("7i", data[:28])
    model = Llama(dim, hidden, layers, heads, kv_heads, abs(vocabulary), context)
    values = torch.from_numpy(np.frombuffer(data, np.float32, offset=28).copy())
    names = ["embedding.weight"]
    for part in (
        "attention_norm",
        "attention.wq",
        "attention.wk",
        "attention.wv",
        "attention.wo",
        "ffn_norm",
        "feed_forward.w1",
        "feed_forward.w2",
        "feed_forward.w3",
    ):
        names += [f"layers.{layer}.{part}.weight" for layer in range(layers)]
    start = 0
    for name in [*names, "norm.weight"]:
        parameter = model.get_parameter(name)
        parameter.data.copy_(values[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    return model.eval()


class Tokenizer:
    """llama2.c's: characters, then the best-scored neighbours are merged until none can be."""

    def __init__(self, path: Path):
        data, offset = path.read_bytes(), 4
        self.pieces, self.scores = {}, []
        while offset < len(data):
            score, length = struct.unpack_from("fi", data, offset)
            self.pieces.setdefault(data[offset + 8 : offset + 8 + length], len(self.scores))
            self.scores.append(score)
            offset += 8 + length
        self._known: dict[str, list[int]] = {}
        self.texts = {number: text for text, number in self.pieces.items()}

    def encode(self, text: str) -> list[int]:
        """Tokens, beginning with token 1 and a space. No piece reaches past a space, so words are merged alone."""
        words = re.findall(r" [^ ]*", " " + text.strip())
        return [1, *(token for word in words for token in self._word(word))]

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = self._merged(word)
        return self._known[word]

    def _merged(self, text: str) -> list[int]:
        tokens = []
        for character in text:
            piece = character.encode()
            tokens += [self.pieces[piece]] if piece in self.pieces else [byte + 3 for byte in piece]
        while True:
            best, place = -1e10, -1
            for i in range(len(tokens) - 1):
                merged = self.pieces.get(self.texts[tokens[i]] + self.texts[tokens[i + 1]])
                if merged is not None and self.scores[merged] > best:
                    best, place, chosen = self.scores[merged], i, merged
            if place < 0:
                return tokens
            tokens[place : place + 2] = [chosen]


def load_stories(data: Path, tokenizer: Tokenizer, length: int) -> list[torch.Tensor]:
    """Every story as (1, tokens), cut to `length`."""
    texts = (data / "tinystories.txt").read_text().split("<|endoftext|>")
    return [torch.tensor([tokenizer.encode(text)[:length]]) for text in texts if text.strip()]


def nats_per_token(model: nn.Module, stories: list[torch.Tensor]) -> float:
    """Mean negative log-likelihood."""
    total, count = 0.0, 0
    with torch.no_grad():
        for story in stories:
            logits = model(story[:, :-1])
            total += float(F.cross_entropy(logits[0], story[0, 1:], reduction="sum"))
            count += story.shape[1] - 1
    return total / count
