"""Models of llama2.c (karpathy): one binary file for the weights, one for the vocabulary.

A model file holds seven little-endian int32 (width, width of the feed-forward layers, layers, heads, key-value heads,
vocabulary, context; a negative vocabulary says that the output layer has weights of its own), then float32 tensors.
"""

import struct
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from slrprune.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from transformers import LlamaConfig

_HEADER = struct.Struct("<7i")
_NAMES = {
    "input_layernorm": "norm",
    "self_attn.q_proj": "q",
    "self_attn.k_proj": "k",
    "self_attn.v_proj": "v",
    "self_attn.o_proj": "o",
    "post_attention_layernorm": "norm",
    "mlp.gate_proj": "in",
    "mlp.down_proj": "out",
    "mlp.up_proj": "in",
}
"""Tensors of a layer under their names in transformers, in the order of the file."""


class Sizes(NamedTuple):
    """The header of a model file; `vocabulary` is negative where the output layer is not the embedding."""

    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int


def read_sizes(path: Path) -> Sizes:
    """The header of a model file.

    Raises:
        DataError: no such file, or none of llama2.c.
    """
    if not path.is_file():
        raise DataError("llama2.c", f"{path} is missing")
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    sizes = Sizes(*_HEADER.unpack(head)) if len(head) == _HEADER.size else None
    if sizes is None or min(sizes[:5]) < 1 or not sizes.vocabulary or sizes.dim % (2 * sizes.heads):
        raise DataError("llama2.c", f"{path} is no model of llama2.c, or truncated")
    return sizes


def llama_config(sizes: Sizes) -> "LlamaConfig":
    """The configuration for transformers.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise MissingExtraError("The text task", "transformers", "transformers")
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=abs(sizes.vocabulary),
        hidden_size=sizes.dim,
        intermediate_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        max_position_embeddings=sizes.context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=sizes.vocabulary > 0,
        bos_token_id=1,
        eos_token_id=2,
        architectures=["LlamaForCausalLM"],
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict for `transformers.LlamaForCausalLM`.

    Raises:
        DataError: no such file, another format, a truncated file, a weight that is not finite.
    """
    sizes = read_sizes(path)
    content = np.fromfile(path, np.uint8)[_HEADER.size :]
    values = torch.from_numpy(content[: content.size // 4 * 4].view("<f4").astype(np.float32))
    shapes = _shapes(sizes)
    needed = sum(count * rows * columns for count, rows, columns in shapes.values())
    needed += sizes.context * sizes.dim // sizes.heads  # two rotary tables, which nobody needs
    own_output = sizes.vocabulary < 0
    needed += own_output * abs(sizes.vocabulary) * sizes.dim
    if len(values) < needed:
        problem = f"{path} holds {len(values):,} numbers, expected {needed:,}"
        raise DataError("llama2.c", problem, "It is truncated.")
    state: dict[str, Tensor] = {}
    start = 0
    for name, (count, rows, columns) in shapes.items():
        size = rows * columns
        for layer in range(count):
            tensor = values[start : start + size].view(rows, columns)
            state[name.format(layer)] = _oriented(name, tensor, sizes)
            start += size
    if own_output:
        state["lm_head.weight"] = values[needed - abs(sizes.vocabulary) * sizes.dim : needed].view(-1, sizes.dim)
    else:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    bad = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if bad:
        raise DataError("llama2.c", f"{path} holds a weight that is not finite, in {bad[0]}")
    return state


def _shapes(sizes: Sizes) -> dict[str, tuple[int, int, int]]:
    """How often each tensor comes, and its rows and columns; vectors have one row."""
    keys = sizes.dim // sizes.heads * sizes.kv_heads
    of = {
        "norm": (1, sizes.dim),
        "q": (sizes.dim, sizes.dim),
        "k": (keys, sizes.dim),
        "v": (keys, sizes.dim),
        "o": (sizes.dim, sizes.dim),
        "in": (sizes.hidden, sizes.dim),
        "out": (sizes.dim, sizes.hidden),
    }
    # In the file: the first norm of every layer, then q, k, v, o of every layer, the second norms, and so on.
    layers = {f"model.layers.{{}}.{name}.weight": (sizes.layers, *of[kind]) for name, kind in _NAMES.items()}
    embedding = {"model.embed_tokens.weight": (1, abs(sizes.vocabulary), sizes.dim)}
    return {**embedding, **layers, "model.norm.weight": (1, 1, sizes.dim)}


def _oriented(name: str, tensor: Tensor, sizes: Sizes) -> Tensor:
    """As transformers wants it: vectors without rows, and rotary pairs half a head apart, not side by side."""
    if tensor.shape[0] == 1:
        return tensor[0]
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    size = sizes.dim // sizes.heads
    return tensor.view(-1, size // 2, 2, sizes.dim).transpose(1, 2).reshape(tensor.shape)
